"""Which knobs matter for each objective."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from orkester.evals.objectives import Estimate
from orkester.optim.insight.importance import Importance, Share
from orkester.optim.insight.insights import Insights

from .._material import Material
from .._numbers import NOTHING
from .._plot import Chart, bars, chart
from .._section import Section

_BAR, _GREY, _WHISKER = "#7fbf9f", "#c3ccd1", "#1c2429"
_PAIRED, _REST = "pairs of knobs", "the rest"
#: The most knobs in a chart, and the least upper end of a share that gets a bar. The table has all knobs.
_BARS, _VISIBLE = 12, 0.01
#: The most interactions in the table of an objective.
_PAIRS = 5


def importance_section(insights: Insights) -> dict[str, Any] | None:
    """The content; None if there are too few teams."""
    found = insights.importances
    if not found:
        return None
    pairs = [
        {
            "objective": objective,
            "knobs": f"{each.first} × {each.second}",
            **_cell(each.share),
            "teams": each.share.teams,
        }
        for objective, importance in found.items()
        for each in [i for i in importance.interactions if i.share.low > 0][:_PAIRS]
    ]
    return {
        "charts": [_chart(importance) for importance in found.values()],
        "objectives": list(found),
        "logarithmic": [objective for objective, importance in found.items() if importance.logarithmic],
        "teams": max(importance.teams for importance in found.values()),
        "rows": _rows(found),
        "pairs": pairs,
        "looked_at": len({(i.first, i.second) for importance in found.values() for i in importance.interactions}),
    }


def _rows(found: Mapping[str, Importance]) -> list[dict[str, Any]]:
    """A row for each knob, the most important first, and one for the rest."""
    totals: dict[str, float] = {}
    for importance in found.values():
        for name, share in importance.knobs.items():
            totals[name] = totals.get(name, 0.0) + share.value
    ordered = sorted(totals, key=lambda name: (-totals[name], name))
    rows = [
        {
            "name": name,
            "cells": [_cell(importance.knobs.get(name)) for importance in found.values()],
            "teams": max(importance.knobs[name].teams for importance in found.values() if name in importance.knobs),
        }
        for name in ordered
    ]
    pairs = {"name": _PAIRED, "cells": [_cell(importance.together) for importance in found.values()], "teams": ""}
    rest = {"name": _REST, "cells": [_cell(importance.rest) for importance in found.values()], "teams": ""}
    return [*rows, pairs, rest]


def _chart(importance: Importance) -> Chart:
    shown = [(name, share) for name, share in importance.knobs.items() if share.high >= _VISIBLE][:_BARS]
    paired = [(_PAIRED, importance.together)] if importance.together is not None else []
    labels, shares = zip(*shown, *paired, (_REST, importance.rest), strict=True)
    places = list(range(len(labels)))
    data = [
        {
            "type": "bar",
            "orientation": "h",
            "x": [share.value for share in shares],
            "y": places,
            "marker": {"color": [_BAR] * len(shown) + [_GREY] * (len(shares) - len(shown))},
            "error_x": bars([_estimate(share) for share in shares], _WHISKER),
            "hovertext": [
                f"{escape(label)}: {_written(share.value)} ({_written(share.low)}–{_written(share.high)})"
                for label, share in zip(labels, shares, strict=True)
            ],
            "hovertemplate": "%{hovertext}<extra></extra>",
        }
    ]
    wanted = "its logarithm's variance" if importance.logarithmic else "its variance"
    return chart(
        f"importance-{importance.objective}",
        f"What decides {importance.objective}: shares of {wanted} by knob",
        data,
        height=90 + 22 * len(labels),
        xaxis={
            "title": {"text": f"{importance.objective}: share of {wanted}", "standoff": 10},
            "range": [0, min(1.0, 1.08 * max(share.high for share in shares))],
        },
        yaxis={
            "tickvals": places,
            "ticktext": [escape(label) for label in labels],
            "range": [len(labels) - 0.4, -0.6],
        },
    )


def _estimate(share: Share) -> Estimate:
    return Estimate(value=share.value, low=share.low, high=share.high, n=share.teams)


def _cell(share: Share | None) -> dict[str, str]:
    if share is None:
        return {"value": NOTHING, "range": ""}
    return {"value": _written(share.value), "range": f"{_written(share.low)}–{_written(share.high)}"}


def _written(share: float) -> str:
    return f"{share:.2f}"


def _content(material: Material) -> dict[str, Any] | None:
    return importance_section(material.insights) if material.results.front else None


SECTION = Section(key="importance", label="Knobs", content=_content)
