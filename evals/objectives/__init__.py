"""What a study can optimise or constrain: a file for each objective, or for a few that belong together.

A file whose name has no underscore in front defines ``OBJECTIVES``, a tuple of ``Objective``. Adding an objective takes
no more than that: measurements, racing, confirmation, the search's model, ``orkester best`` and the report ask the
objective for what they need.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from orkester.errors import InputError

from ._base import Column, Direction, Estimate, Objective, Prediction, Statistic, Totals
from ._columns import PerBlock, PerCall, PerExample
from ._statistics import Mean, PerSuccess, Quantile, Share

__all__ = [
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
]


@cache
def objectives() -> Mapping[str, Objective]:
    """All objectives by name, in the order of their files' names."""
    files = sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))
    found: dict[str, Objective] = {}
    for file in files:
        for each in importlib.import_module(f"{__name__}.{file}").OBJECTIVES:
            if each.name in found:
                raise ValueError(f"there are two objectives with the name {each.name!r}, one of them in {file}.py")
            found[each.name] = each
    return MappingProxyType(found)


def objective(name: str) -> Objective:
    """The objective of that name.

    Raises:
        InputError: there is none; the message names the one that is spelt most alike.
    """
    known = objectives()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise InputError(f"unknown quantity {name!r}{hint}. Known: {', '.join(known)}")
    return known[name]
