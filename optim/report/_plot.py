"""A plot as plain values for ``Plotly.newPlot``: building it by the Python package's classes takes a second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orkester.evals.objectives import Estimate

_INK, _GRID = "#1c2429", "#e3e8eb"


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A plot: ``data`` and ``layout`` are Plotly's; ``label`` is for those who do not see it."""

    id: str
    label: str
    height: int
    data: Sequence[Mapping[str, Any]]
    layout: Mapping[str, Any]


def library() -> str:
    """plotly.js itself, to embed once."""
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


def bars(estimates: Sequence[Estimate], colour: str) -> dict[str, Any]:
    """Error bars for the intervals; none towards an end that is not known."""
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
    """A chart in the report's style; ``xaxis`` and ``yaxis`` are laid over it."""
    axis = {"automargin": True, "fixedrange": True, "gridcolor": _GRID, "zeroline": False, "linecolor": _GRID}
    layout = {
        "height": height,
        "margin": {"l": 8, "r": 14, "t": 8, "b": 8},
        "font": {"family": "system-ui, sans-serif", "size": 12, "color": _INK},
        "showlegend": False,  # the page has one for all of them, which wraps as it should
        "hoverlabel": {"align": "left"},
        "hovermode": "closest",
        "dragmode": False,
        "xaxis": axis | xaxis,
        "yaxis": axis | yaxis,
    }
    return Chart(id=name, label=label, height=height, data=data, layout=layout)
