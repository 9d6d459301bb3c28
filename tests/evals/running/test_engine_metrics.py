"""How busy engines were in a block: samples before, inside and after its window."""

import asyncio
import json
from collections.abc import Mapping, Sequence

import pytest

from orkester.errors import EngineError
from orkester.evals.records.block import Block
from orkester.evals.records.log import decode, encode
from orkester.evals.running.engine_metrics import EngineSampler, Metrics
from orkester.evals.running.runner import BlockPlan, BlockRunner
from orkester.evals.scorers import scorer
from orkester.evals.task import Example, Task
from orkester.graphs import Team
from orkester.serving.energy import Reading, Sampler, UnavailableMeter
from orkester.serving.engines import EngineMetrics
from orkester.testing.scripted import ChatCall, scripted_models, turns


def said(**changes: float) -> EngineMetrics:
    known = dict.fromkeys(EngineMetrics.__dataclass_fields__, 0.0)
    return EngineMetrics(**{**known, **changes})


class Script:
    """Engines that say one thing after the other: something of each model, or an exception."""

    def __init__(self, *samples: Mapping[str, EngineMetrics] | Exception) -> None:
        self._samples = list(samples)

    async def __call__(self) -> Mapping[str, EngineMetrics]:
        sample = self._samples.pop(0)
        if isinstance(sample, Exception):
            raise sample
        return sample


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self._next = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._next.clear()
        await self._next.wait()

    async def tick(self) -> None:
        self._next.set()
        await turns(5)


async def sampled(*samples: Mapping[str, EngineMetrics] | Exception) -> EngineSampler:
    """A window with all but the first and the last of the samples in it, each after a period."""
    clock = Clock()
    async with EngineSampler(Script(*samples), period_s=2.0, sleep=clock.sleep) as sampler:
        await turns(5)
        for _ in samples[2:]:
            await clock.tick()
    assert clock.slept == [2.0] * (len(samples) - 1)
    return sampler


async def summary(*samples: Mapping[str, EngineMetrics] | Exception) -> Mapping[str, Mapping[str, float]]:
    return (await sampled(*samples)).summary()


def one(samples: Sequence[EngineMetrics]) -> Sequence[Mapping[str, EngineMetrics]]:
    return [{"small": sample} for sample in samples]


async def test_gauges_are_of_the_window_and_counters_from_before_it_to_after_it() -> None:
    found = await summary(
        *one(
            [
                said(preemptions=5, prefix_cache_queries=100, prefix_cache_hits=10),
                said(running=4, waiting=1, kv_cache_usage=0.2, preemptions=5, prefix_cache_queries=150),
                said(running=8, waiting=6, kv_cache_usage=0.8, preemptions=7, prefix_cache_queries=200),
                said(preemptions=8, prefix_cache_queries=260, prefix_cache_hits=50),
            ]
        )
    )
    assert found == {
        "small": {
            "running_mean": 6,
            "running_max": 8,
            "waiting_mean": 3.5,
            "waiting_max": 6,
            "kv_cache_usage_mean": 0.5,
            "kv_cache_usage_max": 0.8,
            "preemptions": 3,
            "prefix_cache_queries": 160,
            "prefix_cache_hits": 40,
            "samples": 2,
            "missed": 0,
        }
    }


async def test_a_window_without_a_sample_has_its_counters_and_no_gauges() -> None:
    found = await summary(*one([said(preemptions=1), said(running=9, preemptions=2)]))
    counted = {"preemptions": 1, "prefix_cache_queries": 0, "prefix_cache_hits": 0}
    assert found == {"small": {**counted, "samples": 0, "missed": 0}}


async def test_the_counters_of_an_engine_that_was_started_again_are_never_negative() -> None:
    found = await summary(*one([said(preemptions=9, prefix_cache_hits=2), said(preemptions=4, prefix_cache_hits=3)]))
    assert (found["small"]["preemptions"], found["small"]["prefix_cache_hits"]) == (4, 1)


FAILED = EngineError("it does not answer")


@pytest.mark.parametrize("fault", [FAILED, OSError("reset"), ValueError("not text")])
async def test_a_sample_that_fails_is_left_out_and_counted(fault: Exception) -> None:
    first, *others = one([said(preemptions=1), said(running=2, preemptions=1), said(running=4), said(preemptions=3)])
    sampler = await sampled(first, fault, *others)
    found = sampler.summary()["small"]
    assert (found["running_mean"], found["preemptions"], found["samples"], found["missed"]) == (3, 2, 2, 1)
    assert sampler.missed == 1


async def test_counters_need_two_samples() -> None:
    found = await summary(FAILED, {"small": said(running=3, preemptions=7)}, FAILED)
    assert found["small"]["running_max"] == 3
    assert "preemptions" not in found["small"]
    assert found["small"]["missed"] == 2
    assert await summary(FAILED, FAILED) == {}


async def test_models_that_say_nothing_are_absent_and_others_are_apart() -> None:
    found = await summary(
        {"small": said()}, {"small": said(running=1), "large": said(running=3)}, {"small": said(), "large": said()}
    )
    assert {model: values["running_max"] for model, values in found.items()} == {"small": 1, "large": 3}
    assert found["large"]["missed"] == 1
    assert await summary({}, {}, {}) == {}


async def test_an_engine_that_never_answers_is_not_waited_for() -> None:
    asked = 0

    async def hang() -> Mapping[str, EngineMetrics]:
        nonlocal asked
        asked += 1
        await asyncio.Event().wait()
        raise AssertionError

    async with EngineSampler(hang, answer_s=0.0, sleep=Clock().sleep) as sampler:
        await turns(5)
    assert asked == 2
    assert (sampler.summary(), sampler.missed) == ({}, 2)


async def test_a_sample_under_way_ends_with_the_window() -> None:
    async def metrics() -> Mapping[str, EngineMetrics]:
        nonlocal under_way
        under_way += 1
        if under_way == 2:
            await asyncio.Event().wait()
        return {"small": said(running=5)}

    under_way = 0
    async with EngineSampler(metrics, answer_s=3600.0, sleep=lambda _: asyncio.sleep(0)) as sampler:
        await turns(9)
    assert under_way == 3
    assert sampler.summary()["small"]["samples"] == 0


async def test_after_a_fault_in_the_window_nothing_is_asked_and_nothing_goes_on() -> None:
    before = asyncio.all_tasks()
    with pytest.raises(KeyError):
        async with EngineSampler(Script({"small": said()}), sleep=Clock().sleep):
            raise KeyError
    assert asyncio.all_tasks() == before


# -- in a block -------------------------------------------------------------------------------------------------------


class Reads(UnavailableMeter):
    """A meter that writes down when it is read."""

    def __init__(self, seen: list[str]) -> None:
        super().__init__("nothing to measure here")
        self._seen = seen

    def read(self) -> Reading | None:
        self._seen.append("read")
        return super().read()


async def test_a_block_is_sampled_outside_of_its_window_and_says_what_was_found() -> None:
    seen: list[str] = []
    samples = iter([said(preemptions=1), said(preemptions=4)])

    async def metrics() -> Mapping[str, EngineMetrics]:
        seen.append("sample")
        return {"small": next(samples)}

    block = await run_block(seen, metrics)
    assert seen == ["sample", "read", "example", "example", "read", "sample"]
    assert block.engine_metrics["small"]["preemptions"] == 3
    assert decode(json.loads(encode(block))) == block


async def test_a_block_is_not_harmed_by_engines_that_say_nothing() -> None:
    async def metrics() -> Mapping[str, EngineMetrics]:
        raise EngineError("it has gone")

    seen: list[str] = []
    block = await run_block(seen, metrics)
    assert (block.engine_metrics, [example.failure for example in block.examples]) == ({}, [None, None])
    assert (await run_block(seen, None)).engine_metrics == {}


async def run_block(seen: list[str], metrics: Metrics | None) -> Block:
    def answer(_: ChatCall) -> str:
        seen.append("example")
        return "x"

    task = Task(
        name="small", shots=(), search=(), confirm=(), scorer=scorer("exact"), instruction="", max_tokens=8,
        extract=None, data_sha256="",
    )  # fmt: skip
    runner = BlockRunner(task=task, meter=Sampler(Reads(seen)), concurrency=1, deadline_s=20.0, seed=1)
    plan = BlockPlan(
        team=Team("single", {"model": "small", "temperature": 0.0}),
        examples=[Example(id=f"q{i}", question="?", expected="x") for i in range(2)],
        phase="search",
        index=0,
    )
    models, _ = scripted_models(answer)
    return await runner.run(plan, models, engines={}, metrics=metrics)
