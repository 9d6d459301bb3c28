"""Objectives that are not ours, for as long as a test takes."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orkester.evals import objectives as package


@contextmanager
def added(folder: Path) -> Iterator[None]:
    """The files of a folder are objectives too, as if they lay beside ours."""
    ours = package.__path__
    package.__path__ = [*ours, str(folder)]
    importlib.invalidate_caches()
    package.OBJECTIVES.refresh()
    try:
        yield
    finally:
        package.__path__ = ours
        for file in folder.glob("*.py"):
            sys.modules.pop(f"{package.__name__}.{file.stem}", None)
            vars(package).pop(file.stem, None)
        package.OBJECTIVES.refresh()
