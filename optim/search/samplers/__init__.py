"""Samplers, one file each: which teams get the next blocks.

A file whose name has no underscore in front defines ``sampler``: a class or function that takes a ``Setting`` and
returns a ``Sampler``, or a ``FromOptuna``.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from orkester.errors import InputError, unknown
from orkester.optim.search.models.surrogate import MOST_TEAMS
from orkester.optim.study.study_file import AUTO_SAMPLER as AUTO
from orkester.registry import Registry, files_of, require_like

from ..outcome import Outcome
from ._base import Sampler, Setting, Standing, Turn
from ._recorded import Recorded

if TYPE_CHECKING:
    from orkester.optim.search.trials import Trials
    from orkester.optim.study.parts import BudgetPart
    from orkester.optim.study.space import Space

    from ._optuna import FromOptuna

__all__ = [
    "AUTO",
    "SAMPLERS",
    "FromOptuna",
    "Outcome",
    "Sampler",
    "Setting",
    "Standing",
    "Turn",
    "auto",
    "make",
    "require",
    "samplers",
]

#: What a sampler's plug-in is: makes the sampler of a study, unless it is a ``FromOptuna``.
MakeSampler: TypeAlias = Callable[[Setting], Sampler]


def __getattr__(name: str) -> Any:
    if name == "FromOptuna":  # Optuna takes long to import
        from ._optuna import FromOptuna

        return FromOptuna
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _accept(_: str, loaded: object) -> MakeSampler | FromOptuna:
    if not callable(loaded):
        raise TypeError(f"is neither a class, nor a function, nor a FromOptuna, but {loaded!r:.60}")
    return loaded


SAMPLERS: Final = Registry(
    kind="sampler", group="samplers", built_in=files_of("orkester.optim.search.samplers", "sampler"), accept=_accept
)


def samplers() -> Sequence[str]:
    """What a study may say: ``auto``, the samplers that come with Orkester, and those of installed packages."""
    return (AUTO, *SAMPLERS.names())


def auto(space: Space, budget: BudgetPart) -> str:
    """The sampler for a space and a budget where a study leaves it open.

    It is ``ehvi`` as far as its model holds every team of the space, and ``tpe`` beyond, where ``ehvi`` would look at a
    part of the space alone. The budget does not matter so far.
    """
    del budget
    return "ehvi" if len(space) <= MOST_TEAMS else "tpe"


def require(name: str, *, folder: Path | None = None) -> None:
    """See that a sampler can be made here.

    Args:
        name: One of ``samplers``, or ``module:name``.
        folder: Where a module is looked for first.

    Raises:
        InputError: There is no sampler of this name, it cannot be imported, or what it needs is not installed.
    """
    if name == AUTO:
        return
    if ":" not in name and name not in SAMPLERS.names():
        raise InputError(f"{unknown('sampler', name, samplers())}, or module:name")
    plugin = SAMPLERS.get(name, folder=folder)
    needs: Sequence[str] = getattr(plugin, "needs", ())
    if absent := [package for package in needs if importlib.util.find_spec(package) is None]:
        extra = getattr(plugin, "extra", name)
        raise InputError(
            f"{name} needs {' and '.join(absent)}, not installed here: pip install 'orkester[{extra}]', or take "
            f"another sampler, such as {AUTO}"
        )


def make(name: str, setting: Setting, trials: Trials) -> Sampler:
    """A sampler.

    Args:
        name: one of ``samplers`` other than ``auto``, or ``module:name``.
        setting: of the study.
        trials: where all samplers keep what they were told.

    Raises:
        InputError: see ``require``.
    """
    if name == AUTO:
        raise ValueError("auto is decided by auto(), once for a run")
    require(name)
    plugin = SAMPLERS.get(name)
    from ._optuna import FromOptuna

    if isinstance(plugin, FromOptuna):
        return plugin(setting, trials)
    made = plugin(setting)
    require_like("sampler", name, made, Sampler)
    return Recorded(made, trials)
