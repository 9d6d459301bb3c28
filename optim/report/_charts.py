"""The plots of the report."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import combinations
from typing import Any

from orkester.evals.measurement import Measurement
from orkester.evals.objectives import Estimate
from orkester.evals.objectives.calls import CALLS
from orkester.evals.objectives.quality import QUALITY
from orkester.optim.run.results import Results, TeamResult

from ._numbers import number, unit
from ._plot import Chart, bars, chart

#: The colours of points by their group. They differ from white and from each other, also in a print without colours.
COLOURS: Mapping[str, str] = {
    "front": "#0b6e4f",
    "measured": "#8494a0",
    "infeasible": "#c0392b",
    "search": "#0b6e4f",
    "confirmed": "#b35c00",
}
_SHAPES = (("circle", "●"), ("square", "■"), ("triangle-up", "▲"), ("diamond", "◆"), ("cross", "✚"), ("star", "★"))
_LOGARITHMIC_FROM = 20.0  # largest over smallest
#: The most teams of a kind, besides the front, that a plot shows. More could not be seen, and each takes 100 bytes.
MOST_POINTS = 500
#: The positions of the numbers of front members, in turn, so that numbers of neighbours rarely overlap.
_CORNERS = ("top left", "bottom right", "top right", "bottom left")


def shapes(results: Results) -> dict[str, tuple[str, str]]:
    """For each topology, the name of a symbol in Plotly and a character that looks like it."""
    names = sorted({result.team.topology for result in results.teams})
    return {name: _SHAPES[i % len(_SHAPES)] for i, name in enumerate(names)}


def front_charts(results: Results, energy: str) -> list[Chart]:
    """Plot objectives against each other: each pair of up to three objectives, or the first against each other one.

    Front members with their numbers and intervals, all other teams behind them. A single objective is shown against
    the model calls, which say what it costs.
    """
    first, *others = results.objectives
    if not others:
        pairs = [(CALLS.name if first != CALLS.name else QUALITY.name, first)]
    elif len(others) == 2:
        pairs = [(x, y) for y, x in combinations(results.objectives, 2)]
    else:
        pairs = [(other, first) for other in others]
    return [_scatter(results, x=x, y=y, energy=energy) for x, y in pairs]


def drawn(results: Results) -> dict[str, str]:
    """For each group, how many of its teams the plots show, in brackets; empty if they show all."""
    found = {}
    for group, teams in _beside(results).items():
        shown = len(_spread(teams))
        found[group] = f" ({shown:,} of {len(teams):,})" if shown < len(teams) else ""
    return found


def _beside(results: Results) -> dict[str, Sequence[TeamResult]]:
    """The teams that are not on the front, by group."""
    rest = [result for result in results.teams if not result.on_front]
    return {
        "infeasible": [result for result in rest if result.infeasible],
        "measured": [result for result in rest if not result.infeasible],
    }


def _spread(teams: Sequence[TeamResult]) -> Sequence[TeamResult]:
    """The teams that are shown: all, or an even choice over their trials if there are too many."""
    if len(teams) <= MOST_POINTS:
        return teams
    return [teams[i * len(teams) // MOST_POINTS] for i in range(MOST_POINTS)]


def confirmation_charts(results: Results, energy: str) -> list[Chart]:
    """Plot for each objective the intervals of the front members in the search and in confirmation."""
    members = [(i, result) for i, result in enumerate(results.front, start=1) if result.confirmed is not None]
    if not members:
        return []
    charts = []
    for objective in results.objectives:
        data = []
        for label, symbol, shift in (("search", "circle", -0.14), ("confirmed", "diamond", 0.14)):
            rows = [(i, _estimate(getattr(result, label), objective)) for i, result in members]
            found = [(i, estimate) for i, estimate in rows if estimate is not None]
            data.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": label,
                    "x": [estimate.value for _, estimate in found],
                    "y": [i + shift for i, _ in found],
                    "error_x": bars([estimate for _, estimate in found], COLOURS[label]),
                    "marker": {"color": COLOURS[label], "size": 9, "symbol": symbol},
                    "hovertemplate": f"%{{x:.4g}}<extra>{label}</extra>",
                }
            )
        axis = {
            "tickvals": [i for i, _ in members],
            "ticktext": [f"<b>{i}</b> {escape(result.team.topology)}" for i, result in members],
            "range": [members[-1][0] + 0.6, members[0][0] - 0.6],
        }
        charts.append(
            chart(
                f"confirmed-{objective}",
                f"{objective} of the front in the search and in confirmation",
                data,
                height=80 + 44 * len(members),
                xaxis={"title": _title(results, objective, energy)},
                yaxis=axis,
            )
        )
    return charts


def _scatter(results: Results, *, x: str, y: str, energy: str) -> Chart:
    symbols = shapes(results)
    groups = {**{group: _spread(teams) for group, teams in _beside(results).items()}, "front": results.front}
    found = {group: list(_points(members, x, y)) for group, members in groups.items()}
    feasible = found["measured"] + found["front"]
    bounds = [_bounds([p.x for p in feasible]), _bounds([p.y for p in feasible])]
    data: list[dict[str, Any]] = []
    for group, points in found.items():
        colour = COLOURS[group]
        trace: dict[str, Any] = {
            "type": "scatter",
            "mode": "markers",
            "name": group,
            "x": [p.x.value for p in points],
            "y": [p.y.value for p in points],
            "hovertext": [
                f"{escape(str(p.result.team))}<br>{x} {number(p.x.value)}<br>{y} {number(p.y.value)}" for p in points
            ],
            "hovertemplate": f"%{{hovertext}}<extra>{group}</extra>",
            "marker": {
                "color": colour,
                "size": 8,
                "symbol": [symbols[p.result.team.topology][0] for p in points],
                "line": {"width": 0.5, "color": colour},
            },
        }
        if group == "infeasible":
            # What a team that failed would score says little: it must not make the plot of the others small.
            trace["x"] = [_within(value, bounds[0]) for value in trace["x"]]
            trace["y"] = [_within(value, bounds[1]) for value in trace["y"]]
            trace["marker"] |= {"symbol": "x-thin", "line": {"width": 1.5, "color": colour}}
        if group == "front":
            trace |= {
                "mode": "markers+text",
                "text": [f"<b>{p.number}</b>" for p in points],
                "textposition": [_CORNERS[p.number % len(_CORNERS) - 1] for p in points],
                "textfont": {"color": colour, "size": 13},
                "error_x": bars([p.x for p in points], colour),
                "error_y": bars([p.y for p in points], colour),
            }
            trace["marker"]["size"] = 11
        data.append(trace)
    return chart(
        f"front-{x}-{y}",
        f"{y} against {x} of all teams",
        data,
        height=340,
        xaxis={"title": _title(results, x, energy), **_scale(*bounds[0])},
        yaxis={"title": _title(results, y, energy)},
    )


@dataclass(frozen=True, kw_only=True)
class _Point:
    number: int
    result: TeamResult
    x: Estimate
    y: Estimate


def _points(members: Sequence[TeamResult], x: str, y: str) -> Iterator[_Point]:
    for number_, result in enumerate(members, start=1):
        along, up = _estimate(result.search, x), _estimate(result.search, y)
        if along is not None and up is not None:
            yield _Point(number=number_, result=result, x=along, y=up)


def _bounds(estimates: Sequence[Estimate]) -> tuple[float, float]:
    ends = [end for e in estimates for end in (e.low, e.value, e.high) if end is not None]
    return min(ends), max(ends)


def _within(value: float, bounds: tuple[float, float]) -> float:
    return min(max(value, bounds[0]), bounds[1])


def _scale(low: float, high: float) -> dict[str, Any]:
    """A logarithmic axis if values differ much, with ticks at 1, 2 and 5 or powers of ten; otherwise a linear one."""
    if low <= 0 or high / low <= _LOGARITHMIC_FROM:
        return {}
    digits = (1, 2, 5) if high / low <= 100 else (1,)
    decades = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    ticks = [digit * 10.0**decade for decade in decades for digit in digits]
    return {"type": "log", "tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks], "tickangle": 0}


def _estimate(measurement: Measurement | None, name: str) -> Estimate | None:
    return measurement.estimates.get(name) if measurement is not None else None


def _title(results: Results, name: str, energy: str) -> dict[str, Any]:
    in_units = f" [{unit(name, energy)}]" if unit(name, energy) else ""
    wish = {"maximize": ", more is better", "minimize": ", less is better", None: ""}[results.objectives.get(name)]
    return {"text": name + in_units + wish, "standoff": 10}
