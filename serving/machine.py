"""What this machine has: for records and for ``orkester doctor``."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path

from ._gpus import Gpu, amd, nvidia

__all__ = ["Gpu", "cpu_model", "facts", "gpus", "memory_bytes", "usable_threads"]


def usable_threads() -> int:
    """CPU threads this process may use: its affinity, and its control group's quota."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _first_line(Path("/sys/fs/cgroup/cpu.max"))
    if quota and not quota.startswith("max"):
        share, period = quota.split()[:2]
        allowed = min(allowed, max(1, round(int(share) / int(period))))
    return allowed


def memory_bytes() -> tuple[int, int]:
    """Total and available memory, within the control group's limit."""
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
    """The CPU's name."""
    for line in _lines(Path("/proc/cpuinfo")):
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def gpus(*, timeout_s: float = 20.0) -> tuple[list[Gpu], str]:
    """GPUs that this process may use, NVIDIA's or else AMD's, and why there are none.

    Args:
        timeout_s: how long the driver may take to answer.
    """
    found, why = nvidia(memory_bytes(), timeout_s=timeout_s)
    if found:
        return found, ""
    found, why_not_amd = amd()
    return found, "" if found else f"{why}; {why_not_amd}"


def facts() -> Mapping[str, object]:
    """What a record says of the machine. No names of hosts or users, no paths."""
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
