"""A stopwatch for seconds and joules."""

from __future__ import annotations

from collections.abc import Callable

from ._base import Meter
from ._window import window


class Stopwatch:
    """Measures the seconds and the joules since it was created.

    Args:
        meter: The meter. It is read at the creation and at every use of ``energy_j``.
        clock: The clock, in monotonic seconds.
    """

    def __init__(self, meter: Meter, clock: Callable[[], float]) -> None:
        self._meter = meter
        self._clock = clock
        self._start_s = clock()
        self._start = meter.read()

    @property
    def seconds(self) -> float:
        """The seconds since the creation."""
        return self._clock() - self._start_s

    @property
    def energy_j(self) -> float | None:
        """The joules of all domains since the creation; None if they are unavailable."""
        now = self._meter.read()
        if self._start is None or now is None:
            return None
        return window([self._start, now], self._meter.limits).total_j
