"""The hardware of this machine: CPU, memory and GPUs, for records and for ``orkester doctor``."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path

from ._gpus import Gpu, amd, nvidia

__all__ = ["Gpu", "cpu_model", "facts", "gpus", "memory_bytes", "usable_threads"]


def usable_threads() -> int:
    """Count the CPU threads that this process may use.

    Returns:
        The number of threads of the CPU affinity, or the quota of the control group if that is smaller.
    """
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _first_line(Path("/sys/fs/cgroup/cpu.max"))
    if quota and not quota.startswith("max"):
        share, period = quota.split()[:2]
        threads = min(threads, max(1, round(int(share) / int(period))))
    return threads


def memory_bytes() -> tuple[int, int]:
    """Read the size of main memory, within the limit of the control group.

    Returns:
        Total and available memory, in bytes.
    """
    fields: dict[str, int] = {}
    for line in _lines(Path("/proc/meminfo")):
        name, _, rest = line.partition(":")
        fields[name] = int(rest.split()[0]) * 1024
    total, available = fields.get("MemTotal", 0), fields.get("MemAvailable", 0)
    limit = _first_line(Path("/sys/fs/cgroup/memory.max"))
    if limit.isdigit() and int(limit) < total:
        used = _first_line(Path("/sys/fs/cgroup/memory.current"))
        total = int(limit)
        available = min(available, total - int(used or 0))
    return total, available


def cpu_model() -> str:
    """Read the name of the CPU.

    Returns:
        The name of the model, or the architecture if the model is unknown.
    """
    for line in _lines(Path("/proc/cpuinfo")):
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def gpus(*, timeout_s: float = 20.0) -> tuple[list[Gpu], str]:
    """List the GPUs that this process may use: NVIDIA's, or AMD's if there are none from NVIDIA.

    Args:
        timeout_s: The longest time to wait for the driver's answer.

    Returns:
        The GPUs, and the reason if there are none.
    """
    nvidia_gpus, nvidia_reason = nvidia(memory_bytes(), timeout_s=timeout_s)
    if nvidia_gpus:
        return nvidia_gpus, ""
    amd_gpus, amd_reason = amd()
    return amd_gpus, "" if amd_gpus else f"{nvidia_reason}; {amd_reason}"


def facts() -> Mapping[str, object]:
    """Collect the facts about the machine for a record. They contain no host name, no user name and no path.

    Returns:
        Facts by name.
    """
    total, _ = memory_bytes()
    return {
        "cpu": cpu_model(),
        "threads": usable_threads(),
        "memory_bytes": total,
        "gpus": [f"{gpu.name}, {gpu.memory_bytes // 2**20} MiB, {gpu.driver}" for gpu in gpus()[0]],
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def _first_line(path: Path) -> str:
    lines = _lines(path)
    return lines[0].strip() if lines else ""
