"""Where weights and engines are kept, and how two processes that want the same wait for each other."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from orkester.errors import ModelError, OrkesterError


def cache_folder() -> Path:
    """``$ORKESTER_CACHE``, else ``orkester`` in the user's cache folder."""
    if own := os.environ.get("ORKESTER_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "orkester"


@contextmanager
def locked(
    path: Path,
    say: Callable[[str], None],
    *,
    waiting: str,
    error: type[OrkesterError] = ModelError,
) -> Iterator[int]:
    """Hold a lock file; yields its descriptor, which a child process may be given to hold the lock as long as it runs.

    Args:
        path: of the lock file; its folder is made.
        say: told when another process holds it.
        waiting: what is said then.
        error: raised where the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w")
    except OSError as fault:
        raise error(
            f"{path.parent} cannot be written: {fault.strerror}; set ORKESTER_CACHE to a folder that can"
        ) from fault
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(waiting)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()
