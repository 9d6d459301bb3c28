"""Which knobs matter for each objective."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orkester.evals.objectives import Estimate
from orkester.optim.insight.importance import Importance, Share
from orkester.optim.insight.insights import Insights

from .._axis import from_zero
from .._material import Material
from .._numbers import NOTHING
from .._palette import named
from .._plot import Bar, Bars, Chart, rows
from .._section import Section

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
    bars = [
        Bar(
            y=i,
            start=0.0,
            end=share.value,
            tip=f"{label}: {_written(share.value)} ({_written(share.low)}–{_written(share.high)})",
            interval=_estimate(share),
        )
        for i, (label, share) in enumerate(zip(labels, shares, strict=True))
    ]
    wanted = "its logarithm's variance" if importance.logarithmic else "its variance"
    return Chart(
        id=f"importance-{importance.objective}",
        label=f"What decides {importance.objective}: shares of {wanted} by knob",
        height=80 + 22 * len(labels),
        series=[
            Bars(name="knobs", colour=named("bar"), bars=bars[: len(shown)]),
            Bars(name="all else", colour=named("idle"), bars=bars[len(shown) :]),
        ],
        x=from_zero(f"{importance.objective}: share of {wanted}", [share.high for share in shares], most=1.0),
        y=rows(list(enumerate(labels))),
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
