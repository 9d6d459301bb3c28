"""Teams asked for in batches and measured in the order of their engines, on a pool that only says what it would do.

Everything but the pool is real. A kill is an exception out of the observer; what goes on afterwards knows only what is
on disk.
"""

import asyncio
import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pytest
from pools import ScriptedLease, ScriptedPool, guess
from support import quick_folder, write_study

import orkester
from orkester.errors import EngineError, EngineLost
from orkester.evals.records.block import Block
from orkester.evals.records.log import BlockLog, Records
from orkester.evals.running.runner import BlockRunner
from orkester.optim.goals.goal import Goal
from orkester.optim.run.budget import Budget
from orkester.optim.run.events import BlockProgress, BlockRerun, Event, TeamMeasured, TeamStarted
from orkester.optim.run.results import results
from orkester.optim.search.engine_order import BATCH
from orkester.optim.search.samplers import Setting, make
from orkester.optim.search.search import Search
from orkester.optim.search.trials import Trials
from orkester.optim.session.block_driver import MAX_RERUNS, BlockDriver
from orkester.optim.session.progress import Progress
from orkester.optim.session.tuner import Tuner
from orkester.serving.energy import Sampler, UnavailableMeter
from orkester.telemetry import TraceStore
from orkester.testing.scripted import ChatCall

SEARCH: dict[str, Any] = {
    "single": {"model": "any"},
    "vote": {"agents": [2, 5], "model": "any"},
    "cascade": {"first": "small", "then": "large", "votes": [2, 3]},
}
OPTIONS: dict[str, Any] = {"max_num_active_seqs": [2, 4], "prefix_caching": [True, False]}
STUDY: dict[str, Any] = {
    "search": SEARCH,
    "engine_options": OPTIONS,
    "measure": {"examples": 6, "block": 3, "concurrency": 1, "reuse": False},
    "objectives": {"quality": "maximize", "calls": "minimize"},
    "budget": {"trials": 16},
    "seed": 4,
}
#: The same with a short end, where order does not matter.
SHORT: dict[str, Any] = {**STUDY, "budget": {"trials": 3}}


class Killed(BaseException):
    """As good as SIGKILL: nobody catches it."""


@dataclass(frozen=True)
class Bench:
    """A study with a folder for each run."""

    study: orkester.Study
    folder: Path

    async def run(
        self,
        name: str,
        *,
        pool: ScriptedPool | None = None,
        observe: Callable[[Event], None] = lambda event: None,
        batch: int = BATCH,
        study: orkester.Study | None = None,
    ) -> Records:
        """Run the study in its folder to its end, or until ``observe`` raises."""
        study = study or self.study
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        with ExitStack() as stack:
            log = stack.enter_context(BlockLog(folder / "blocks.jsonl"))
            file = study.file
            goal = Goal.of(file.objectives, file.constraints)
            trials = stack.enter_context(Trials(study.space, goal, path=folder / "optuna.db", name="study"))
            traces = stack.enter_context(TraceStore(folder / "traces", study="study"))
            part = study.file.measure
            meter = Sampler(UnavailableMeter("none here"))
            budget = Budget.of(file.budget)
            tuner = Tuner(
                study=study,
                log=log,
                budget=budget,
                search=Search(
                    goal=goal, examples=len(study.search_examples), block=part.block, race=None, composition=None
                ),
                sampler=make("tpe", Setting(space=study.space, goal=goal, seed=file.seed), trials),
                driver=BlockDriver(
                    runner=BlockRunner(
                        task=study.task,
                        meter=meter,
                        concurrency=part.concurrency,
                        deadline_s=part.deadline_s,
                        seed=file.seed,
                    ),
                    pool=pool or ScriptedPool(),  # type: ignore[arg-type]
                    observer=observe,
                    cold=file.engine_options.prefix_cache != "warm",
                ),
                batch=batch,
                traces=traces,
                progress=Progress(study=study, budget=budget, observer=observe),
            )
            traces.begin_study(study_id="study", objectives=list(study.file.objectives))
            try:
                await tuner.run()
            except BaseExceptionGroup as several:  # from among the examples of a block
                if several.subgroup(Killed) is None:
                    raise
                raise Killed from several
            return log.records()

    def told(self, name: str) -> list[tuple[object, ...]]:
        """What Optuna was told, in its order."""
        path = self.folder / name / "optuna.db"
        trials = optuna.load_study(study_name="study", storage=f"sqlite:///{path}").trials
        return [
            (t.user_attrs["trial"], t.user_attrs["team"], t.params, t.values)
            for t in trials
            if t.state == optuna.trial.TrialState.COMPLETE
        ]

    def outcome(self, name: str, records: Records) -> dict[str, Any]:
        """All of a run that does not depend on time."""
        found = results(records, self.study.file.objectives, self.study.file.constraints, self.study.sizes)
        return {
            "blocks": [
                (b.team, b.phase, b.index, b.trial, dict(b.engine_options), [(e.id, e.answer) for e in b.examples])
                for b in records.blocks
            ],
            "front": [result.team.id for result in found.front],
            "told": self.told(name),
        }


@pytest.fixture
def bench() -> Iterator[Bench]:
    with quick_folder() as folder:
        yield Bench(orkester.load_study(write_study(folder / "study", **STUDY)), folder)


@pytest.fixture
def short() -> Iterator[Bench]:
    with quick_folder() as folder:
        yield Bench(orkester.load_study(write_study(folder / "study", **SHORT)), folder)


@dataclass(frozen=True)
class Undisturbed:
    """A run that nobody killed."""

    records: Records
    told: Sequence[tuple[Any, ...]]
    outcome: Mapping[str, Any]


@pytest.fixture(scope="module")
def undisturbed() -> Iterator[Undisturbed]:
    with quick_folder() as folder:
        bench = Bench(orkester.load_study(write_study(folder / "study", **STUDY)), folder)
        records = asyncio.run(bench.run("run"))
        yield Undisturbed(records, bench.told("run"), bench.outcome("run", records))


def searched(records: Records) -> list[Block]:
    return [block for block in records.blocks if block.phase == "search"]


def engines_of(block: Block) -> tuple[tuple[object, ...], ...]:
    """Models with the engine options they were served with."""
    return tuple((model, *sorted(block.engine_options.items())) for model in sorted(block.engines))


def configurations(blocks: Sequence[Block]) -> list[tuple[tuple[object, ...], ...]]:
    """The engines of blocks, without those that follow on themselves."""
    return [engines for engines, _ in itertools.groupby(engines_of(block) for block in blocks)]


def age_of(engine: tuple[object, ...], blocks: Sequence[Block]) -> int:
    """How many blocks ago it was used last."""
    return next(age for age, block in enumerate(reversed(blocks)) if engine in engines_of(block))


def test_teams_of_a_batch_are_measured_by_engines_and_told_in_the_order_asked(undisturbed: Undisturbed) -> None:
    blocks, told = searched(undisturbed.records), undisturbed.told
    trials = list(dict.fromkeys(block.trial for block in blocks))
    assert trials == list(range(16))  # numbered as they are begun
    assert len({block.team for block in blocks}) == 16
    first = {team: number for number, team, *_ in told}
    assert {block.team: block.trial for block in blocks} == first
    asked = list(dict.fromkeys(number for number, *_ in told))
    assert asked != trials  # measured in another order than asked
    for start in range(0, 16, BATCH):
        assert set(asked[start : start + BATCH]) == set(range(start, start + BATCH))
        batch = [block for block in blocks if block.trial in range(start, start + BATCH)]
        engines = configurations(batch)
        assert len(engines) == len(set(engines))  # each once


async def test_batches_change_engines_less_often_than_one_team_at_a_time(
    bench: Bench, undisturbed: Undisturbed
) -> None:
    batched = configurations(searched(undisturbed.records))
    one_by_one = configurations(searched(await bench.run("one by one", batch=1)))
    assert len(batched) < len(one_by_one)


def test_a_batch_begins_with_engines_used_before_the_last_ones_first(undisturbed: Undisturbed) -> None:
    blocks = searched(undisturbed.records)
    first = [block for block in blocks if block.trial in range(BATCH)]
    assert first == blocks[: len(first)]
    second = configurations([block for block in blocks if block.trial in range(BATCH, 2 * BATCH)])
    used = {engine for configuration in configurations(first) for engine in configuration}
    known = [used.issuperset(configuration) for configuration in second]
    assert {True, False} == set(known)
    assert known == sorted(known, reverse=True)
    ages = [max(age_of(engine, first) for engine in configuration) for configuration in second[: sum(known)]]
    assert ages[0] == min(ages)


@pytest.mark.parametrize("trials", [1, 8, 11])
async def test_never_more_teams_than_the_budget_has(bench: Bench, quick_path: Path, trials: int) -> None:
    study = orkester.load_study(write_study(quick_path, **{**STUDY, "budget": {"trials": trials}}))
    records = await bench.run("run", study=study)
    assert len({block.team for block in searched(records)}) == trials
    again = await bench.run("run", study=study)
    assert again == records


async def test_a_space_smaller_than_a_batch_is_measured_once(bench: Bench, quick_path: Path) -> None:
    study = orkester.load_study(write_study(quick_path, **{**STUDY, "search": {"single": {"model": "small"}}}))
    records = await bench.run("run", study=study)
    assert sorted((b.team, b.index) for b in searched(records)) == sorted(
        (team.id, index) for team in study.space.teams() for index in range(2)
    )


async def test_when_the_minutes_are_spent_the_rest_of_the_batch_is_not_measured(bench: Bench, quick_path: Path) -> None:
    def study(folder: str, minutes: float | None) -> orkester.Study:
        return orkester.load_study(
            write_study(quick_path / folder, **{**STUDY, "budget": {"trials": 16, "minutes": minutes}})
        )

    spent = study("spent", 1e-9)
    records = await bench.run("run", study=spent)
    assert [block.index for block in searched(records)] == [0]  # the block that spent them was the last
    assert bench.told("run") == []
    assert await bench.run("run", study=spent) == records
    more = await bench.run("run", study=study("more", 60.0))  # more time: the run goes on
    assert more.blocks[0] == records.blocks[0]
    assert len({block.team for block in searched(more)}) == len({block.trial for block in searched(more)}) == 16
    assert {team for _, team, *_ in bench.told("run")} == {block.team for block in searched(more)}


@dataclass
class Killer:
    """Kills when so many events of some kinds were seen."""

    after: int
    kinds: tuple[type, ...] = (BlockProgress, TeamStarted, TeamMeasured)

    def __call__(self, event: Event) -> None:
        if isinstance(event, self.kinds):
            self.after -= 1
            if self.after < 0:
                raise Killed


@pytest.mark.parametrize("step", [7, 20, 47])
async def test_a_run_killed_again_and_again_is_the_one_that_was_never_interrupted(
    bench: Bench, undisturbed: Undisturbed, step: int
) -> None:
    kills = 0
    while True:
        try:
            records = await bench.run("killed", observe=Killer(step))
            break
        except Killed:
            kills += 1
            assert kills < 400
    assert kills >= 3
    assert bench.outcome("killed", records) == undisturbed.outcome


async def test_a_lost_database_is_told_all_again_batch_by_batch(bench: Bench, undisturbed: Undisturbed) -> None:
    (bench.folder / "run").mkdir()
    with BlockLog(bench.folder / "run" / "blocks.jsonl") as log:
        for block in undisturbed.records.blocks:
            log.append(block)
    assert bench.outcome("run", await bench.run("run")) == undisturbed.outcome


async def test_confirmation_is_ordered_by_engines_too(bench: Bench, quick_path: Path) -> None:
    study = orkester.load_study(write_study(quick_path, **{**STUDY, "seed": 5}))  # whose front shares engines
    records = await bench.run("run", study=study)
    confirmed = [block for block in records.blocks if block.phase == "confirm"]
    engines = configurations(confirmed)
    assert len({block.team for block in confirmed}) > len(engines) > 1
    assert len(engines) == len(set(engines))


# -- prefix caches ----------------------------------------------------------------------------------------------------


async def test_prefix_caches_are_emptied_before_each_team_and_phase_and_it_is_recorded(short: Bench) -> None:
    pool = ScriptedPool(keeps={"large"})
    records = await short.run("run", pool=pool)
    for block in records.blocks:
        assert block.prefix_cache == ("kept" if "large" in block.engines else "cold")
    teams = list(dict.fromkeys((block.team, block.phase) for block in records.blocks))
    assert [what for what, *_ in pool.did].count("reset") == len(teams)
    leases = [did[0] for did in pool.did if did[0] in {"lease", "reset"}]
    first = {(b.team, b.phase): i for i, b in reversed(list(enumerate(records.blocks)))}
    expected = [
        did for i in range(len(records.blocks)) for did in (["lease", "reset"] if i in first.values() else ["lease"])
    ]
    assert leases == expected


async def test_prefix_caches_stay_warm_where_the_study_wants_it(short: Bench, quick_path: Path) -> None:
    options = {**OPTIONS, "prefix_cache": "warm"}
    study = orkester.load_study(write_study(quick_path, **{**SHORT, "engine_options": options}))
    pool = ScriptedPool()
    records = await short.run("run", pool=pool, study=study)
    assert {block.prefix_cache for block in records.blocks} == {"warm"}
    assert not any(what == "reset" for what, *_ in pool.did)


async def test_a_team_that_was_cut_off_gets_empty_caches_again(short: Bench) -> None:
    with pytest.raises(Killed):
        await short.run("run", observe=Killer(3, (BlockProgress,)))  # in the second block
    pool = ScriptedPool()
    records = await short.run("run", pool=pool)
    assert [block.index for block in records.blocks[:2]] == [0, 1]
    assert pool.did[1] == ("reset", *records.blocks[1].engines)


# -- engines that are lost --------------------------------------------------------------------------------------------


def failing(kind: str, times: int) -> Callable[[ChatCall, Mapping[str, object]], str]:
    """Calls fail so often with ``kind``, then go well."""
    left = [times]

    def answer(asked: ChatCall, overrides: Mapping[str, object]) -> str:
        if left[0]:
            left[0] -= 1
            raise orkester.CallFailed(kind)
        return guess(asked, overrides)

    return answer


@pytest.mark.parametrize("kind", ["connection", "http 500", "timeout", "bad reply"])
async def test_a_block_in_which_an_engine_was_lost_is_run_again_with_empty_caches(short: Bench, kind: str) -> None:
    pool = ScriptedPool(answer=failing(kind, 1), loses=[("small",)])
    events: list[Event] = []
    records = await short.run("run", pool=pool, observe=events.append)
    (rerun,) = [event for event in events if isinstance(event, BlockRerun)]
    assert (rerun.block, rerun.reason) == (0, "the engine of small died")
    first, second = records.blocks[:2]
    assert (first.team, first.index, first.reruns) == (rerun.team.id, 0, 1)
    assert (second.team, second.index, second.reruns) == (rerun.team.id, 1, 0)
    assert all(example.failure is None for block in records.blocks for example in block.examples)
    assert [what for what, *_ in pool.did[:6]] == ["lease", "reset", "lost?", "lease", "reset", "lease"]


@pytest.mark.parametrize(("kind", "asks"), [("http 400", 0), ("http 429", 0), ("http 500", 1)])
async def test_a_failure_that_a_sound_engine_answers_with_is_the_teams(short: Bench, kind: str, asks: int) -> None:
    pool = ScriptedPool(answer=failing(kind, 1))
    records = await short.run("run", pool=pool)
    assert sum(what == "lost?" for what, *_ in pool.did) == asks
    failed = [example.failure for block in records.blocks for example in block.examples if example.failure]
    assert failed == [kind]


async def test_a_team_whose_engine_is_lost_each_time_is_given_up_with_its_options(short: Bench) -> None:
    times = MAX_RERUNS + 1
    pool = ScriptedPool(answer=failing("connection", 3 * times), loses=[("small",)] * times)
    records = await short.run("run", pool=pool)
    (failure,) = records.failures
    assert failure.engine_options
    assert failure.reason == (
        f"the engine of small died 3 times in block 0 of {failure.team} "
        f"(the log of small with {dict(failure.engine_options)})"
    )
    assert failure.team not in {block.team for block in records.blocks}
    again = await short.run("run", pool=ScriptedPool())
    assert again == records


async def test_an_engine_found_lost_when_its_cache_is_to_be_emptied_is_started_again(short: Bench) -> None:
    pool = ScriptedPool(reset_fails={"next": True}, loses=[("small",)])
    records = await short.run("run", pool=pool)
    assert records.blocks[0].reruns == 1
    assert [what for what, *_ in pool.did[:5]] == ["lease", "reset", "lost?", "lease", "reset"]
    with pytest.raises(EngineError, match="it did not answer"):  # but not if nothing was lost
        await short.run("other", pool=ScriptedPool(reset_fails={"next": True}))


async def test_engines_that_cannot_be_leased_cost_the_team_and_not_the_study(short: Bench) -> None:
    class Tight(ScriptedPool):
        async def lease(self, names: Collection[str], overrides: Mapping[str, object]) -> ScriptedLease:
            if len(names) > 1:
                raise EngineLost("small and large do not fit into memory together")
            return await super().lease(names, overrides)

    records = await short.run("run", pool=Tight())
    assert records.failures
    assert all(failure.topology == "cascade" for failure in records.failures)
    assert len({block.team for block in searched(records)}) + len(records.failures) == 3
