"""The interface of an energy meter, and the values that meters return."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The energy counters at one moment. Counters never decrease.

    Attributes:
        time_s: The time of the reading, on the monotonic clock.
        energy_j: The joules so far, by domain. Only differences between two readings have a meaning. ``gpu:0`` and
            ``cpu:0`` (a CPU package) are devices; their joules include everything that ran on them. ``engine:NAME`` and
            ``orkester`` are processes of this study.
        gauges: Other values at that moment, by domain and quantity: ``gpu:0.temperature_c``, ``gpu:0.clock_mhz``,
            ``gpu:0.power_w``.
        foreign: The processes on a device that do not belong to this study, in words: ``gpu:0: 4711 (python)``.
        faults: The faults of counters since the previous reading (a counter jumped back, stalled or is missing). After
            a fault, the difference to an earlier reading is not a number of joules. Empty without faults.
    """

    time_s: float
    energy_j: Mapping[str, float]
    gauges: Mapping[str, float] = field(default_factory=dict)
    foreign: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The conditions under which a meter's joules for a window are precise.

    Attributes:
        window_s: The shortest window.
        over_idle_j: The fewest joules in a window above idle power.
        refresh_s: The time between two updates of the counter. At each end of a window, this much time may be counted
            wrongly.
        idle_s: The time that a measurement of idle power takes; 0 if the joules contain no idle power.
    """

    window_s: float = 0.0
    over_idle_j: float = 0.0
    refresh_s: float = 0.0
    idle_s: float = 0.0


class Meter(Protocol):
    """Reads the energy that a block uses.

    If a meter cannot measure, ``read`` returns None; unavailable energy is never 0. A meter is called from one thread
    at a time.
    """

    @property
    def method(self) -> str:
        """The label of every joule from this meter: ``nvml``, ``rapl``, ``estimate``, …, or ``unavailable``."""
        ...

    @property
    def assumptions(self) -> Mapping[str, object]:
        """The assumptions behind the numbers, for the record; ``not_included`` says what the joules leave out."""
        ...

    @property
    def limits(self) -> Limits:
        """The conditions under which the joules for a window are precise."""
        ...

    def watch(self, domain: str, pids: tuple[int, ...]) -> None:
        """Count processes under a domain, each from its own start. A second call replaces the domain's processes.

        Args:
            domain: The name of the domain, for example ``engine:NAME``.
            pids: The ids of the processes.
        """
        ...

    def read(self) -> Reading | None:
        """Read the counters now.

        Returns:
            The reading, or None when the counters cannot be read.
        """
        ...

    def close(self) -> None:
        """Release the meter's resources. The meter must not be read afterwards."""
        ...
