"""The front: its teams in plots and in numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orkester.evals.objectives.quality import QUALITY
from orkester.optim.insight.choosing import best
from orkester.optim.run.cut_answer_warnings import notable_share

from .._charts import drawn, front_charts, state, symbols
from .._joules import marks
from .._material import Material
from .._numbers import interval
from .._plot import Chart
from .._rows import cells, row
from .._section import Section


def _content(material: Material) -> dict[str, Any]:
    """The content. Each run has it: without a front, the section says so."""
    results = material.results
    charts = front_charts(results, material.energy) if results.front else []
    return {
        "members": _members(material),
        "charts": charts,
        "drawn": drawn(results),
        "shapes": {topology: character for topology, (_, character, _) in symbols(results).items()},
        "legend": _legend(material, charts),
        "names": _names(material),
        "directions": dict(results.objectives),
        "guesses": _guesses(material),
        "verdict": best(results).why if results.front else "",
    }


def _legend(material: Material, charts: Sequence[Chart]) -> list[dict[str, str]]:
    """The kinds of points that the plots have: a colour, a character and a text each."""
    results = material.results
    front, rest = results.front, [result for result in results.teams if not result.on_front]
    states = {state(result) for result in front}
    shown = drawn(results)
    kinds = (
        ("front", "●", "front, confirmed values with intervals", "confirmed" in states),
        ("front", "○", "front, confirmed in part", "confirmed in part" in states),
        ("search", "●", "front, searched only", "searched only" in states),
        ("near", "●", "near the front, confirmed values", any(r.settled for r in results.near)),
        ("near", "○", "near the front, confirmed in part", any(not r.settled for r in results.near)),
        ("measured", "●", f"searched{shown['measured']}", any(r.whole and not r.infeasible for r in rest)),
        ("measured", "○", "searched in part", any(not r.whole and not r.infeasible for r in rest)),
        ("infeasible", "×", f"infeasible{shown['infeasible']}", any(r.infeasible for r in rest)),
    )
    guides = {guide.name: guide.value for chart in charts for guide in chart.guides_in_view}
    return [
        *({"colour": colour, "mark": mark, "text": text} for colour, mark, text, there in kinds if there),
        *({"colour": "ink", "mark": "┄", "text": f"{name}: {value:.3g}"} for name, value in guides.items()),
    ]


def _guesses(material: Material) -> list[dict[str, Any]]:
    """What guesses score in the search and on the held-out examples."""
    results = material.results
    if QUALITY.name not in results.objectives:
        return []
    labels = {"search": "search", "confirm": "held-out examples"}
    return [
        {
            "name": guess.name,
            "phases": [
                {"label": labels[phase], "n": quality.n, "quality": {**interval(quality), "power": ""}}
                for phase, quality in ((phase, guess.estimate(phase)) for phase in guess.scores)
            ],
        }
        for guess in results.baselines
    ]


def _names(material: Material) -> list[dict[str, Any]]:
    """The names behind the numbers in the plots."""
    topologies = symbols(material.results)
    return [
        {
            "number": number,
            "id": result.team.id,
            "team": str(result.team),
            "state": state(result),
            "colour": "search" if result.confirmed is None else "front",
            "mark": topologies[result.team.topology][2 if state(result) == "confirmed in part" else 1],
        }
        for number, result in enumerate(material.results.front, start=1)
    ]


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
