"""The option ``--extend``: more budget for an existing run. It is kept in the manifest, so a killed run can continue.

An extension is added to what was spent when the run last finished. While the run has not finished with an extension,
the same command continues it and adds nothing; another extension replaces it; and a command without ``--extend``
continues it, too.
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
    """The budget that a run has in addition to that of its study file. The names of limits are those in study files.

    Attributes:
        asked: The additional amounts, by the names of limits.
        stood: The amounts that were spent at the time of the extension, by the names of limits, as far as they were
            known.
        earlier: The limits from earlier extensions, with which the run has finished.
        limits: The limits that are valid now. A higher limit in the study file takes precedence.
        finished: Whether the run has finished with this extension.
    """

    asked: Mapping[str, float]
    stood: Mapping[str, float]
    earlier: Mapping[str, float]
    limits: Mapping[str, float]
    finished: bool = False


def checked(asked: Mapping[str, float]) -> Mapping[str, float]:
    """Check that amounts can be added to a budget.

    Args:
        asked: The additional amounts, by the names of limits.

    Returns:
        The same amounts.

    Raises:
        InputError: A name is not a limit, an amount is not above 0, or an amount that must be a whole number is not.
    """
    for name, amount in asked.items():
        if name not in LIMITS:
            raise InputError(f"--extend: unknown limit {nearest(name, LIMITS)}")
        whole = name in WHOLE
        if isinstance(amount, bool) or not math.isfinite(amount) or amount <= 0 or (whole and amount != int(amount)):
            requirement = "a whole number of at least 1" if whole else "a number above 0"
            raise InputError(f"--extend: {name} takes {requirement}, but got {amount:g}")
    return asked


def require_run(directory: RunDirectory, asked: Mapping[str, float]) -> None:
    """Check that there is a run to extend. Nothing is written.

    A missing run is an error: otherwise a typing error in ``--run`` would start a new search.

    Args:
        directory: The run directory.
        asked: The additional amounts; empty for no extension.

    Raises:
        InputError: There is no run.
    """
    if asked and directory.manifest() is None:
        raise InputError(
            f"{directory.path}: this directory has no run to extend; to start a run, leave out --extend; to extend "
            "another run, use --run DIR"
        )


def extended(directory: RunDirectory, budget: Budget, spent: Spent, asked: Mapping[str, float]) -> Budget:
    """The budget of a run, with its extensions. A new extension is written to the manifest.

    Args:
        directory: The run directory, which is locked and has a manifest.
        budget: The budget of the study file.
        spent: What the run on disk has cost; see ``begun``.
        asked: The additional amounts, by the names of limits; empty to continue with an earlier extension.

    Returns:
        The budget.

    Raises:
        InputError: The amounts cannot be added, or would change nothing because another limit is reached.
    """
    extension = _read(directory)
    if asked:
        new_extension = _extension(extension, budget, spent, checked(asked))
        if new_extension != extension:
            _write(directory, new_extension)
        extension = new_extension
    return budget if extension is None else budget.raised(extension.limits)


def finish(directory: RunDirectory) -> None:
    """Record that the run has finished. A later extension is added to the amounts spent until now.

    Args:
        directory: The run directory, which is locked.
    """
    extension = _read(directory)
    if extension is not None and not extension.finished:
        _write(directory, Extension(**{**vars(extension), "finished": True}))


def _extension(previous: Extension | None, budget: Budget, spent: Spent, asked: Mapping[str, float]) -> Extension:
    if previous is not None and not previous.finished:
        if previous.asked == asked:
            return previous
        earlier, stood = previous.earlier, previous.stood
    else:
        earlier = previous.limits if previous is not None else {}
        stood = {name: amount for name in LIMITS if (amount := spent.amount(name)) is not None}
    current = budget.raised(earlier)
    if unknown := [name for name in asked if name not in stood]:
        raise InputError(
            f"--extend {unknown[0]}: it is not known how much of this limit the run has spent; extend another limit"
        )
    limits = {name: max(current.limits.get(name, 0.0), stood[name]) + amount for name, amount in asked.items()}
    reached = {
        name: limit
        for name, limit in current.limits.items()
        if name not in asked and name in stood and stood[name] >= limit
    }
    if reached:
        reasons = " and ".join(f"{readable(limit)} {LIMITS[name]}" for name, limit in reached.items())
        options = " ".join(f"--extend {name}=…" for name in reached)
        raise InputError(f"--extend {_option_text(asked)} would change nothing: {reasons}. Add {options}")
    return Extension(asked=dict(asked), stood=dict(stood), earlier=dict(earlier), limits={**dict(earlier), **limits})


def _option_text(asked: Mapping[str, float]) -> str:
    return " --extend ".join(f"{name}={amount:g}" for name, amount in asked.items())


def _read(directory: RunDirectory) -> Extension | None:
    data: Any = (directory.manifest() or {}).get(_KEY)
    if data is None:
        return None
    try:
        return Extension(**data)
    except TypeError as error:
        raise InputError(
            f"{directory.path}: the key {_KEY} in the manifest is not an extension: {error}; remove this key"
        ) from error


def _write(directory: RunDirectory, extension: Extension) -> None:
    directory.write_manifest({**(directory.manifest() or {}), _KEY: asdict(extension)})
