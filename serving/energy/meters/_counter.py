"""Converts raw counters to joules that never decrease, and detects faulty values.

Every ``add`` returns a fault, or an empty text. The fault is a phrase that continues "the counter of DOMAIN". A step
that cannot be trusted adds no joules and is reported as a fault, so that no difference across it is used as joules.
"""

from __future__ import annotations

import math

MISSING = "is missing"
BACK_FROM_MISSING = "was missing"
JUMPED_BACK = "jumped back"
JUMPED_AHEAD = "moved by more than a device can draw"
STALLED = "stalled"
#: A counter that moves in steps may show the energy of one step more than was used since the last reading.
_SLACK_S = 1.0


class Counter:
    """One raw counter, converted to joules that never decrease.

    Args:
        wraps_at: The highest value, in the counter's unit, after which the counter starts at 0 again; None if it never
            does. One unit is lost at each wrap.
        stall_s: A counter that does not move for this long is broken; None if a counter may stand still.
        max_w: A power that the device never reaches. A counter that moves faster was reset. A counter that is not read
            for the time of a whole wrap at this power may have wrapped unnoticed. None for no such check.
        unit_j: The joules of one unit. The sum is kept in units, because integers stay exact.
    """

    def __init__(
        self,
        wraps_at: float | None = None,
        stall_s: float | None = None,
        *,
        max_w: float | None = None,
        unit_j: float = 1.0,
    ) -> None:
        self._wraps_at = wraps_at
        self._stall_s = stall_s
        self._max_w = max_w
        self._unit_j = unit_j
        self._total: float = 0  # stays an exact integer if all steps are integers
        self._last: float | None = None
        self._read_s = 0.0
        self._moved_s = 0.0
        self._missing = False

    @property
    def total_j(self) -> float:
        """The joules since the first value; the number never decreases."""
        return self._total * self._unit_j

    def add(self, raw: float | None, time_s: float) -> str:
        """Add one reading.

        Args:
            raw: The counter's value, in its own unit; None if it could not be read.
            time_s: The time of the reading, on the monotonic clock.

        Returns:
            The fault; empty if there is none.
        """
        if raw is None or not math.isfinite(raw) or raw < 0:
            self._missing = True
            return MISSING
        last, since_s = self._last, time_s - self._read_s
        self._last, self._read_s = raw, time_s
        if raw != last or self._missing:
            self._moved_s = time_s
        if self._missing:
            self._missing = False
            return BACK_FROM_MISSING
        fault = "" if last is None else self._step(raw, last, since_s)
        if not fault and self._stall_s is not None and time_s - self._moved_s >= self._stall_s:
            return STALLED
        return fault

    def _step(self, raw: float, last: float, since_s: float) -> str:
        """Add the difference to the last value, if it can be trusted."""
        if self._max_w and self._wraps_at is not None and since_s > self._wraps_at * self._unit_j / self._max_w:
            return f"was not read for {since_s:.0f} s, in which it may have wrapped"
        step = raw - last
        wrapped = step < 0
        if wrapped:
            if self._wraps_at is None:
                return JUMPED_BACK
            step += self._wraps_at
        too_far = self._wraps_at is not None and step > self._wraps_at / 2
        too_fast = self._max_w is not None and step * self._unit_j > self._max_w * (since_s + _SLACK_S)
        if step < 0 or too_far or too_fast:
            return JUMPED_BACK if wrapped else JUMPED_AHEAD
        self._total += step
        return ""


class PowerIntegral:
    """Converts watts to joules. Between two readings the power is assumed to change linearly.

    Args:
        gap_s: If two readings are further apart than this, the energy between them is unknown.
    """

    def __init__(self, gap_s: float) -> None:
        self._gap_s = gap_s
        self._total_j = 0.0
        self._last: tuple[float, float] | None = None
        self._missing = False

    @property
    def total_j(self) -> float:
        """The joules since the first value; the number never decreases."""
        return self._total_j

    def add(self, power_w: float | None, time_s: float) -> str:
        """Add one reading.

        Args:
            power_w: The power in watts; None if it could not be read.
            time_s: The time of the reading, on the monotonic clock.

        Returns:
            The fault; empty if there is none.
        """
        if power_w is None or not math.isfinite(power_w) or power_w < 0:
            self._missing = True
            return MISSING
        last, self._last = self._last, (power_w, time_s)
        if self._missing:
            self._missing = False
            return BACK_FROM_MISSING
        if last is None:
            return ""
        seconds = time_s - last[1]
        if seconds > self._gap_s:
            return f"was not read for {seconds:.1f} s, too long to know what it drew"
        self._total_j += (last[0] + power_w) / 2 * max(0.0, seconds)
        return ""
