"""The front: its teams in plots and in numbers."""

from __future__ import annotations

from typing import Any

from orkester.optim.insight.choosing import best
from orkester.optim.run.cut_answer_warnings import notable_share

from .._charts import drawn, front_charts, shapes
from .._joules import marks
from .._material import Material
from .._rows import cells, row
from .._section import Section


def _content(material: Material) -> dict[str, Any]:
    """The content. Each run has it: without a front, the section says so."""
    results = material.results
    return {
        "members": _members(material),
        "charts": front_charts(results, material.energy) if results.front else [],
        "drawn": drawn(results),
        "shapes": {topology: character for topology, (_, character) in shapes(results).items()},
        "directions": dict(results.objectives),
        "verdict": best(results).why if results.front else "",
    }


def _members(material: Material) -> list[dict[str, Any]]:
    results, power = material.results, material.power_range
    numbers = {result.team.id: number for number, result in enumerate(results.front, start=1)}
    members = [(result, group[0]) for group in results.groups for result in group]
    return [
        {
            **row(result, results),
            "number": numbers[result.team.id],
            "alike": numbers[first.team.id] if first is not result else 0,
            "cells": cells(result.search, results, power),
            "confirmed": cells(result.confirmed, results, power) if result.confirmed else None,
            "confirmed_n": result.confirmed.examples if result.confirmed else 0,
            "cut_short": bool(result.confirmed and not result.settled),
            "marks": marks(result),
            "cut": notable_share(result),
        }
        for result, first in members
    ]


SECTION = Section(key="front", label="Front", content=_content)
