"""Plots as plain values for ``Plotly.newPlot``. The classes of the Python package would take a second longer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orkester.evals.objectives import Estimate

_INK, _GRID = "#1c2429", "#e3e8eb"


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A plot. ``data`` and ``layout`` are those of Plotly; ``label`` is the text for screen readers."""

    id: str
    label: str
    height: int
    data: Sequence[Mapping[str, Any]]
    layout: Mapping[str, Any]


def library() -> str:
    """The source of plotly.js, which a page embeds once."""
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


def bars(estimates: Sequence[Estimate], colour: str) -> dict[str, Any]:
    """Error bars for intervals; there is no bar towards an unknown end."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [(e.high - e.value) if e.high is not None else 0.0 for e in estimates],
        "arrayminus": [(e.value - e.low) if e.low is not None else 0.0 for e in estimates],
        "thickness": 1,
        "width": 3,
        "color": colour,
    }


def chart(
    name: str,
    label: str,
    data: Sequence[Mapping[str, Any]],
    *,
    height: int,
    xaxis: dict[str, Any],
    yaxis: dict[str, Any],
) -> Chart:
    """Make a chart in the style of the report; ``xaxis`` and ``yaxis`` add to the axes of that style."""
    axis = {"automargin": True, "fixedrange": True, "gridcolor": _GRID, "zeroline": False, "linecolor": _GRID}
    layout = {
        "height": height,
        "margin": {"l": 8, "r": 14, "t": 8, "b": 8},
        "font": {"family": "system-ui, sans-serif", "size": 12, "color": _INK},
        "showlegend": False,  # the page has one legend for all charts
        "hoverlabel": {"align": "left"},
        "hovermode": "closest",
        "dragmode": False,
        "xaxis": axis | xaxis,
        "yaxis": axis | yaxis,
    }
    return Chart(id=name, label=label, height=height, data=data, layout=layout)
