"""Finds and ends stale engines: those whose study was killed together with the supervisor of the engine."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple


class Process(NamedTuple):
    """A process. The id alone is not enough, because the kernel uses ids again.

    Attributes:
        pid: The process id.
        started: The start of the process, in the kernel's clock ticks since the system started (proc(5), field 22).
    """

    pid: int
    started: int


@dataclass(frozen=True, kw_only=True)
class Record:
    """The record of one running engine.

    Attributes:
        engine: The engine's processes.
        owner: The process that started the engine, and that ends it.
    """

    engine: Sequence[Process]
    owner: Process


def find_process(pid: int) -> Process | None:
    """Return the running process with this id; None if there is none."""
    fields = _stat(pid)
    return Process(pid, int(fields[19])) if fields and fields[0] not in {"Z", "X"} else None


def processes_of_group(group: int) -> tuple[Process, ...]:
    """Return all processes of a process group.

    Args:
        group: Id of the process group.

    Returns:
        The processes, sorted by id.
    """
    pids = sorted(int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    member_pids = (pid for pid in pids if (fields := _stat(pid)) and fields[2] == str(group))
    return tuple(member for pid in member_pids if (member := find_process(pid)) is not None)


class RunningEngines:
    """The records of running engines, one file for each. Records from before the system's last start are not used.

    Args:
        folder: The folder for the records; it is created with the first record.
    """

    def __init__(self, folder: Path) -> None:
        boot = Path("/proc/sys/kernel/random/boot_id")
        self._folder = folder / (boot.read_text().strip() if boot.exists() else "boot")

    def record(self, group: int) -> None:
        """Record the processes of a running engine.

        Args:
            group: The engine's process group.
        """
        owner = find_process(os.getpid())
        if owner is None:  # this system has no /proc
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        temporary = self._folder / f"{group}.tmp"
        temporary.write_text(json.dumps(asdict(Record(engine=processes_of_group(group), owner=owner))))
        temporary.replace(self._folder / f"{group}.json")

    def end(self, group: int) -> None:
        """Delete the record of an engine that was stopped, and kill its recorded processes that still run.

        Args:
            group: The engine's process group.
        """
        path = self._folder / f"{group}.json"
        if (record := _read(path)) is not None:
            _kill(record.engine)
        path.unlink(missing_ok=True)

    def end_stale(self) -> tuple[int, ...]:
        """Kill the engines whose owner no longer runs.

        Returns:
            The ids of the processes that were killed.
        """
        ended: list[int] = []
        for path in sorted(self._folder.glob("*.json")) if self._folder.is_dir() else ():
            record = _read(path)  # None if another study has just deleted the record
            if record is not None and find_process(record.owner.pid) != record.owner:
                ended += _kill(record.engine)
                path.unlink(missing_ok=True)
        return tuple(ended)


def _read(path: Path) -> Record | None:
    try:
        data = json.loads(path.read_text())
        return Record(engine=[Process(*each) for each in data["engine"]], owner=Process(*data["owner"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _kill(processes: Iterable[Process]) -> list[int]:
    ended = []
    for each in processes:
        if find_process(each.pid) == each:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(each.pid, signal.SIGKILL)
                ended.append(each.pid)
    return ended


def _stat(pid: int) -> list[str]:
    """The fields of ``/proc/PID/stat`` from the state (field 3) on."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
