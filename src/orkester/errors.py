"""Every error that Orkester raises on purpose.

::

    OrkesterError                something failed; the command line prints no traceback and exits with 1
    ├── InputError               the user's input is wrong; the command line exits with 2
    ├── ModelError               weights are missing, are broken, or cannot be fetched
    ├── EngineError              an engine did not start
    │   └── EngineLost           an engine started once, but cannot be kept running
    └── CallFailed               one model call failed after all retries

``CallFailed`` does not stop a study: the block runner records the example as failed and continues. ``EngineLost`` does
not stop a study either: the teams that need the engine are recorded as infeasible.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class OrkesterError(Exception):
    """The base class of all errors. The command line exits with ``exit_code``."""

    exit_code = 1


class InputError(OrkesterError):
    """A study file, data file, argument or run directory cannot be used.

    The message says where the fault is (file and line if there are any), what was given, and what to do.
    """

    exit_code = 2


class ModelError(OrkesterError):
    """A model's weights are missing, do not match their checksum, or cannot be fetched."""


class EngineError(OrkesterError):
    """An engine did not start. The message ends with the last lines of the engine's log and with the log's path."""


class EngineLost(EngineError):
    """An engine started once, but cannot be kept running: it died too often, or it did not start again."""


class CallFailed(OrkesterError):
    """A model call failed after its retries.

    Args:
        kind: The kind of failure, short and stable so that failures can be counted: ``http 400``, ``timeout``,
            ``connection``, ``bad reply``.
        detail: The server's message, shortened.
        attempts: The number of attempts that were made.
    """

    def __init__(self, kind: str, detail: str = "", attempts: int = 1) -> None:
        super().__init__(f"{kind}: {detail}" if detail else kind)
        self.kind = kind
        self.detail = detail
        self.attempts = attempts


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """``unknown scorer 'exct' (did you mean 'exact'?). Known: contains, exact`` for messages."""
    return f"unknown {kind} {nearest(name, known)}"


def nearest(name: str, known: Iterable[str]) -> str:
    """``'exct' (did you mean 'exact'?). Known: contains, exact`` for messages."""
    names = list(known)
    return f"{name!r}{did_you_mean(name, names)}. Known: {', '.join(names)}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`` (did you mean 'exact'?)`` with the name that is spelt most alike; empty where none is alike."""
    alike = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {alike[0]!r}?)" if alike else ""
