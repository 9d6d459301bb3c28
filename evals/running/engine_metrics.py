"""How busy the engines were during a block, by their own metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import TypeAlias

from orkester.serving.engines import EngineMetrics

#: Returns the current metrics of the engines, by model name. Engines without metrics are left out.
Metrics: TypeAlias = Callable[[], Awaitable[Mapping[str, EngineMetrics]]]

_GAUGES = ("running", "waiting", "kv_cache_usage")
_COUNTERS = ("preemptions", "prefix_cache_queries", "prefix_cache_hits")


class EngineSampler:
    """Reads the engines' metrics: once before a window, every ``period_s`` seconds in it, and once after it.

    Enter the sampler just before the window opens, and leave it just after the window has closed: only the samples
    inside the window cost the team any time. When an engine does not answer, the sample is missing; this is no error.

    Args:
        metrics: Reads the metrics of all engines.
        period_s: Seconds between two samples in the window.
        answer_s: Seconds to wait for an answer.
        sleep: Waits for a number of seconds.
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
        """The number of samples in which no engine answered."""
        return sum(not sample for sample in [*self._ends, *self._inside])

    def summary(self) -> Mapping[str, Mapping[str, float]]:
        """Summarize the samples of each engine that answered at least once.

        Returns:
            Numbers by model name and by metric; a metric that is not known is left out. ``running_mean``,
            ``running_max``, ``waiting_…`` (requests) and ``kv_cache_usage_…`` (share, 0 to 1) come from the samples
            inside the window, because engines are idle before and after it. ``samples`` is the number of these samples.
            ``preemptions``, ``prefix_cache_queries`` and ``prefix_cache_hits`` (tokens) were counted between the first
            and the last sample. ``missed`` is the number of samples that lack the model.
        """
        before, after = self._ends[:1], self._ends[1:]
        samples = [*before, *self._inside, *after]
        models = dict.fromkeys(model for sample in samples for model in sample)
        return {model: self._summary_of(model, samples) for model in models}

    def _summary_of(self, model: str, samples: list[Mapping[str, EngineMetrics]]) -> Mapping[str, float]:
        inside = [sample[model] for sample in self._inside if model in sample]
        answered = [sample[model] for sample in samples if model in sample]
        summary: dict[str, float] = {}
        for name in _GAUGES if inside else ():
            values = [getattr(sample, name) for sample in inside]
            summary[f"{name}_mean"] = sum(values) / len(values)
            summary[f"{name}_max"] = max(values)
        for name in _COUNTERS if len(answered) > 1 else ():
            start, end = getattr(answered[0], name), getattr(answered[-1], name)
            summary[name] = end - start if end >= start else end  # an engine that was restarted counts from 0
        return {**summary, "samples": len(inside), "missed": len(samples) - len(answered)}

    async def _repeat(self) -> None:
        while True:
            await self._sleep(self._period_s)
            self._inside.append(await self._sample())

    async def _sample(self) -> Mapping[str, EngineMetrics]:
        try:
            async with asyncio.timeout(self._answer_s):
                return await self._metrics()
        except Exception:  # a block must not fail because a sample is missing, whatever the error is
            return {}
