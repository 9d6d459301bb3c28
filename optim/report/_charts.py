"""The plots of the report."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from orkester.evals.objectives import Estimate
from orkester.evals.objectives.calls import CALLS
from orkester.evals.objectives.quality import QUALITY
from orkester.evals.records.block import Phase
from orkester.evals.summaries.measurement import Measurement
from orkester.optim.run.results import Results, TeamResult

from ._axis import axis
from ._numbers import number, span, unit
from ._palette import named
from ._plot import SYMBOLS, Chart, Guide, Point, Points, ends, rows

#: The most teams of a kind, besides the front, that a plot shows. More could not be seen, and each takes 200 bytes.
MOST_POINTS = 500
_HEIGHT, _ROW, _BESIDE_ROWS = 330, 40, 70


def symbols(results: Results) -> dict[str, tuple[str, str, str]]:
    """For each topology, the name of a symbol, a character that looks like it, and one that looks like its outline."""
    names = sorted({result.team.topology for result in results.teams})
    return {name: SYMBOLS[i % len(SYMBOLS)] for i, name in enumerate(names)}


def state(result: TeamResult) -> str:
    """What is known of a team of the front or near it: where its values are from."""
    if result.confirmed is None:
        return "searched only"
    return "confirmed" if result.settled else "confirmed in part"


def front_charts(results: Results, energy: str) -> list[Chart]:
    """Plot objectives against each other: each pair of up to three objectives, or the first against each other one.

    Front members with their numbers and intervals, all other teams behind them. What was confirmed is shown by its
    confirmed values, all else by those of the search. A single objective is shown against the model calls, which say
    what it costs.
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
    notes = {}
    for group, teams in _beside(results).items():
        shown = len(_spread(teams))
        notes[group] = f" ({shown:,} of {len(teams):,})" if shown < len(teams) else ""
    return notes


def _beside(results: Results) -> dict[str, Sequence[TeamResult]]:
    """The teams that were only searched and are not on the front, by group."""
    near = {result.team.id for result in results.near}
    rest = [result for result in results.teams if not result.on_front and result.team.id not in near]
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
        series = []
        for name, colour, symbol, shift in (
            ("search", "search", "circle", -0.16),
            ("confirmed", "front", "diamond", 0.16),
        ):
            points = []
            for i, result in members:
                estimate = _estimate(getattr(result, name), objective)
                if estimate is not None:
                    hollow = name == "confirmed" and not result.settled
                    points.append(
                        Point(
                            x=estimate.value,
                            y=i + shift,
                            tip=f"{i} {result.team}\n{state(result) if name == 'confirmed' else name}: "
                            f"{objective} {_written(estimate)}",
                            x_interval=estimate,
                            symbol=symbol,
                            hollow=hollow,
                        )
                    )
            series.append(Points(name=name, colour=named(colour), points=points))
        values = [point.x for each in series for point in each.points]
        charts.append(
            Chart(
                id=f"confirmed-{objective}",
                label=f"{objective} of the front in the search and in confirmation",
                height=_BESIDE_ROWS + _ROW * len(members),
                series=series,
                x=axis(_title(results, objective, energy), values, ends=_ends(series, "x_interval"), whole=values),
                y=rows([(i, f"{i} {result.team.topology}") for i, result in members]),
            )
        )
    return charts


def _scatter(results: Results, *, x: str, y: str, energy: str) -> Chart:
    kinds = symbols(results)
    near = [(result, "") for result in results.near]
    front = [(result, str(i)) for i, result in enumerate(results.front, start=1)]
    beside = _beside(results)
    groups: Sequence[tuple[str, str, Sequence[tuple[TeamResult, str]]]] = (
        ("infeasible", "infeasible", [(result, "") for result in _spread(beside["infeasible"])]),
        ("searched", "measured", [(result, "") for result in _spread(beside["measured"])]),
        ("near the front", "near", near),
        ("front, searched only", "search", [(result, label) for result, label in front if result.confirmed is None]),
        ("front", "front", [(result, label) for result, label in front if result.confirmed is not None]),
    )
    series = []
    for name, colour, teams in groups:
        points = []
        for result, label in teams:
            measurement = _shown(result, x, y)
            across, up = _estimate(measurement, x), _estimate(measurement, y)
            if across is None or up is None:
                continue
            intervals = {"x_interval": across, "y_interval": up} if label else {}
            values = f"{x} {_written(across)}\n{y} {_written(up)}"
            points.append(
                Point(
                    x=across.value,
                    y=up.value,
                    tip=f"{label} {result.team}\n{values}\n{_how(name, result)}".strip(),
                    symbol="cross" if name == "infeasible" else kinds[result.team.topology][0],
                    hollow=not result.whole if name == "searched" else state(result) == "confirmed in part",
                    label=label,
                    **intervals,
                )
            )
        radius = 5.0 if name.startswith("front") else 3.2
        series.append(Points(name=name, colour=named(colour), points=points, radius=radius))
    whole = [point for each in series if each.name.startswith("front") for point in each.points]
    # What a team that failed would score says little: it must not make the plot of the others small.
    sound = [point for each in series if each.name != "infeasible" for point in each.points]
    return Chart(
        id=f"front-{x}-{y}",
        label=f"{y} against {x} of all teams",
        height=_HEIGHT,
        series=series,
        x=axis(
            _title(results, x, energy),
            [point.x for point in sound],
            ends=_ends(series, "x_interval"),
            whole=[point.x for point in whole],
        ),
        y=axis(
            _title(results, y, energy),
            [point.y for point in sound],
            ends=_ends(series, "y_interval"),
            whole=[point.y for point in whole],
        ),
        symbols={topology: symbol for topology, (symbol, _, _) in kinds.items()},
        guides=[
            Guide(name=name, value=value, upright=x == QUALITY.name)
            for name, value in _guesses(results)
            if QUALITY.name in {x, y}
        ],
    )


def _guesses(results: Results) -> list[tuple[str, float]]:
    """The best guess with its quality on the examples whose values the plots show for the front; at most one."""
    if not results.baselines or QUALITY.name not in results.objectives:
        return []
    phase: Phase = "confirm" if any(result.confirmed is not None for result in results.front) else "search"
    guess = max(results.baselines, key=lambda baseline: baseline.value("search"))
    return [(guess.name, guess.value(phase))]


def _shown(result: TeamResult, x: str, y: str) -> Measurement | None:
    """The measurement whose values are drawn: the confirmed one where it has both."""
    confirmed = result.confirmed
    if confirmed is not None and not result.infeasible and {x, y} <= set(confirmed.estimates):
        return confirmed
    return result.search


def _how(group: str, result: TeamResult) -> str:
    if group == "infeasible":
        return f"infeasible: {result.infeasible}"
    if group == "searched":
        return "searched" if result.whole else "searched in part"
    return f"near the front, {state(result)}" if group == "near the front" else state(result)


def _ends(series: Sequence[Points], interval: str) -> list[float]:
    found = [getattr(point, interval) for each in series for point in each.points]
    return [end for estimate in found if estimate is not None for end in ends(estimate)]


def _written(estimate: Estimate) -> str:
    """A value with its interval."""
    value = number(estimate.value)
    if estimate.low is None or estimate.high is None:
        return value
    return f"{value} ({span(estimate.low, estimate.high)})"


def _estimate(measurement: Measurement | None, name: str) -> Estimate | None:
    return measurement.estimates.get(name) if measurement is not None else None


def _title(results: Results, name: str, energy: str) -> str:
    in_units = f" [{unit(name, energy)}]" if unit(name, energy) else ""
    wish = {"maximize": ", more is better", "minimize": ", less is better", None: ""}[results.objectives.get(name)]
    return name + in_units + wish
