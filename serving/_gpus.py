"""The GPUs of this machine. ``nvidia-smi`` lists NVIDIA's GPUs, the kernel lists AMD's."""

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
#: The GPUs for which vLLM has ROCm kernels, by the kernel's ``gfx_target_version``. A small GPU that is part of a
#: processor is not in the list. https://docs.vllm.ai/en/latest/getting_started/installation/gpu/
_AMD_SUPPORTED = frozenset({90010, 90402, 90500, 110000, 110001, 110500, 110501, 120000, 120001})


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One GPU that this process may use.

    Attributes:
        index: The driver's number for the GPU. It does not depend on ``CUDA_VISIBLE_DEVICES``.
        name: The name of the product.
        memory_bytes: The total memory.
        free_bytes: The memory that no process uses.
        driver: The driver's version; empty if it is unknown.
        vendor: The vendor, which decides which build of vLLM is used.
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
    """List NVIDIA's GPUs that this process may use.

    Args:
        host_bytes: This machine's total and free memory. A GPU without its own memory shares it.
        timeout_s: The longest time to wait for the driver.

    Returns:
        The GPUs in the order of ``CUDA_VISIBLE_DEVICES``, and the reason if there are none.
    """
    if shutil.which("nvidia-smi") is None:
        return [], "nvidia-smi is not installed"
    try:
        query = subprocess.run(
            ["nvidia-smi", f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired:  # the driver hangs
        return [], f"nvidia-smi did not answer within {timeout_s:g} s"
    except OSError as error:
        return [], f"nvidia-smi cannot be run: {error.strerror}"
    rows = [[cell.strip() for cell in line.split(",")] for line in query.stdout.splitlines()]
    rows = [row for row in rows if len(row) == len(_QUERY.split(",")) and row[0].isdigit()]
    if query.returncode or not rows:
        messages = (query.stderr or query.stdout).strip().splitlines()
        return [], f"nvidia-smi: {messages[0] if messages else 'found no GPU'}"
    gpus_by_uuid = {}
    for index, uuid, name, total, free, driver in rows:
        gpus_by_uuid[uuid] = Gpu(
            index=int(index),
            name=name,
            memory_bytes=_mebibytes(total, host_bytes[0]),
            free_bytes=_mebibytes(free, host_bytes[1]),
            driver=driver,
        )
    return _visible(gpus_by_uuid, ("CUDA_VISIBLE_DEVICES",))


def amd(root: Path = Path("/")) -> tuple[list[Gpu], str]:
    """List AMD's GPUs that this process may use and that vLLM has kernels for.

    Args:
        root: The folder that contains ``dev`` and ``sys``.

    Returns:
        The GPUs, and the reason if there are none.
    """
    if not (root / "dev/kfd").exists():
        return [], "no AMD GPU: /dev/kfd does not exist"
    gpus_by_uuid: dict[str, Gpu] = {}
    nodes = (root / "sys/class/kfd/kfd/topology/nodes").glob("*")
    for node in sorted(nodes, key=lambda node: (len(node.name), node.name)):
        lines = _read(node / "properties").splitlines()
        properties = dict(line.split()[:2] for line in lines if len(line.split()) > 1)
        version = int(properties.get("gfx_target_version", 0))
        if properties.get("vendor_id") != str(_AMD_VENDOR) or version not in _AMD_SUPPORTED:
            continue
        device = root / f"sys/class/drm/renderD{properties.get('drm_render_minor', '')}/device"
        total = int(_read(device / "mem_info_vram_total") or 0)
        gpus_by_uuid[f"GPU-{int(properties.get('unique_id', 0)):016x}"] = Gpu(
            index=len(gpus_by_uuid),
            name=_read(device / "product_name") or f"AMD {_gfx_name(version)}",
            memory_bytes=total,
            free_bytes=total - int(_read(device / "mem_info_vram_used") or 0),
            driver=_read(root / "sys/module/amdgpu/version"),
            vendor="amd",
        )
    if not gpus_by_uuid:
        return [], "no AMD GPU that vLLM has kernels for"
    return _visible(gpus_by_uuid, ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"))


def _visible(gpus_by_uuid: dict[str, Gpu], variables: Sequence[str]) -> tuple[list[Gpu], str]:
    """The GPUs that the environment allows, by the first of the variables that is set, and the reason if none is left.

    Like the driver, this stops at the first entry that names no GPU.
    """
    gpus = list(gpus_by_uuid.values())
    name = next((variable for variable in variables if variable in os.environ), None)
    if name is None:
        return gpus, ""
    visible: list[Gpu] = []
    for part in os.environ[name].split(","):
        entry = part.strip()
        if entry.isdigit():
            matches = [gpu for gpu in gpus if gpu.index == int(entry)]
        else:  # a UUID may be shortened as long as it matches one GPU only
            matches = [gpu for uuid, gpu in gpus_by_uuid.items() if entry and uuid.lower().startswith(entry.lower())]
        if len(matches) != 1 or matches[0] in visible:
            break
        visible += matches
    reason = f"{name}={os.environ[name]!r} selects none of the {len(gpus)} GPUs (MIG slices are not supported)"
    return visible, "" if visible else reason


def _mebibytes(text: str, shared: int) -> int:
    """The bytes of a number of mebibytes; the shared memory if the driver reports no number."""
    return int(text) * 2**20 if text.isdigit() else shared


def _gfx_name(version: int) -> str:
    major, minor, step = version // 10000, version // 100 % 100, version % 100
    return f"gfx{major}{minor}{step:x}"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
