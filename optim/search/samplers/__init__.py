"""Samplers, one file each. A sampler chooses the teams that get the next blocks.

Each file whose name does not start with an underscore defines ``sampler``: a class or function that takes a
``Setting`` and returns a ``Sampler``, or a ``FromOptuna``.
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
from ._recorded import RecordingSampler

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

#: Makes the sampler of a study. A plug-in is such a function or class, or a ``FromOptuna``.
MakeSampler: TypeAlias = Callable[[Setting], Sampler]


def __getattr__(name: str) -> Any:
    if name == "FromOptuna":  # Optuna takes long to import
        from ._optuna import FromOptuna

        return FromOptuna
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _accept(_: str, loaded: object) -> MakeSampler | FromOptuna:
    if not callable(loaded):
        raise TypeError(f"is not a class, a function or a FromOptuna, but {loaded!r:.60}")
    return loaded


SAMPLERS: Final = Registry(
    kind="sampler", group="samplers", built_in=files_of("orkester.optim.search.samplers", "sampler"), accept=_accept
)


def samplers() -> Sequence[str]:
    """The names that a study file may use: ``auto``, the samplers of Orkester, and those of installed packages."""
    return (AUTO, *SAMPLERS.names())


def auto(space: Space, budget: BudgetPart) -> str:
    """Choose a sampler for a study that uses ``auto``.

    The sampler is ``ehvi`` when its model can hold every team of the space. For a larger space, ``ehvi`` would search
    only a part of the space, so the sampler is ``tpe``.

    Args:
        space: The space of the study.
        budget: The budget of the study. It has no influence so far.

    Returns:
        The name of the sampler.
    """
    del budget
    return "ehvi" if len(space) <= MOST_TEAMS else "tpe"


def require(name: str, *, folder: Path | None = None) -> None:
    """Check that a sampler can be used.

    Args:
        name: One of ``samplers``, or ``module:name``.
        folder: The folder where a module is looked for first.

    Raises:
        InputError: The sampler does not exist, cannot be imported, or needs a package that is not installed.
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
            f"the sampler {name} needs {' and '.join(absent)}, which is not installed; to install it, run: pip install "
            f"'orkester[{extra}]'; or use another sampler, for example {AUTO}"
        )


def make(name: str, setting: Setting, trials: Trials) -> Sampler:
    """Make a sampler.

    Args:
        name: One of ``samplers`` except ``auto``, or ``module:name``.
        setting: The setting of the study.
        trials: The trials, in which all outcomes are recorded.

    Raises:
        InputError: See ``require``.
        ValueError: The name is ``auto``.
    """
    if name == AUTO:
        raise ValueError("replace 'auto' by the result of auto() before calling make()")
    require(name)
    plugin = SAMPLERS.get(name)
    from ._optuna import FromOptuna

    if isinstance(plugin, FromOptuna):
        return plugin(setting, trials)
    instance = plugin(setting)
    require_like("sampler", name, instance, Sampler)
    return RecordingSampler(instance, trials)
