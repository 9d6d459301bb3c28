"""One block at a time, on engines that may not be there, and what an interrupt ends."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from pools import ScriptedLease, ScriptedPool
from support import quick_folder, write_study

import orkester
from orkester.errors import CallFailed, EngineLost
from orkester.evals.records.block import Block
from orkester.evals.records.call_store import CallStore
from orkester.evals.running.runner import BlockRunner
from orkester.graphs import Team
from orkester.optim.run.events import BlockRerun, EnginesStarting, Event
from orkester.optim.session.block_driver import MAX_RERUNS, BlockDriver
from orkester.optim.session.interrupts import Interrupted
from orkester.serving.energy import Sampler, UnavailableMeter


def vote(agents: int) -> Team:
    return Team("vote", {"agents": agents, "model": "small", "temperature": 0.7})


@pytest.fixture(scope="module")
def study() -> Iterator[orkester.Study]:
    with quick_folder() as folder:
        yield orkester.load_study(write_study(folder, measure={"block": 3, "concurrency": 1}))


@dataclass
class Bench:
    """A driver with all that it tells."""

    study: orkester.Study
    pool: ScriptedPool = field(default_factory=ScriptedPool)
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        meter = Sampler(UnavailableMeter("none here"))
        self.driver = BlockDriver(
            runner=BlockRunner(task=self.study.task, meter=meter, concurrency=1, deadline_s=20, seed=1),
            pool=self.pool,  # type: ignore[arg-type]
            observer=self.events.append,
            cold=True,
        )

    async def run(self, team: Team, index: int = 0, **changes: Any) -> Block:
        examples = self.study.search_examples[3 * index : 3 * index + 3]
        known: dict[str, Any] = {"trial": 0, "progress": lambda done: None}
        return await self.driver.run(team, examples, "search", index, **{**known, **changes})

    def did(self, what: str) -> int:
        return sum(done == what for done, *_ in self.pool.did)


async def test_a_block_whose_calls_are_all_known_needs_no_engine(study: orkester.Study) -> None:
    bench, store = Bench(study), CallStore()
    store.add(await bench.run(vote(4), store=store))
    before = len(bench.pool.did)
    block = await bench.run(vote(3), store=store)
    assert len(bench.pool.did) == before
    assert [len(example.calls) for example in block.examples] == [3, 3, 3]
    assert all(call.reused for example in block.examples for call in example.calls)
    assert block.wall_s == 0.0
    again = await bench.run(vote(5), store=store)  # one call of each example is new
    assert bench.did("lease") == 2
    assert [sum(not call.reused for call in example.calls) for example in again.examples] == [1, 1, 1]


async def test_without_a_store_every_call_is_sent(study: orkester.Study) -> None:
    bench = Bench(study)
    first, second = await bench.run(vote(3)), await bench.run(vote(3))
    assert not any(call.reused for block in (first, second) for example in block.examples for call in example.calls)
    assert [example.answer for example in first.examples] == [example.answer for example in second.examples]
    assert bench.did("lease") == 2


async def test_a_stop_lets_the_block_end_and_begins_no_other(study: orkester.Study) -> None:
    bench, found = Bench(study), []

    def progress(done: int) -> None:
        if done == 1:
            found.append(bench.driver.stop())

    block = await bench.run(vote(2), progress=progress)
    assert len(block.examples) == 3
    assert found == [True]
    with pytest.raises(Interrupted, match="stopped after the block that was under way"):
        await bench.run(vote(2), 1)
    assert bench.did("lease") == 1


async def test_a_stop_while_engines_start_is_told_that_there_is_no_block(study: orkester.Study) -> None:
    said: list[bool] = []

    class Slow(ScriptedPool):
        async def lease(self, names: Collection[str], overrides: Mapping[str, object]) -> ScriptedLease:
            said.append(bench.driver.stop())
            return await super().lease(names, overrides)

    bench = Bench(study, Slow())
    await bench.run(vote(2))
    assert said == [False]


async def test_a_stop_while_the_store_is_looked_at_starts_no_engine(study: orkester.Study) -> None:
    class Looked(CallStore):
        def engines(self, *which: Any) -> Any:
            bench.driver.stop()
            return super().engines(*which)

    bench, store = Bench(study), Looked()
    with pytest.raises(Interrupted):
        await bench.run(vote(5), store=store)
    assert bench.pool.did == []


async def test_known_blocks_do_not_go_on_after_a_stop(study: orkester.Study) -> None:
    bench, store = Bench(study), CallStore()
    store.add(await bench.run(vote(4), store=store))
    bench.driver.stop()
    with pytest.raises(Interrupted):
        await bench.run(vote(3), store=store)


async def test_a_block_is_run_again_when_its_engine_died_as_if_nothing_had_been(study: orkester.Study) -> None:
    sound = await Bench(study).run(vote(2))
    broken = iter([CallFailed("connection")])

    def answer(asked: Any, overrides: Mapping[str, object]) -> str:
        for failure in broken:
            raise failure
        return ScriptedPool().answer(asked, overrides)

    bench = Bench(study, ScriptedPool(answer=answer, loses=[("small",)]))
    block = await bench.run(vote(2))
    assert block.reruns == 1
    assert [example.answer for example in block.examples] == [example.answer for example in sound.examples]
    (event,) = [event for event in bench.events if isinstance(event, BlockRerun)]
    assert event.reason == "the engine of small died"
    assert bench.did("reset") == 2  # the block's own prompts must not help it


async def test_an_engine_that_dies_each_time_is_given_up(study: orkester.Study) -> None:
    def answer(asked: Any, overrides: Mapping[str, object]) -> str:
        raise CallFailed("connection")

    bench = Bench(study, ScriptedPool(answer=answer, loses=[("small",)] * (MAX_RERUNS + 1)))
    with pytest.raises(EngineLost, match=f"the engine of small died {MAX_RERUNS + 1} times in block 0 of vote-"):
        await bench.run(vote(2))
    assert sum(isinstance(event, BlockRerun) for event in bench.events) == MAX_RERUNS + 1


async def test_caches_are_emptied_once_for_a_team_and_phase(study: orkester.Study) -> None:
    bench = Bench(study)
    for team in (vote(2), vote(3), vote(2)):
        for index in range(2):
            assert (await bench.run(team, index)).prefix_cache == "cold"
    assert bench.did("reset") == 3
    assert not any(isinstance(event, EnginesStarting) for event in bench.events)  # all of them are there
