"""What every energy meter offers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Counters at one moment. They only ever grow.

    Attributes:
        time_s: the monotonic clock.
        energy_j: joules so far by domain; differences mean something. ``gpu:0`` and ``cpu:0`` (a package) are devices,
            whose joules are of all that ran there; ``engine:NAME`` and ``orkester`` are processes of ours.
        gauges: what else was seen at that moment, by domain and quantity: ``gpu:0.temperature_c``, ``gpu:0.clock_mhz``,
            ``gpu:0.power_w``.
        foreign: processes on a device that are none of those watched, for people: ``gpu:0: 4711 (python)``.
        faults: what went wrong with a counter since the reading before (it jumped back, stalled, is gone), so that a
            difference across this reading is no number of joules; empty when all is well.
    """

    time_s: float
    energy_j: Mapping[str, float]
    gauges: Mapping[str, float] = field(default_factory=dict)
    foreign: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a window must be for a meter's joules to be precise.

    Attributes:
        window_s: shortest window.
        over_idle_j: fewest joules over idle.
        refresh_s: how often the counter moves; at either end of a window so much time may be counted wrongly.
        idle_s: how long to look for idle power; 0 where the joules hold no idle power at all.
    """

    window_s: float = 0.0
    over_idle_j: float = 0.0
    refresh_s: float = 0.0
    idle_s: float = 0.0


class Meter(Protocol):
    """Reads the energy of what a block uses.

    A meter that cannot measure says so by returning None from ``read``: unavailable is never 0. Calls come from one
    thread at a time.
    """

    @property
    def method(self) -> str:
        """The label every joule carries: ``nvml``, ``rapl``, ``estimate``, …; ``unavailable`` for none."""
        ...

    @property
    def assumptions(self) -> Mapping[str, object]:
        """What the numbers stand on, ``not_included`` among it; part of the record."""
        ...

    @property
    def limits(self) -> Limits:
        """What a window must be for the joules to be precise."""
        ...

    def watch(self, domain: str, pids: tuple[int, ...]) -> None:
        """Count these processes under ``domain``, each from its own start; calling again replaces them."""
        ...

    def read(self) -> Reading | None:
        """The counters now, or None when they cannot be had."""
        ...

    def close(self) -> None:
        """Give back what was opened; the meter is not read any more."""
        ...
