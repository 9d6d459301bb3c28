"""How busy engines were in a block, from what they say of themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import TypeAlias

from orkester.serving.engines import EngineMetrics

#: What engines say at one moment, by model name; those that say nothing are absent.
Metrics: TypeAlias = Callable[[], Awaitable[Mapping[str, EngineMetrics]]]

_GAUGES = ("running", "waiting", "kv_cache_usage")
_COUNTERS = ("preemptions", "prefix_cache_queries", "prefix_cache_hits")


class EngineSampler:
    """Asks engines how busy they are: once before a window, every ``period_s`` in it, once after it.

    Enter it just before the window opens and leave it just after it has closed: only the samples between cost the team
    anything. Engines that cannot be asked harm nothing; the sample is missing, that is all.

    Args:
        metrics: asks all of them.
        period_s: seconds between samples in the window.
        answer_s: an answer that takes longer is not waited for.
        sleep: waits for seconds.
    """

    def __init__(
        self,
        metrics: Metrics,
        *,
        period_s: float = 1.0,
        answer_s: float = 5.0,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._metrics = metrics
        self._period_s = period_s
        self._answer_s = answer_s
        self._sleep = sleep
        self._ends: list[Mapping[str, EngineMetrics]] = []
        self._inside: list[Mapping[str, EngineMetrics]] = []
        self._repeating: asyncio.Task[None] | None = None

    async def __aenter__(self) -> EngineSampler:
        self._ends.append(await self._sample())
        self._repeating = asyncio.create_task(self._repeat())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        assert self._repeating is not None
        self._repeating.cancel()
        await asyncio.wait([self._repeating])
        if error is None:
            self._ends.append(await self._sample())

    @property
    def missed(self) -> int:
        """Samples that no engine answered."""
        return sum(not sample for sample in [*self._ends, *self._inside])

    def summary(self) -> Mapping[str, Mapping[str, float]]:
        """By model that said anything; what cannot be said is absent.

        ``running_mean``, ``running_max``, ``waiting_…`` (requests) and ``kv_cache_usage_…`` (share, 0 to 1) are of the
        samples inside the window, ``samples`` in number: before and after it, engines are idle. ``preemptions``,
        ``prefix_cache_queries`` and ``prefix_cache_hits`` (tokens) are what was counted from the first sample to the
        last. ``missed`` is the number of samples in which the model is missing.
        """
        first, last = self._ends[:1], self._ends[1:]
        every = [*first, *self._inside, *last]
        models = dict.fromkeys(model for sample in every for model in sample)
        return {model: self._of(model, every) for model in models}

    def _of(self, model: str, every: list[Mapping[str, EngineMetrics]]) -> Mapping[str, float]:
        inside = [sample[model] for sample in self._inside if model in sample]
        found = [sample[model] for sample in every if model in sample]
        said: dict[str, float] = {}
        for name in _GAUGES if inside else ():
            values = [getattr(sample, name) for sample in inside]
            said[f"{name}_mean"] = sum(values) / len(values)
            said[f"{name}_max"] = max(values)
        for name in _COUNTERS if len(found) > 1 else ():
            start, end = getattr(found[0], name), getattr(found[-1], name)
            said[name] = end - start if end >= start else end  # an engine that was started again counts from 0
        return {**said, "samples": len(inside), "missed": len(every) - len(found)}

    async def _repeat(self) -> None:
        while True:
            await self._sleep(self._period_s)
            self._inside.append(await self._sample())

    async def _sample(self) -> Mapping[str, EngineMetrics]:
        try:
            async with asyncio.timeout(self._answer_s):
                return await self._metrics()
        except Exception:  # whatever it is: a block is not lost for want of a sample
            return {}
