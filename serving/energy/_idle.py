"""Idle power: the power of the devices while a study's engines are in memory and no request is running."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from ._sampler import Sampler
from ._window import window

#: The wait before a measurement. An engine that has just answered is not idle yet: vLLM's workers spin for about a
#: second, and the device's clock rates fall slowly.
SETTLE_S = 2.0


class IdlePower:
    """Measures idle power once for each set of resident engines.

    A CUDA context draws 26 to 66 W, however much memory it uses (2605.23918). So idle power depends on the engines that
    are in memory.

    Args:
        meter: The sampler that is read at the start and the end of the measurement.
        sleep: The function that waits for a number of seconds.
    """

    def __init__(self, meter: Sampler, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._meter = meter
        self._sleep = sleep
        self._idle_w: dict[frozenset[str], Mapping[str, float]] = {}

    def is_measured(self, resident: frozenset[str]) -> bool:
        """Check whether ``measure`` returns at once for these engines.

        Args:
            resident: The engines in memory; see ``Pool.resident_engines``.

        Returns:
            True if the idle power is measured already, or if the meter's joules include no idle power.
        """
        return self._meter.limits.idle_s <= 0 or resident in self._idle_w

    async def measure(self, resident: frozenset[str]) -> Mapping[str, float] | None:
        """Measure the idle power, or return the earlier result for the same engines. No request may be running.

        Args:
            resident: The engines in memory; see ``Pool.resident_engines``.

        Returns:
            The idle power in watts by domain. None if the meter's joules contain no idle power, or if the measurement
            failed; the next call then measures again.
        """
        idle_s = self._meter.limits.idle_s
        if idle_s <= 0:
            return None
        if (idle_w := self._idle_w.get(resident)) is None:
            await self._sleep(SETTLE_S)
            start = self._meter.read()
            await self._sleep(idle_s)
            end = self._meter.read()
            if start is None or end is None or end.time_s <= start.time_s:
                return None
            energy_j = window(self._meter.between(start, end), self._meter.limits).energy_j
            if energy_j is None:
                return None
            idle_w = {domain: joules / (end.time_s - start.time_s) for domain, joules in energy_j.items()}
            self._idle_w[resident] = idle_w
        return idle_w
