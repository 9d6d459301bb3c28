"""The environments that ``orkester engines install`` created."""

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

#: The file that is written last. A folder without it is an incomplete installation.
_STAMP = "orkester.json"
_SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Installed:
    """An installed environment: a folder under ``engines`` in the cache.

    Attributes:
        name: The name of the folder.
        folder: The path of the folder.
        environment: The Python environment; None if the installation is incomplete.
        size_bytes: The size on disk after the installation; None if the installation is incomplete.
    """

    name: str
    folder: Path
    environment: VllmEnvironment | None
    size_bytes: int | None

    def fault(self) -> str:
        """Return the reason why the environment does not work; empty if it works.

        The environment's Python imports vLLM, which takes some seconds.

        Returns:
            Why it does not work, with the remedy; an empty text if it works.
        """
        if self.environment is None:
            return "its installation is incomplete; install it again"
        try:
            current = VllmEnvironment.at(self.environment.python)
        except InputError as error:
            return str(error)
        return "" if current == self.environment else f"it was {self.environment} and is {current}; install it again"


def environments(cache: Path | None = None) -> Sequence[Installed]:
    """List all environments, including incomplete installations.

    Args:
        cache: The cache folder; None for the usual one.

    Returns:
        The environments, sorted by name.
    """
    root = engines_folder(cache)
    folders = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    return tuple(read(folder) for folder in folders)


def find_vllm(build: Build | None = None, *, cache: Path | None = None) -> VllmEnvironment | None:
    """Find an installed vLLM. The version that Orkester installs is preferred.

    Args:
        build: The build to look for; None for the build that suits this machine.
        cache: The cache folder; None for the usual one.

    Returns:
        The environment, or None if vLLM is not installed.
    """
    build = build or suitable_build()[0]
    candidates = [
        installed.environment
        for installed in environments(cache)
        if installed.environment is not None
        and installed.environment.build == build
        and installed.environment.python.exists()
    ]
    candidates.sort(key=lambda each: (each.version == PINS[build].version, each.python))
    return candidates[-1] if candidates else None


def remove(name: str, *, cache: Path | None = None) -> int:
    """Remove an installed environment.

    Args:
        name: The environment's name.
        cache: The cache folder; None for the usual one.

    Returns:
        The number of bytes that were freed on disk.

    Raises:
        InputError: There is no environment with this name.
        EngineError: A process uses the environment.
    """
    installed_by_name = {installed.name: installed for installed in environments(cache)}
    if name not in installed_by_name:
        names = f"installed: {', '.join(installed_by_name)}" if installed_by_name else "no engine is installed"
        raise InputError(f"there is no engine {name!r} to remove; {names}")
    folder = installed_by_name[name].folder
    waiting = "another process is installing this engine; waiting for it"
    with locked(lock_of(folder), lambda _: None, waiting=waiting, error=EngineError):
        if pids := processes_using(folder):
            raise EngineError(
                f"{name} is in use by process{'es' if len(pids) > 1 else ''} {', '.join(map(str, pids))}; "
                "end the study that uses it first"
            )
        freed = size_of(folder)
        discard(folder)
    return freed


def processes_using(folder: Path) -> Sequence[int]:
    """Find the processes that use an environment, other than this process.

    Args:
        folder: The folder of the environment.

    Returns:
        Process ids, in ascending order.
    """
    # The environment's interpreter may be a link to a shared one. So the path in the command line and the loaded files
    # are checked instead.
    inside = f"{folder.resolve()}{os.sep}"
    pids = []
    for process in Path("/proc").glob("[0-9]*"):
        if int(process.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            program = (process / "cmdline").read_bytes().partition(b"\0")[0].decode(errors="replace")
            if program.startswith((inside, f"{folder}{os.sep}")) or inside in (process / "maps").read_text():
                pids.append(int(process.name))
    return sorted(pids)


def engines_folder(cache: Path | None) -> Path:
    """Return the folder of all environments.

    Args:
        cache: Cache folder; None for the default.

    Returns:
        Path of the folder.
    """
    return (cache or cache_folder()) / "engines"


def lock_of(folder: Path) -> Path:
    """Return the lock file of an environment, with which processes that install or remove it wait for each other.

    Args:
        folder: Folder of the environment.

    Returns:
        Path of the lock file.
    """
    return folder.with_name(f"{folder.name}.lock")


def read(folder: Path) -> Installed:
    """Read the facts about an environment from the file that marks it as complete.

    Args:
        folder: Folder of the environment.

    Returns:
        The facts, without an environment if the file is missing or damaged.
    """
    try:
        stamp: dict[str, Any] = json.loads((folder / _STAMP).read_text(encoding="utf-8"))
        environment = VllmEnvironment(python=python_of(folder), version=stamp["version"], build=stamp["build"])
        size = int(stamp["size_bytes"])
    except (OSError, ValueError, KeyError, TypeError):
        return Installed(name=folder.name, folder=folder, environment=None, size_bytes=None)
    return Installed(name=folder.name, folder=folder, environment=environment, size_bytes=size)


def mark_complete(folder: Path, environment: VllmEnvironment) -> Installed:
    """Mark an environment as complete, with a file that is written to disk in one step.

    Args:
        folder: Folder of the environment.
        environment: The environment.

    Returns:
        The installed environment, with its size.
    """
    size = size_of(folder)
    stamp = {"schema": _SCHEMA, "version": environment.version, "build": environment.build, "size_bytes": size}
    temporary = folder / f"{_STAMP}.tmp"
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(stamp, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(folder / _STAMP)
    return Installed(name=folder.name, folder=folder, environment=environment, size_bytes=size)


def discard(folder: Path) -> None:
    """Remove an environment. Its mark is removed first, so that a partly removed folder counts as incomplete.

    Args:
        folder: Folder of the environment.
    """
    (folder / _STAMP).unlink(missing_ok=True)
    shutil.rmtree(folder)


def python_of(folder: Path) -> Path:
    """Return the interpreter of a virtual environment.

    Args:
        folder: Folder of the environment.

    Returns:
        Path of the interpreter.
    """
    return folder / "bin" / "python"


def size_of(folder: Path) -> int:
    """Measure the size of a folder on disk.

    Args:
        folder: The folder.

    Returns:
        Size in bytes.
    """
    total = 0
    for path, _, files in os.walk(folder):
        for name in files:
            with contextlib.suppress(OSError):
                total += Path(path, name).lstat().st_blocks * 512
    return total
