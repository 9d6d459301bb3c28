"""The GPUs of this machine: NVIDIA's from ``nvidia-smi``, AMD's from the kernel."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_QUERY = "index,uuid,name,memory.total,memory.free,driver_version"
_AMD_VENDOR = 0x1002
#: GPUs for which vLLM has ROCm kernels, by the kernel's number: a processor's small built-in GPU is none of them.
#: https://docs.vllm.ai/en/latest/getting_started/installation/gpu/
_AMD_SUPPORTED = frozenset({90010, 90402, 90500, 110000, 110001, 110500, 110501, 120000, 120001})


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One GPU that this process may use.

    Attributes:
        index: the driver's number of it, whatever ``CUDA_VISIBLE_DEVICES`` leaves.
        name: the product's.
        memory_bytes: total.
        free_bytes: not in use by any process.
        driver: version; empty when unknown.
        vendor: whose it is, which decides the build of vLLM.
    """

    index: int
    name: str
    memory_bytes: int
    free_bytes: int
    driver: str
    vendor: Literal["nvidia", "amd"] = "nvidia"

    def __str__(self) -> str:
        driver = f", driver {self.driver}" if self.driver else ""
        return f"{self.name}, {self.free_bytes / 2**30:.1f} GiB free of {self.memory_bytes / 2**30:.1f} GiB{driver}"


def nvidia(host_bytes: tuple[int, int], *, timeout_s: float) -> tuple[list[Gpu], str]:
    """NVIDIA's, in the order ``CUDA_VISIBLE_DEVICES`` gives, and why there are none.

    Args:
        host_bytes: this machine's total and free memory, which a GPU without memory of its own shares.
        timeout_s: how long the driver may take.
    """
    if shutil.which("nvidia-smi") is None:
        return [], "nvidia-smi is not installed"
    try:
        asked = subprocess.run(
            ["nvidia-smi", f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired:  # a driver that hangs
        return [], f"nvidia-smi did not answer within {timeout_s:g} s"
    except OSError as error:
        return [], f"nvidia-smi cannot be run: {error.strerror}"
    rows = [[cell.strip() for cell in line.split(",")] for line in asked.stdout.splitlines()]
    rows = [row for row in rows if len(row) == len(_QUERY.split(",")) and row[0].isdigit()]
    if asked.returncode or not rows:
        said = (asked.stderr or asked.stdout).strip().splitlines()
        return [], f"nvidia-smi: {said[0] if said else 'found none'}"
    found = {}
    for index, uuid, name, total, free, driver in rows:
        found[uuid] = Gpu(
            index=int(index),
            name=name,
            memory_bytes=_mebibytes(total, host_bytes[0]),
            free_bytes=_mebibytes(free, host_bytes[1]),
            driver=driver,
        )
    return _visible(found, ("CUDA_VISIBLE_DEVICES",))


def amd(root: Path = Path("/")) -> tuple[list[Gpu], str]:
    """AMD's that vLLM has kernels for, and why there are none.

    Args:
        root: where ``dev`` and ``sys`` are.
    """
    if not (root / "dev/kfd").exists():
        return [], "no AMD GPU: there is no /dev/kfd"
    found: dict[str, Gpu] = {}
    nodes = (root / "sys/class/kfd/kfd/topology/nodes").glob("*")
    for node in sorted(nodes, key=lambda node: (len(node.name), node.name)):
        facts = dict(line.split()[:2] for line in _read(node / "properties").splitlines() if len(line.split()) > 1)
        if facts.get("vendor_id") != str(_AMD_VENDOR) or int(facts.get("gfx_target_version", 0)) not in _AMD_SUPPORTED:
            continue
        device = root / f"sys/class/drm/renderD{facts.get('drm_render_minor', '')}/device"
        total = int(_read(device / "mem_info_vram_total") or 0)
        found[f"GPU-{int(facts.get('unique_id', 0)):016x}"] = Gpu(
            index=len(found),
            name=_read(device / "product_name") or f"AMD {_gfx(int(facts['gfx_target_version']))}",
            memory_bytes=total,
            free_bytes=total - int(_read(device / "mem_info_vram_used") or 0),
            driver=_read(root / "sys/module/amdgpu/version"),
            vendor="amd",
        )
    if not found:
        return [], "no AMD GPU that vLLM has kernels for"
    return _visible(found, ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"))


def _visible(found: dict[str, Gpu], variables: Sequence[str]) -> tuple[list[Gpu], str]:
    """Those that the first of these variables that is set leaves; like the driver, up to the first that is none."""
    gpus = list(found.values())
    name = next((variable for variable in variables if variable in os.environ), None)
    if name is None:
        return gpus, ""
    chosen: list[Gpu] = []
    for part in os.environ[name].split(","):
        entry = part.strip()
        if entry.isdigit():
            match = [gpu for gpu in gpus if gpu.index == int(entry)]
        else:  # an UUID may be shortened as long as it is clear
            match = [gpu for uuid, gpu in found.items() if entry and uuid.lower().startswith(entry.lower())]
        if len(match) != 1 or match[0] in chosen:
            break
        chosen += match
    reason = f"{name}={os.environ[name]!r} leaves none of the {len(gpus)} GPUs (a MIG slice is not understood)"
    return chosen, "" if chosen else reason


def _mebibytes(text: str, shared: int) -> int:
    return int(text) * 2**20 if text.isdigit() else shared


def _gfx(number: int) -> str:
    major, minor, step = number // 10000, number // 100 % 100, number % 100
    return f"gfx{major}{minor}{step:x}"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
