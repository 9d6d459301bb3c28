"""What the readings of one window say: joules, how far off they may be, and what makes them doubtful."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ._base import Limits, Reading


@dataclass(frozen=True, kw_only=True)
class Window:
    """A window's energy.

    Attributes:
        readings: in the order of time, both ends included; none when the meter could not be read.
        energy_j: joules by domain; None when they cannot be had, or a counter failed within the window: a wrong joule
            is worse than none.
        error_j: how far off their sum may be, either way: the counter may lag by its refresh time at both ends.
        marks: what makes the joules doubtful, or why there are none, for people.
        gauges: ``mean``, ``low`` and ``high`` of what else was seen.
    """

    readings: Sequence[Reading]
    energy_j: Mapping[str, float] | None
    error_j: float
    marks: tuple[str, ...]
    gauges: Mapping[str, Mapping[str, float]]

    @property
    def total_j(self) -> float | None:
        """Of all domains together."""
        return None if self.energy_j is None else sum(self.energy_j.values())


def window(readings: Sequence[Reading], limits: Limits, idle_w: Mapping[str, float] | None = None) -> Window:
    """Sum up a window.

    Args:
        readings: from its begin to its end; fewer than two when the meter could not be read.
        limits: the meter's.
        idle_w: idle watts by domain, with the same engines resident; None when not known.
    """
    if len(readings) < 2:
        return Window(readings=(), energy_j=None, error_j=0.0, marks=(), gauges={})
    first, last = readings[0], readings[-1]
    # What the first one reports lies before the window.
    faults = dict.fromkeys(fault for reading in readings[1:] for fault in reading.faults)
    foreign = dict.fromkeys(f"others were at work on {one}" for reading in readings for one in reading.foreign)
    gone = [domain for domain in first.energy_j if domain not in last.energy_j]
    energy_j = {domain: joules - first.energy_j.get(domain, 0.0) for domain, joules in last.energy_j.items()}
    if faults or gone or any(joules < 0 for joules in energy_j.values()):
        why = (*faults, *(f"the counter of {domain} is missing" for domain in gone)) or ("a counter went backwards",)
        return Window(readings=readings, energy_j=None, error_j=0.0, marks=why, gauges=_gauges(readings))
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
    """The most that the devices drew together at any moment, as their gauges say; their mean where there are none."""
    seen = [sum(value for name, value in each.gauges.items() if name.endswith(".power_w")) for each in readings]
    return max(mean_w, *seen)


def _gauges(readings: Sequence[Reading]) -> dict[str, dict[str, float]]:
    names = dict.fromkeys(name for reading in readings for name in reading.gauges)
    found = {}
    for name in names:
        values = [reading.gauges[name] for reading in readings if name in reading.gauges]
        found[name] = {"mean": sum(values) / len(values), "low": min(values), "high": max(values)}
    return found
