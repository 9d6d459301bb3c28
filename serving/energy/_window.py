"""Sums up the readings of one window: joules, their possible error, and warnings about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ._base import Limits, Reading


@dataclass(frozen=True, kw_only=True)
class Window:
    """The energy of one window.

    Attributes:
        readings: The readings in the order of time, from the window's start to its end; empty if the meter could not be
            read.
        energy_j: The joules by domain. None if the meter could not be read, or if a counter failed within the window,
            because a wrong number is worse than no number.
        error_j: The possible error of the sum, in both directions. At each end of the window the counter may lag by its
            refresh time.
        marks: Warnings about the joules, or the reason why there are none, in words.
        gauges: ``mean``, ``low`` and ``high`` of each gauge.
    """

    readings: Sequence[Reading]
    energy_j: Mapping[str, float] | None
    error_j: float
    marks: tuple[str, ...]
    gauges: Mapping[str, Mapping[str, float]]

    @property
    def total_j(self) -> float | None:
        """The joules of all domains together; None if they are unavailable."""
        return None if self.energy_j is None else sum(self.energy_j.values())


def window(readings: Sequence[Reading], limits: Limits, idle_w: Mapping[str, float] | None = None) -> Window:
    """Compute the energy of a window.

    Args:
        readings: The readings from the window's start to its end; fewer than two if the meter could not be read.
        limits: The meter's limits.
        idle_w: The idle power in watts by domain, with the same engines resident; None if it is unknown.

    Returns:
        The joules of the window, with their possible error and warnings.
    """
    if len(readings) < 2:
        return Window(readings=(), energy_j=None, error_j=0.0, marks=(), gauges={})
    first, last = readings[0], readings[-1]
    # The faults of the first reading happened before the window.
    faults = dict.fromkeys(fault for reading in readings[1:] for fault in reading.faults)
    foreign = dict.fromkeys(f"others were at work on {one}" for reading in readings for one in reading.foreign)
    missing = [domain for domain in first.energy_j if domain not in last.energy_j]
    energy_j = {domain: joules - first.energy_j.get(domain, 0.0) for domain, joules in last.energy_j.items()}
    if faults or missing or any(joules < 0 for joules in energy_j.values()):
        reasons = (*faults, *(f"the counter of {domain} is missing" for domain in missing))
        marks_of_failure = reasons or ("a counter went backwards",)
        return Window(readings=readings, energy_j=None, error_j=0.0, marks=marks_of_failure, gauges=_gauges(readings))
    seconds = last.time_s - first.time_s
    total_j = sum(energy_j.values())
    watts = total_j / seconds if seconds > 0 else 0.0
    idle_j = sum(min(joules, (idle_w or {}).get(domain, 0.0) * seconds) for domain, joules in energy_j.items())
    marks = []
    if seconds < limits.window_s:
        marks.append(f"imprecise: shorter than the {limits.window_s:g} s that the meter needs")
    if total_j - idle_j < limits.over_idle_j:
        marks.append(f"imprecise: under {limits.over_idle_j:g} J over idle, which is what the meter needs")
    return Window(
        readings=readings,
        energy_j=energy_j,
        error_j=min(total_j, 2 * limits.refresh_s * _highest_w(readings, watts)),
        marks=(*marks, *foreign),
        gauges=_gauges(readings),
    )


def _highest_w(readings: Sequence[Reading], mean_w: float) -> float:
    """The highest power of all devices together, by their gauges; the mean power if there are no gauges."""
    sums_w = [sum(value for name, value in each.gauges.items() if name.endswith(".power_w")) for each in readings]
    return max(mean_w, *sums_w)


def _gauges(readings: Sequence[Reading]) -> dict[str, dict[str, float]]:
    names = dict.fromkeys(name for reading in readings for name in reading.gauges)
    summaries = {}
    for name in names:
        values = [reading.gauges[name] for reading in readings if name in reading.gauges]
        summaries[name] = {"mean": sum(values) / len(values), "low": min(values), "high": max(values)}
    return summaries
