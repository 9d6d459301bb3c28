"""The folder for weights and engines, and the lock that makes two processes wait for each other."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from orkester.errors import ModelError, OrkesterError


def cache_folder() -> Path:
    """Return the cache folder.

    Returns:
        ``$ORKESTER_CACHE`` if it is set, otherwise ``orkester`` in the user's cache folder.
    """
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
    """Hold a lock file inside the ``with`` block, and wait first if another process holds it.

    Args:
        path: The path of the lock file. Its folder is created if it does not exist.
        say: A function that is called with ``waiting`` if another process holds the lock.
        waiting: The message for the user while this process waits.
        error: The class of the error that is raised if the folder cannot be written.

    Yields:
        The descriptor of the lock file. A child process that inherits it holds the lock as long as it runs.

    Raises:
        OrkesterError: The folder cannot be written; the class is ``error``.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w")
    except OSError as fault:
        raise error(
            f"{path.parent} cannot be written: {fault.strerror}; set ORKESTER_CACHE to a folder that you may write to"
        ) from fault
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(waiting)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()
