"""Formats of numbers in the report."""

from __future__ import annotations

from collections.abc import Mapping

from orkester.evals.objectives import Estimate, objective
from orkester.graphs import written

NOTHING = "–"
_UNITS = {"_bytes": "B", "_w_per_core": "W per core", "_s": "s"}  # by the end of a name


def number(value: float | None) -> str:
    """Write three significant digits, with an exponent only for very large and very small numbers."""
    if value is None:
        return NOTHING
    if value != 0 and not 1e-4 <= abs(value) < 1e6:
        return f"{value:.2e}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def span(low: float, high: float) -> str:
    """Write a range of two numbers."""
    return f"{number(low)}–{number(high)}"


def interval(estimate: Estimate | None) -> dict[str, str]:
    """A value and its 95 % interval, for a table's cell."""
    if estimate is None:
        return {"value": NOTHING, "range": ""}
    return {"value": number(estimate.value), "range": _ends(estimate)}


def _ends(estimate: Estimate) -> str:
    if estimate.low is not None and estimate.high is not None:
        return span(estimate.low, estimate.high)
    if estimate.low is not None:
        return f"≥ {number(estimate.low)}"
    return "no interval" if estimate.high is None else f"≤ {number(estimate.high)}"


def duration(seconds: float) -> str:
    """Write a duration in seconds, minutes or hours."""
    if seconds < 60:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def unit(name: str, energy: str) -> str:
    """The unit of an objective; quantities that follow from joules also get the method (``J, estimate``)."""
    known = objective(name)
    return f"{known.unit}, {energy}" if known.of_joules else known.unit


def fact(name: str, value: object) -> str:
    """Write a fact about a machine, engine or meter: ``weights_bytes, 161216`` becomes ``weights: 161 kB``."""
    if isinstance(value, bool):
        shown = "yes" if value else "no"
    elif isinstance(value, Mapping):
        shown = written(value) or "none"
    elif isinstance(value, (list, tuple)):
        shown = ", ".join(str(item) for item in value) or "none"
    else:
        shown = str(value)
    for suffix, symbol in _UNITS.items():
        if name.endswith(suffix) and isinstance(value, (int, float)):
            name = name.removesuffix(suffix)
            shown = _bytes(value) if symbol == "B" else f"{value:g} {symbol}"
    return f"{name.replace('_', ' ')}: {shown}"


def facts(values: Mapping[str, object]) -> str:
    """Write facts in one line."""
    return "; ".join(fact(name, value) for name, value in values.items() if value is not None)


def _bytes(value: float) -> str:
    for scale, symbol in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= scale:
            return f"{value / scale:.3g} {symbol}"
    return f"{value:g} B"
