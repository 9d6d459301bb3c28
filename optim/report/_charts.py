"""The report's plots, as HTML fragments that share one copy of plotly.js."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from orkester.evals.measurement import Estimate, Measurement
from orkester.evals.objectives import OBJECTIVES

from ..results import Results, TeamResult

if TYPE_CHECKING:
    import plotly.graph_objects as go

FRONT, OTHER, INFEASIBLE, CONFIRMED = "#0b6e4f", "#a9b4bd", "#c8553d", "#e09f3e"
_LOGARITHMIC_FROM = 20.0  # largest over smallest


def library() -> str:
    """plotly.js itself, to embed once."""
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


def front_charts(results: Results) -> list[str]:
    """The first objective against each of the others: front members with intervals, all other teams behind them."""
    first, *others = results.objectives
    if not others:
        return [_scatter(results, x="calls", y=first)]
    return [_scatter(results, x=other, y=first) for other in others]


def confirmation_charts(results: Results) -> list[str]:
    """For each objective: the front members' intervals in the search and in confirmation, side by side."""
    import plotly.graph_objects as go

    members = [result for result in results.front if result.confirmed is not None]
    if not members:
        return []
    charts = []
    names = [result.team.id for result in members]
    for objective in results.objectives:
        figure = go.Figure()
        searched = [result.search for result in members]
        confirmed = [result.confirmed for result in members]
        for label, colour, measurements, shift in (
            ("search", FRONT, searched, -0.12),
            ("confirmed", CONFIRMED, confirmed, 0.12),
        ):
            rows = [(i + shift, _estimate(measurement, objective)) for i, measurement in enumerate(measurements)]
            found = [(y, estimate) for y, estimate in rows if estimate is not None]
            figure.add_scatter(
                x=[estimate.value for _, estimate in found],
                y=[y for y, _ in found],
                error_x=_bars([estimate for _, estimate in found], colour),
                mode="markers",
                marker={"color": colour, "size": 9, "symbol": "circle" if label == "search" else "diamond"},
                name=label,
                hovertemplate="%{x:.4g}<extra>" + label + "</extra>",
            )
        figure.update_yaxes(tickvals=list(range(len(names))), ticktext=names, autorange="reversed")
        figure.update_xaxes(title=_axis(objective))
        charts.append(_html(figure, height=110 + 46 * len(names)))
    return charts


def importance_chart(importances: Mapping[str, Mapping[str, float]]) -> str:
    """Each parameter's share of importance, for every objective; empty when nothing can be said."""
    import plotly.graph_objects as go

    if not importances:
        return ""
    parameters = sorted({p for shares in importances.values() for p in shares}, key=lambda p: _total(importances, p))
    colours = [FRONT, CONFIRMED, "#3d5a80", INFEASIBLE, OTHER]
    figure = go.Figure()
    for i, (objective, shares) in enumerate(importances.items()):
        figure.add_bar(
            x=[shares.get(parameter, 0.0) for parameter in parameters],
            y=parameters,
            orientation="h",
            name=objective,
            marker_color=colours[i % len(colours)],
            hovertemplate="%{y}: %{x:.2f}<extra>" + objective + "</extra>",
        )
    figure.update_xaxes(title="share of importance")
    return _html(figure, height=110 + 13 * len(parameters) * len(importances))


def _scatter(results: Results, *, x: str, y: str) -> str:
    import plotly.graph_objects as go

    groups: list[tuple[str, str, str, list[TeamResult]]] = [
        ("infeasible", INFEASIBLE, "x-thin-open", [r for r in results.teams if r.infeasible]),
        ("measured", OTHER, "circle", [r for r in results.teams if not r.infeasible and not r.on_front]),
        ("front", FRONT, "circle", list(results.front)),
    ]
    figure = go.Figure()
    drawn: list[float] = []
    for label, colour, symbol, members in groups:
        points = [(r, _estimate(r.search, x), _estimate(r.search, y)) for r in members]
        found = [(r, ex, ey) for r, ex, ey in points if ex is not None and ey is not None]
        if not found:
            continue
        drawn += [ex.value for _, ex, _ in found]
        on_front = label == "front"
        figure.add_scatter(
            x=[ex.value for _, ex, _ in found],
            y=[ey.value for _, _, ey in found],
            error_x=_bars([ex for _, ex, _ in found], colour) if on_front else None,
            error_y=_bars([ey for _, _, ey in found], colour) if on_front else None,
            mode="markers",
            marker={
                "color": colour,
                "size": 11 if on_front else 7,
                "symbol": symbol,
                "line": {"width": 1.5, "color": colour},
            },
            name=label,
            text=[str(r.team) for r, _, _ in found],
            hovertemplate="%{text}<br>" + f"{x} %{{x:.4g}}<br>{y} %{{y:.3g}}<extra>{label}</extra>",
        )
    wide = bool(drawn) and min(drawn) > 0 and max(drawn) / min(drawn) > _LOGARITHMIC_FROM
    figure.update_xaxes(title=_axis(x), type="log" if wide else "linear")
    figure.update_yaxes(title=_axis(y))
    return _html(figure, height=380)


def _bars(estimates: Sequence[Estimate], colour: str) -> dict[str, Any]:
    return {
        "type": "data",
        "symmetric": False,
        "array": [(e.high - e.value) if e.high is not None else 0.0 for e in estimates],
        "arrayminus": [(e.value - e.low) if e.low is not None else 0.0 for e in estimates],
        "thickness": 1,
        "width": 3,
        "color": colour,
    }


def _estimate(measurement: Measurement | None, name: str) -> Estimate | None:
    return measurement.estimates.get(name) if measurement is not None else None


def _axis(name: str) -> str:
    unit = OBJECTIVES[name].unit
    return f"{name} [{unit}]" if unit else name


def _total(importances: Mapping[str, Mapping[str, float]], parameter: str) -> float:
    return sum(shares.get(parameter, 0.0) for shares in importances.values())


def _html(figure: go.Figure, *, height: int) -> str:
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 12, "t": 36, "b": 8},
        template="plotly_white",
        font={"family": "system-ui, sans-serif", "size": 12},
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
        hoverlabel={"align": "left"},
        dragmode=False,
    )
    figure.update_xaxes(automargin=True)
    figure.update_yaxes(automargin=True)
    return str(
        figure.to_html(full_html=False, include_plotlyjs=False, config={"displayModeBar": False, "responsive": True})
    )
