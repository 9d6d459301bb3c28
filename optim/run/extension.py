"""``--extend``: more budget for a run that is there, kept in its manifest so that a killed run goes on as asked.

An extension counts from where the run stood when it last finished. While one is under way the same command goes on with
it instead of adding again; another one replaces it; a command without ``--extend`` goes on with it as well.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from orkester.errors import InputError, nearest

from .budget import LIMITS, WHOLE, Budget, Spent, readable
from .directory import RunDirectory

_KEY: Final = "extension"


@dataclass(frozen=True, kw_only=True)
class Extension:
    """What a run was given beyond its study file.

    Attributes:
        asked: how much more, by the names of limits.
        stood: what was spent when it was asked, by the same names, as far as known.
        earlier: limits from extensions that are finished.
        limits: limits that hold now; where the study file has higher ones, those do.
        finished: whether the run has come to its end with it.
    """

    asked: Mapping[str, float]
    stood: Mapping[str, float]
    earlier: Mapping[str, float]
    limits: Mapping[str, float]
    finished: bool = False


def checked(asked: Mapping[str, float]) -> Mapping[str, float]:
    """The same, when it can be added to a budget.

    Raises:
        InputError: a name is no limit, or an amount is not above 0, or not whole where it must be.
    """
    for name, amount in asked.items():
        if name not in LIMITS:
            raise InputError(f"--extend: unknown limit {nearest(name, LIMITS)}")
        whole = name in WHOLE
        if isinstance(amount, bool) or not math.isfinite(amount) or amount <= 0 or (whole and amount != int(amount)):
            what = "a whole number of at least 1" if whole else "a number above 0"
            raise InputError(f"--extend: {name} takes {what}, but got {amount:g}")
    return asked


def require_run(directory: RunDirectory, asked: Mapping[str, float]) -> None:
    """See that there is something to extend; nothing is written.

    A run that is not there could be given the file's budget and more, but then a slip in ``--run`` would search anew.

    Raises:
        InputError: there is no run.
    """
    if asked and directory.manifest() is None:
        raise InputError(
            f"{directory.path}: there is no run here to extend; leave --extend out to begin one, or name the run with "
            "--run DIR"
        )


def extended(directory: RunDirectory, budget: Budget, spent: Spent, asked: Mapping[str, float]) -> Budget:
    """The budget that holds for a run, with what it was given beyond the study file; written to the manifest.

    Args:
        directory: of the run, held, with its manifest written.
        budget: the study file's.
        spent: what is on disk, see ``begun``.
        asked: to be added; empty to go on with what was asked before.

    Raises:
        InputError: it cannot be added, or would change nothing since another limit is reached.
    """
    there = _read(directory)
    if asked:
        found = _extension(there, budget, spent, checked(asked))
        if found != there:
            _write(directory, found)
        there = found
    return budget if there is None else budget.raised(there.limits)


def finish(directory: RunDirectory) -> None:
    """The run has come to its end: what is asked from now on is added on top."""
    there = _read(directory)
    if there is not None and not there.finished:
        _write(directory, Extension(**{**vars(there), "finished": True}))


def _extension(there: Extension | None, budget: Budget, spent: Spent, asked: Mapping[str, float]) -> Extension:
    if there is not None and not there.finished:
        if there.asked == asked:
            return there
        earlier, stood = there.earlier, there.stood
    else:
        earlier = there.limits if there is not None else {}
        stood = {name: amount for name in LIMITS if (amount := spent.amount(name)) is not None}
    given = budget.raised(earlier)
    if unknown := [name for name in asked if name not in stood]:
        raise InputError(f"--extend {unknown[0]}: this run does not know how many it has spent; extend another limit")
    limits = {name: max(given.limits.get(name, 0.0), stood[name]) + amount for name, amount in asked.items()}
    found = Extension(asked=dict(asked), stood=dict(stood), earlier=dict(earlier), limits={**dict(earlier), **limits})
    used_up = {
        name: limit
        for name, limit in given.limits.items()
        if name not in asked and name in stood and stood[name] >= limit
    }
    if used_up:
        said = " and ".join(f"{readable(limit)} {LIMITS[name]}" for name, limit in used_up.items())
        more = " ".join(f"--extend {name}=…" for name in used_up)
        raise InputError(f"--extend {_written(asked)} would change nothing: {said}. Add {more}")
    return found


def _written(asked: Mapping[str, float]) -> str:
    return " --extend ".join(f"{name}={amount:g}" for name, amount in asked.items())


def _read(directory: RunDirectory) -> Extension | None:
    data: Any = (directory.manifest() or {}).get(_KEY)
    if data is None:
        return None
    try:
        return Extension(**data)
    except TypeError as error:
        raise InputError(f"{directory.path}: {_KEY} in its manifest is not one: {error}; remove it there") from error


def _write(directory: RunDirectory, extension: Extension) -> None:
    directory.write_manifest({**(directory.manifest() or {}), _KEY: asdict(extension)})
