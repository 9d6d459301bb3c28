"""Idle power: what the devices draw with a study's engines resident and nobody asking."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from ._sampler import Sampler
from ._window import window

#: An engine that has just answered is not idle yet: vLLM's workers spin for a second, and clocks come down slowly.
SETTLE_S = 2.0


class IdlePower:
    """Measures idle power once for each set of resident engines.

    A context on a GPU draws 26 to 66 W, whatever its memory (2605.23918), so what is idle depends on which engines
    are there.

    Args:
        meter: read at both ends of a quiet while.
        sleep: waits.
    """

    def __init__(self, meter: Sampler, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._meter = meter
        self._sleep = sleep
        self._known: dict[frozenset[str], Mapping[str, float] | None] = {}

    def knows(self, resident: frozenset[str]) -> bool:
        """Whether ``measured`` will answer at once."""
        return self._meter.limits.idle_s <= 0 or resident in self._known

    async def measured(self, resident: frozenset[str]) -> Mapping[str, float] | None:
        """Idle watts by domain; nobody may ask the engines meanwhile.

        Args:
            resident: names of the engines that hold memory, whatever tells them apart.

        Returns:
            None where the joules hold no idle power, or it could not be measured. A failed try is made again.
        """
        quiet_s = self._meter.limits.idle_s
        if quiet_s <= 0:
            return None
        if (known := self._known.get(resident)) is None:
            await self._sleep(SETTLE_S)
            start = self._meter.read()
            await self._sleep(quiet_s)
            end = self._meter.read()
            if start is None or end is None or end.time_s <= start.time_s:
                return None
            energy_j = window(self._meter.between(start, end), self._meter.limits).energy_j
            if energy_j is None:
                return None
            known = {domain: joules / (end.time_s - start.time_s) for domain, joules in energy_j.items()}
            self._known[resident] = known
        return known
