"""What a study can optimise or constrain: a file for each objective, or for a few that belong together.

A file whose name has no underscore in front defines ``OBJECTIVES``, a tuple of ``Objective``. Adding an objective takes
no more than that: measurements, racing, confirmation, the search's model, ``orkester best`` and the report ask the
objective for what they need.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from orkester.registry import BUILT_IN, Plugin, Registry, files

from ._base import Column, Direction, Estimate, Objective, Prediction, Statistic, Totals
from ._columns import PerBlock, PerCall, PerExample
from ._statistics import Mean, PerSuccess, Quantile, Share, share_estimate

__all__ = [
    "OBJECTIVES",
    "Column",
    "Direction",
    "Estimate",
    "Mean",
    "Objective",
    "PerBlock",
    "PerCall",
    "PerExample",
    "PerSuccess",
    "Prediction",
    "Quantile",
    "Share",
    "Statistic",
    "Totals",
    "objective",
    "objectives",
    "share_estimate",
]


def _built_in() -> Iterable[Plugin]:
    names: set[str] = set()
    for module in files(__name__):
        for each in importlib.import_module(module).OBJECTIVES:
            if each.name in names:
                raise ValueError(f"there are two objectives with the name {each.name!r}, one of them in {module}")
            names.add(each.name)
            yield Plugin(name=each.name, origin=BUILT_IN, target=f"{module}:OBJECTIVES", load=partial(_itself, each))


def _itself(each: Objective) -> Objective:
    return each


def _accept(name: str, loaded: object) -> Objective:
    if not isinstance(loaded, Objective):
        raise TypeError(f"is not an orkester.evals.objectives.Objective, but {loaded!r:.60}")
    return loaded if loaded.name == name else replace(loaded, name=name)


OBJECTIVES: Final = Registry(kind="objective", group="objectives", built_in=_built_in, accept=_accept)


def objectives() -> Mapping[str, Objective]:
    """The objectives that every block is measured in: the built-in ones, and those that a study uses.

    An objective of an installed package that no study uses is left out, so that its errors cannot stop a study.

    Returns:
        The objectives by name.
    """
    return OBJECTIVES.in_use()


def objective(name: str, *, folder: Path | None = None) -> Objective:
    """Get an objective.

    Args:
        name: The name of the objective, or ``module:name``.
        folder: The folder where a module is looked for first; see ``Registry.get``.

    Raises:
        InputError: The objective does not exist or cannot be used. The message suggests a similar name.
    """
    return OBJECTIVES.get(name, folder=folder)
