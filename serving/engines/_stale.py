"""Engines whose study was killed together with their supervisor: found by what was recorded, and ended."""

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
    """A process: its id alone would do for another one after a while.

    Attributes:
        pid: its id.
        started: when it began, in the kernel's clock ticks since the system started (proc(5), field 22).
    """

    pid: int
    started: int


@dataclass(frozen=True, kw_only=True)
class Record:
    """One engine that runs.

    Attributes:
        engine: its processes.
        owner: the process that started it, and ends it.
    """

    engine: Sequence[Process]
    owner: Process


def process(pid: int) -> Process | None:
    """The process of this id; None when there is none."""
    fields = _stat(pid)
    return Process(pid, int(fields[19])) if fields and fields[0] not in {"Z", "X"} else None


def processes_of_group(group: int) -> tuple[Process, ...]:
    """All processes of a process group, by id."""
    pids = sorted(int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    members = (pid for pid in pids if (fields := _stat(pid)) and fields[2] == str(group))
    return tuple(found for pid in members if (found := process(pid)) is not None)


class RunningEngines:
    """Records of running engines, a file each; of this start of the system alone.

    Args:
        folder: where; made when the first is recorded.
    """

    def __init__(self, folder: Path) -> None:
        boot = Path("/proc/sys/kernel/random/boot_id")
        self._folder = folder / (boot.read_text().strip() if boot.exists() else "boot")

    def record(self, group: int) -> None:
        """Write down the engine that runs as this process group, as it is now."""
        owner = process(os.getpid())
        if owner is None:  # no /proc
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        draft = self._folder / f"{group}.tmp"
        draft.write_text(json.dumps(asdict(Record(engine=processes_of_group(group), owner=owner))))
        draft.replace(self._folder / f"{group}.json")

    def end(self, group: int) -> None:
        """It was ended; what was recorded of it and runs all the same is ended too."""
        path = self._folder / f"{group}.json"
        if (record := _read(path)) is not None:
            _kill(record.engine)
        path.unlink(missing_ok=True)

    def end_stale(self) -> tuple[int, ...]:
        """End the engines whose owner has gone; ids of the processes that were ended."""
        ended: list[int] = []
        for path in sorted(self._folder.glob("*.json")) if self._folder.is_dir() else ():
            record = _read(path)  # None: another study is faster
            if record is not None and process(record.owner.pid) != record.owner:
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
        if process(each.pid) == each:
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
