"""Every error Orkester raises on purpose.

::

    OrkesterError                something failed; the command line prints it without a traceback and exits with 1
    ├── InputError               what was asked is wrong; exits with 2
    ├── ModelError               weights absent, broken, or not to be had
    ├── EngineError              an engine did not start
    │   └── EngineLost           it did once, and cannot be kept running
    └── CallFailed               one model call failed for good

``CallFailed`` is data to the block runner: the example fails and the study goes on. ``EngineLost`` is data to the
study: its teams are infeasible.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class OrkesterError(Exception):
    """Base of all; ``exit_code`` is what the command line ends with."""

    exit_code = 1


class InputError(OrkesterError):
    """A study file, data file, argument or run directory that cannot be used as it is.

    The message says where (file and line when there are such), what was given, and what to do.
    """

    exit_code = 2


class ModelError(OrkesterError):
    """Weights that are absent, fail their checksum, or cannot be fetched."""


class EngineError(OrkesterError):
    """An engine that did not start; the message ends with its log's last lines and path."""


class EngineLost(EngineError):
    """An engine that started once and cannot be kept running: it died too often, or did not come back."""


class CallFailed(OrkesterError):
    """A model call that failed after its retries.

    Args:
        kind: short and stable, for counting: ``http 400``, ``timeout``, ``connection``, ``bad reply``.
        detail: what the server said, shortened.
        attempts: how often it was tried.
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
