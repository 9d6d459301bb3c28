"""Seconds and joules since a moment."""

from __future__ import annotations

from collections.abc import Callable

from ._base import Meter
from ._window import window


class Stopwatch:
    """Runs from when it is made.

    Args:
        meter: read then, and at every look at ``energy_j``.
        clock: monotonic seconds.
    """

    def __init__(self, meter: Meter, clock: Callable[[], float]) -> None:
        self._meter = meter
        self._clock = clock
        self._start_s = clock()
        self._start = meter.read()

    @property
    def seconds(self) -> float:
        """So far."""
        return self._clock() - self._start_s

    @property
    def energy_j(self) -> float | None:
        """So far, of all domains together; None when it cannot be had."""
        now = self._meter.read()
        if self._start is None or now is None:
            return None
        return window([self._start, now], self._meter.limits).total_j
