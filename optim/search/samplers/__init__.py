"""Samplers by name: which teams get the next blocks.

A new sampler is a file here, a line in ``_MAKERS`` and a class in ``tests/contracts/test_samplers.py``.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final

from orkester.errors import InputError, nearest
from orkester.optim.search.models.surrogate import MOST_TEAMS
from orkester.optim.study.study_file import AUTO_SAMPLER as AUTO

from ._base import Outcome, Sampler, Setting, Standing, Turn
from ._ehvi import Ehvi

if TYPE_CHECKING:
    from orkester.optim.search.trials import Trials
    from orkester.optim.study.parts import BudgetPart
    from orkester.optim.study.space import Space

__all__ = [
    "AUTO",
    "NAMES",
    "Ehvi",
    "Outcome",
    "Sampler",
    "Setting",
    "Standing",
    "Turn",
    "auto",
    "make",
    "require",
]


def _ehvi(setting: Setting, trials: Trials) -> Sampler:
    from ._recorded import Recorded

    return Recorded(Ehvi(setting), trials)


def _grid(setting: Setting, trials: Trials) -> Sampler:
    from ._grid import Grid
    from ._recorded import Recorded

    return Recorded(Grid(setting), trials)


def _of_optuna(name: str, setting: Setting, trials: Trials) -> Sampler:
    from . import _optuna  # Optuna takes long to import

    made: Sampler = getattr(_optuna, name)(setting, trials)
    return made


_MAKERS: Final[Mapping[str, Callable[[Setting, Trials], Sampler]]] = {
    "ehvi": _ehvi,
    "grid": _grid,
    **{name: partial(_of_optuna, name) for name in ("tpe", "gp", "nsga2", "nsga3", "random")},
}
#: What a study may say.
NAMES: Final = (AUTO, *_MAKERS)
#: Packages that a sampler needs beside Orkester's own, in the extra of its name.
_NEEDS: Final[Mapping[str, tuple[str, ...]]] = {"gp": ("torch",)}


def auto(space: Space, budget: BudgetPart) -> str:
    """The sampler for a space and a budget where a study leaves it open.

    It is ``ehvi`` as far as its model holds every team of the space, and ``tpe`` beyond, where ``ehvi`` would look at a
    part of the space alone. The budget does not matter so far.
    """
    del budget
    return "ehvi" if len(space) <= MOST_TEAMS else "tpe"


def require(name: str) -> None:
    """See that a sampler can be made here.

    Raises:
        InputError: there is none of this name, or what it needs is not installed.
    """
    if name not in NAMES:
        raise InputError(f"unknown sampler {nearest(name, NAMES)}")
    if absent := [package for package in _NEEDS.get(name, ()) if importlib.util.find_spec(package) is None]:
        raise InputError(
            f"{name} needs {' and '.join(absent)}, not installed here: pip install 'orkester[{name}]', or take another "
            f"sampler, such as {AUTO}"
        )


def make(name: str, setting: Setting, trials: Trials) -> Sampler:
    """A sampler.

    Args:
        name: one of ``NAMES`` other than ``auto``.
        setting: of the study.
        trials: where all samplers keep what they were told.

    Raises:
        InputError: there is none of this name, or what it needs is not installed.
    """
    require(name)
    if name == AUTO:
        raise ValueError("auto is decided by auto(), once for a run")
    return _MAKERS[name](setting, trials)
