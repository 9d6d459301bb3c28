"""The environments that ``orkester engines install`` made."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orkester.errors import EngineError, InputError

from ..cache import cache_folder, locked
from ._environment import Build, VllmEnvironment
from ._pins import PINS, suitable_build

#: Written last: a folder without it is an installation that was cut off.
_STAMP = "orkester.json"
_SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Installed:
    """A folder under ``engines`` in the cache.

    Attributes:
        name: the folder's.
        folder: where.
        environment: what it is; None when its installation was cut off.
        size_bytes: on disk, when it was installed.
    """

    name: str
    folder: Path
    environment: VllmEnvironment | None
    size_bytes: int | None

    def fault(self) -> str:
        """Why it does not work; empty when it does. Takes some seconds: it imports vLLM."""
        if self.environment is None:
            return "its installation was cut off; install it again"
        try:
            found = VllmEnvironment.at(self.environment.python)
        except InputError as error:
            return str(error)
        return "" if found == self.environment else f"it was {self.environment} and is {found}; install it again"


def environments(cache: Path | None = None) -> Sequence[Installed]:
    """All that were installed, or whose installation was cut off, by name.

    Args:
        cache: its folder; the usual one if None.
    """
    root = engines_folder(cache)
    folders = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    return tuple(read(folder) for folder in folders)


def find_vllm(build: Build | None = None, *, cache: Path | None = None) -> VllmEnvironment | None:
    """The installed vLLM for this machine, Orkester's pinned version if it is there; None when there is none.

    Args:
        build: the one to look for; what suits this machine if None.
        cache: its folder; the usual one if None.
    """
    build = build or suitable_build()[0]
    found = [
        installed.environment
        for installed in environments(cache)
        if installed.environment is not None
        and installed.environment.build == build
        and installed.environment.python.exists()
    ]
    found.sort(key=lambda each: (each.version == PINS[build].version, each.python))
    return found[-1] if found else None


def remove(name: str, *, cache: Path | None = None) -> int:
    """Remove an installed environment; returns the bytes that were freed.

    Raises:
        InputError: there is none of that name.
        EngineError: a process runs from it.
    """
    known = {installed.name: installed for installed in environments(cache)}
    if name not in known:
        has = f"installed: {', '.join(known)}" if known else "none is installed"
        raise InputError(f"there is no engine {name!r} to remove; {has}")
    folder = known[name].folder
    waiting = "another process is installing this engine; waiting for it"
    with locked(lock_of(folder), lambda _: None, waiting=waiting, error=EngineError):
        if pids := in_use(folder):
            raise EngineError(
                f"{name} is in use by process{'es' if len(pids) > 1 else ''} {', '.join(map(str, pids))}; "
                "end the study that runs on it first"
            )
        freed = size_of(folder)
        discard(folder)
    return freed


def in_use(folder: Path) -> Sequence[int]:
    """Ids of the processes that run from an environment, other than this one."""
    # The interpreter may be a link to one that others share, so what is loaded and how it was called count.
    inside = f"{folder.resolve()}{os.sep}"
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        if int(process.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            called = (process / "cmdline").read_bytes().partition(b"\0")[0].decode(errors="replace")
            if called.startswith((inside, f"{folder}{os.sep}")) or inside in (process / "maps").read_text():
                found.append(int(process.name))
    return sorted(found)


def engines_folder(cache: Path | None) -> Path:
    """Where environments are."""
    return (cache or cache_folder()) / "engines"


def lock_of(folder: Path) -> Path:
    """The file by which two processes that install or remove the same wait for each other."""
    return folder.with_name(f"{folder.name}.lock")


def read(folder: Path) -> Installed:
    """What a folder's stamp says."""
    try:
        stamp: dict[str, Any] = json.loads((folder / _STAMP).read_text(encoding="utf-8"))
        environment = VllmEnvironment(python=python_of(folder), version=stamp["version"], build=stamp["build"])
        size = int(stamp["size_bytes"])
    except (OSError, ValueError, KeyError, TypeError):
        return Installed(name=folder.name, folder=folder, environment=None, size_bytes=None)
    return Installed(name=folder.name, folder=folder, environment=environment, size_bytes=size)


def mark_complete(folder: Path, environment: VllmEnvironment) -> Installed:
    """Write the stamp, in one step and to the disk."""
    size = size_of(folder)
    stamp = {"schema": _SCHEMA, "version": environment.version, "build": environment.build, "size_bytes": size}
    draft = folder / f"{_STAMP}.tmp"
    with draft.open("w", encoding="utf-8") as file:
        json.dump(stamp, file)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(folder / _STAMP)
    return Installed(name=folder.name, folder=folder, environment=environment, size_bytes=size)


def discard(folder: Path) -> None:
    """Remove a folder; the stamp goes first, so that half a folder is known as such."""
    (folder / _STAMP).unlink(missing_ok=True)
    shutil.rmtree(folder)


def python_of(folder: Path) -> Path:
    """The interpreter of a virtual environment."""
    return folder / "bin" / "python"


def size_of(folder: Path) -> int:
    """Bytes that a folder takes on disk."""
    total = 0
    for path, _, files in os.walk(folder):
        for name in files:
            with contextlib.suppress(OSError):
                total += Path(path, name).lstat().st_blocks * 512
    return total
