"""Raw counters made into joules that only ever grow, and what was wrong with them on the way.

Every ``add`` returns a fault: what to say after "the counter of DOMAIN", or nothing. A step that cannot be trusted adds
no joules and is a fault, so that whoever takes a difference across it knows that it is none.
"""

from __future__ import annotations

import math

MISSING = "is missing"
BACK_FROM_MISSING = "was missing"
JUMPED_BACK = "jumped back"
JUMPED_AHEAD = "moved by more than a device can draw"
STALLED = "stalled"
#: A counter that moves in steps may show a step's worth more than the time since the last reading.
_SLACK_S = 1.0


class Counter:
    """One raw counter, made monotonic.

    Args:
        wraps_at: the highest value, after which it starts at 0 again, in its own unit; None where it never does. One
            unit is lost at a wrap.
        stall_s: a counter that does not move for so long is broken; None where it may rest.
        most_w: more than the device draws. What moves faster was reset, and one that is not read for as long as a wrap
            takes at this power may have wrapped unseen; None for no such bound.
        unit_j: joules of one unit. The sum is kept in units: integers stay exact.
    """

    def __init__(
        self,
        wraps_at: float | None = None,
        stall_s: float | None = None,
        *,
        most_w: float | None = None,
        unit_j: float = 1.0,
    ) -> None:
        self._wraps_at = wraps_at
        self._stall_s = stall_s
        self._most_w = most_w
        self._unit_j = unit_j
        self._total: float = 0  # an integer as long as steps are, however large
        self._last: float | None = None
        self._read_s = 0.0
        self._moved_s = 0.0
        self._missing = False

    @property
    def total_j(self) -> float:
        """Joules since the first value; never less than before."""
        return self._total * self._unit_j

    def add(self, raw: float | None, time_s: float) -> str:
        """Take in one reading.

        Args:
            raw: the counter, in its own unit; None when it could not be read.
            time_s: when, on the monotonic clock.

        Returns:
            The fault, or nothing.
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
        """Add what it moved by, if that can be known."""
        if self._most_w and self._wraps_at is not None and since_s > self._wraps_at * self._unit_j / self._most_w:
            return f"was not read for {since_s:.0f} s, in which it may have wrapped"
        step = raw - last
        wrapped = step < 0
        if wrapped:
            if self._wraps_at is None:
                return JUMPED_BACK
            step += self._wraps_at
        too_far = self._wraps_at is not None and step > self._wraps_at / 2
        too_fast = self._most_w is not None and step * self._unit_j > self._most_w * (since_s + _SLACK_S)
        if step < 0 or too_far or too_fast:
            return JUMPED_BACK if wrapped else JUMPED_AHEAD
        self._total += step
        return ""


class PowerIntegral:
    """Watts made into joules: between two readings power is taken to have changed evenly.

    Args:
        gap_s: readings further apart than this say nothing of what was between them.
    """

    def __init__(self, gap_s: float) -> None:
        self._gap_s = gap_s
        self._total_j = 0.0
        self._last: tuple[float, float] | None = None
        self._missing = False

    @property
    def total_j(self) -> float:
        """Joules since the first value; never less than before."""
        return self._total_j

    def add(self, power_w: float | None, time_s: float) -> str:
        """Take in one reading; see ``Counter.add``.

        Args:
            power_w: watts; None when they could not be read.
            time_s: when, on the monotonic clock.
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
