"""A meter that counts a fixed power for as long as it runs."""

from __future__ import annotations

from collections.abc import Mapping

from orkester.serving.energy import Limits, MeterRequest, Reading


class WallClock:
    """Joules of the domain ``host``: seconds since the start, times watts.

    Args:
        request: What the meter is needed for.
        watts: The power.
    """

    method = "wall-clock"
    limits = Limits()

    def __init__(self, request: MeterRequest, *, watts: float = 10.0) -> None:
        self._clock = request.clock
        self._watts = watts
        self._start_s = self._clock()

    @property
    def assumptions(self) -> Mapping[str, object]:
        """The power."""
        return {"model": f"{self._watts:g} W at all times", "not_included": "whatever the host really uses"}

    def watch(self, domain: str, pids: tuple[int, ...]) -> None:
        """Processes make no difference."""

    def read(self) -> Reading:
        """Watts times the seconds so far."""
        now_s = self._clock()
        return Reading(time_s=now_s, energy_j={"host": self._watts * (now_s - self._start_s)})

    def close(self) -> None:
        """Nothing was opened."""


meter = WallClock
