"""Whole studies without engines: the product's own tuner, from the first block to the results, on known truth.

Only what runs a block is replaced: it takes scores, seconds and joules from tables of ``generator.World``, one for the
search and one with other examples and fresh samples for confirmation. One of the models may be a failing engine that
looks better than all others: quick, sparing, able. Its calls fail, or the engine is lost, as ``FAULTS`` say.
"""

from __future__ import annotations

import asyncio
import functools
import math
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
from opentelemetry.trace import INVALID_SPAN, Span

from orkester.agents.routing import RoutingPolicy
from orkester.errors import EngineLost
from orkester.evals.records.block import Block, Call, ExampleResult, Phase
from orkester.evals.records.call_store import CallStore
from orkester.evals.records.log import BlockLog, TeamFailure
from orkester.evals.running.runner import derive_seed
from orkester.evals.task import Example
from orkester.graphs import Team
from orkester.optim.goals.goal import DEFAULT_CONSTRAINTS, Goal
from orkester.optim.run.budget import Budget
from orkester.optim.run.events import Event, SearchEnded
from orkester.optim.run.results import Results
from orkester.optim.search.models.composition import Composition
from orkester.optim.search.racing import Race
from orkester.optim.search.samplers import Sampler, Setting
from orkester.optim.search.samplers.ehvi import Ehvi
from orkester.optim.search.samplers.grid import Grid as InTurn
from orkester.optim.search.search import Search
from orkester.optim.session.block_driver import BlockDriver
from orkester.optim.session.progress import Progress
from orkester.optim.session.tuner import Tuner
from orkester.optim.study.space import Grid, Space
from orkester.optim.study.study import Study
from orkester.optim.study.study_file import StudyFile
from orkester.telemetry import TraceStore

from .generator import SimulatedModel, World
from .measures import Judge
from .ours import BLOCK, OBJECTIVES, TASK, signature
from .table import Table

#: From seed to seed ability and the logarithms of seconds and joules differ, by a standard deviation of ``_SPREAD``.
MODELS: Final = (
    SimulatedModel(name="small", ability=-0.3, latency_s=0.05, energy_j=0.2),
    SimulatedModel(name="medium", ability=0.8, latency_s=0.25, energy_j=2.0),
    SimulatedModel(name="old", ability=0.3, latency_s=0.45, energy_j=4.5),
    SimulatedModel(name="large", ability=1.7, latency_s=0.7, energy_j=8.0),
)
_SPREAD: Final = 0.3
#: The failing engine: were it sound it would beat all others.
BROKEN: Final = SimulatedModel(name="broken", ability=1.9, latency_s=0.03, energy_j=0.1)
#: What is wrong with it, and the share of its calls that fail.
FAULTS: Final[Mapping[str, float]] = {
    "absent": 0.0,
    "always fails": 1.0,
    "often fails": 0.2,
    "seldom fails": 0.03,
    "lost at once": 0.0,
    "lost later": 0.0,
    "lost in confirmation": 0.0,
}
#: Blocks that an engine which is lost later serves before.
LOST_AFTER: Final = 6
_SAMPLERS: Final[Mapping[str, Callable[[Setting], Sampler]]] = {"ehvi": Ehvi, "grid": InTurn}
METHOD: Final = "simulated"
DEADLINE_S: Final = 60.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One study.

    Attributes:
        seed: of the world and of what is drawn from it: studies with the same one see the same answers, the same
            seconds and joules.
        llm_calls: budget of the search; None to measure every team.
        sampler: ``ehvi``, or ``grid``, which begins every team of the space as soon as the one before is closed.
        fault: see ``FAULTS``.
        examples: of the search.
        held_out: for confirmation.
        again: which run of it: only the search's own random choices are others.
    """

    seed: int
    llm_calls: int | None
    sampler: str = "ehvi"
    fault: str = "absent"
    examples: int = 48
    held_out: int = 48
    again: int = 0


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a study came to.

    Attributes:
        results: the product's.
        reason: why its search ended.
        sent: calls of the search, and of confirmation.
        seen_to_fail: teams of which an example failed, or whose engine was lost.
        reality: what is true.
    """

    results: Results
    reason: str
    sent: Mapping[Phase, int]
    seen_to_fail: frozenset[str]
    reality: Reality


@dataclass(frozen=True, kw_only=True, eq=False)
class Reality:
    """What is true of the teams without the failing engine; one with it can be on no front.

    Attributes:
        index: row by team.
        values: quality, median seconds, mean joules.
        judge: of them.
    """

    index: Mapping[str, int]
    values: Any
    judge: Judge

    def of(self, team: Team) -> Mapping[str, float] | None:
        """The true objectives; None for a team with the failing engine."""
        row = self.index.get(team.id)
        return None if row is None else dict(zip(OBJECTIVES, map(float, self.values[row]), strict=True))


def space(models: Sequence[SimulatedModel]) -> Space:
    """60 teams of four models, 85 of five."""
    names, warm = Grid(tuple(model.name for model in models)), Grid((0.4, 0.8))
    return Space(
        {
            "single": {"model": names, "temperature": Grid((0.0, 0.4, 0.8))},
            "vote": {"agents": Grid((3, 5)), "model": names, "temperature": warm},
            "cascade": {
                "first": names,
                "then": names,
                "votes": Grid((2, 3)),
                "temperature": Grid((0.8,)),
                "agreement": Grid((1.0,)),
            },
        }
    )


@functools.lru_cache(maxsize=4)
def reality(seed: int) -> tuple[tuple[SimulatedModel, ...], Reality]:
    """Models that differ from seed to seed, the sound ones, and what is true of their teams."""
    rng = np.random.default_rng([seed, 4])
    models = tuple(
        replace(
            model,
            ability=model.ability + _SPREAD * rng.standard_normal(),
            latency_s=model.latency_s * math.exp(_SPREAD * rng.standard_normal()),
            energy_j=model.energy_j * math.exp(_SPREAD * rng.standard_normal()),
        )
        for model in MODELS
    )
    world = World(models=models, space=space(models), seed=seed)
    values = world.truth()
    index = {team.id: row for row, team in enumerate(world.space.teams())}
    return models, Reality(index=index, values=values, judge=Judge(values))


def run(plan: Plan, folder: Path | None = None) -> Found:
    """Search and confirm.

    Args:
        plan: the study.
        folder: of its ``blocks.jsonl``, with which it goes on if there is one; if None it is kept nowhere.
    """
    models, true = reality(plan.seed)
    if plan.fault != "absent":
        models = (*models, BROKEN)
    world = World(models=models, space=space(models), seed=plan.seed)
    driver = TableDriver(
        searched=world.table(examples=plan.examples, searched=plan.examples),
        confirmed=world.table(examples=plan.held_out, searched=plan.held_out, items=1),
        fault=plan.fault,
        rng=np.random.default_rng([plan.seed, 5]),
    )
    study = _study(plan, world)
    goal = Goal(objectives=study.file.objectives, constraints=DEFAULT_CONSTRAINTS)
    seed = derive_seed(plan.seed, "again", plan.again)
    ends: list[str] = []

    def observe(event: Event) -> None:
        if isinstance(event, SearchEnded):
            ends.append(event.reason)

    with _quick_folder() as quick, BlockLog((folder or quick) / "blocks.jsonl") as log:
        budget = Budget.of(study.file.budget)
        tuner = Tuner(
            study=study,
            log=log,
            budget=budget,
            search=Search(
                goal=goal,
                examples=plan.examples,
                block=BLOCK,
                race=Race(
                    objectives=goal.objectives, constraints=goal.constraints, examples=plan.examples, block=BLOCK
                ),
                composition=Composition(signature),
            ),
            sampler=_SAMPLERS[plan.sampler](Setting(space=world.space, goal=goal, seed=seed)),
            driver=cast("BlockDriver", driver),
            traces=cast("TraceStore", _NoTraces()),
            progress=Progress(study=study, budget=budget, observer=observe),
        )
        results = asyncio.run(tuner.run())
        return Found(
            results=results,
            reason=ends[-1],
            sent=driver.sent,
            seen_to_fail=seen_to_fail(log.all_blocks(), log.failures),
            reality=true,
        )


def seen_to_fail(blocks: Sequence[Block], failures: Sequence[TeamFailure]) -> frozenset[str]:
    """Teams of which an example failed in either phase, or that could not be measured."""
    failed = {block.team for block in blocks for example in block.examples if example.failure is not None}
    return frozenset(failed | {failure.team for failure in failures})


@dataclass(kw_only=True)
class TableDriver:
    """Runs blocks like ``BlockDriver``, from tables.

    Attributes:
        searched, confirmed: of the two phases.
        fault: see ``FAULTS``.
        rng: which calls fail.
        sent: calls by phase.
    """

    searched: Table
    confirmed: Table
    fault: str
    rng: np.random.Generator
    sent: dict[Phase, int] = field(default_factory=lambda: {"search": 0, "confirm": 0}, init=False)
    _served: int = field(default=0, init=False)

    def stop(self) -> bool:
        """There is nothing to wait for."""
        return False

    async def run(
        self,
        team: Team,
        examples: Sequence[Example],
        phase: Phase,
        index: int,
        *,
        trial: int | None = None,
        policies: Mapping[str, RoutingPolicy] | None = None,
        store: CallStore | None = None,
        progress: Any = None,
    ) -> Block:
        """See ``BlockDriver.run``."""
        del progress, policies
        table = self.searched if phase == "search" else self.confirmed
        row, first = table.number(team), index * BLOCK
        cells = [
            [None if store is None else store.recall(_key(id_), METHOD) for id_ in table.keys(row, first + i)]
            for i in range(len(examples))
        ]
        fresh = any(known is None for cell in cells for known in cell)
        if fresh and BROKEN.name in team.models:
            self._lose(team, phase, index)
        done = tuple(
            self._example(table, team, example, first + i, cell, phase)
            for i, (example, cell) in enumerate(zip(examples, cells, strict=True))
        )
        made = [call for example in done for call in example.calls if not call.reused]
        again = [call for example in done for call in example.calls if call.reused]
        self.sent[phase] += len(made)
        joules = {f"engine:{model}": _joules(call for call in made if call.model == model) for model in team.models}
        wall_s = sum(call.latency_s for call in made) / 4
        return Block(
            team=team.id,
            topology=team.topology,
            knobs=dict(team.knobs),
            phase=phase,
            index=index,
            trial=trial,
            started_at="2026-01-01T12:00:00.000+00:00",
            wall_s=wall_s,
            concurrency=4,
            seed=0,
            energy_j={**joules, "reused": _joules(again)} if again else joules,
            energy_method=METHOD,
            energy_assumptions={},
            examples=done,
            engines={model: {"engine": METHOD} for model in team.models},
            energy_unattributed_j=0.0,
            attribution="tokens",
            composed_wall_s=sum(example.latency_s for example in done) / 4 if again else None,
        )

    def _lose(self, team: Team, phase: Phase, index: int) -> None:
        """Raise where the failing engine is gone."""
        self._served += 1
        lost = {
            "lost at once": True,
            "lost later": self._served > LOST_AFTER,
            "lost in confirmation": phase == "confirm",
        }
        if lost.get(self.fault, False):
            raise EngineLost(f"the engine of {BROKEN.name} died 3 times in block {index} of {team.id}")

    def _example(
        self, table: Table, team: Team, example: Example, at: int, known: Sequence[Call | None], phase: Phase
    ) -> ExampleResult:
        """The example's calls, stage by stage: what follows a stage in which a call fails is not asked."""
        row = table.number(team)
        ids = table.keys(row, at)
        first = int(team.knobs["votes"]) if team.topology == "cascade" else len(ids)
        calls: list[Call] = []
        for stage in (slice(0, first), slice(first, len(ids))):
            for sample, (id_, call) in enumerate(zip(ids[stage], known[stage], strict=True)):
                calls.append(call or self._call(table, id_, sample, phase))
            if any(call.failure for call in calls):
                break
        failure = next((call.failure for call in calls if call.failure), None)
        return ExampleResult(
            id=example.id,
            answer=None if failure else "right" if table.score[row, at] > 0.5 else "wrong",
            score=0.0 if failure else float(table.score[row, at]),
            latency_s=DEADLINE_S if failure else float(table.latency_s[row, at]),
            failure=failure,
            calls=tuple(calls),
            composed=any(call.reused for call in calls),
        )

    def _call(self, table: Table, id_: int, sample: int, phase: Phase) -> Call:
        model = table.models[table.call_model[id_]]
        fails = model == BROKEN.name and self.rng.random() < FAULTS[self.fault]
        return Call(
            agent="agent",
            model=model,
            sample=sample,
            start_s=0.0,
            latency_s=float(table.call_latency_s[id_]),
            input_tokens=None if fails else 20,
            output_tokens=None if fails else 4,
            failure="http 500" if fails else None,
            energy_j=float(table.call_energy_j[id_]),
            key=_key(id_) if phase == "search" else None,
            text=None if fails or phase == "confirm" else "said",
        )


class _NoTraces:
    """Takes the place of a trace store."""

    @contextmanager
    def trial(self, number: int, attributes: Mapping[str, Any]) -> Iterator[Span]:
        del number, attributes
        yield INVALID_SPAN


def _key(id_: int) -> str:
    return f"call {id_}"


def _joules(calls: Any) -> float:
    return math.fsum(call.energy_j for call in calls)


def _study(plan: Plan, world: World) -> Study:
    names = [model.name for model in world.models]

    def examples(phase: str, count: int) -> tuple[Example, ...]:
        return tuple(Example(id=f"{phase}-{i}", question=f"{phase} {i}?", expected="right") for i in range(count))

    # Where every team is measured there is nothing to confirm: it is about the search.
    budget = (
        {"trials": len(world.space), "confirm_calls": 1} if plan.llm_calls is None else {"llm_calls": plan.llm_calls}
    )
    file = StudyFile.model_validate(
        {
            "name": "simulated",
            "task": {"data": "simulated"},
            "models": names,
            "search": dict.fromkeys(world.space.grids),
            "objectives": dict(OBJECTIVES),
            "measure": {"block": BLOCK},
            "budget": budget,
            "sampler": plan.sampler,
            "seed": plan.seed,
        }
    )
    task = replace(
        TASK, name="simulated", search=examples("search", plan.examples), confirm=examples("confirm", plan.held_out)
    )
    return Study(file=file, path=Path("simulated.yaml"), task=task, models={}, space=world.space)


@contextmanager
def _quick_folder() -> Iterator[Path]:
    """In memory where there is room: records are synced to disk block by block."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None, prefix="orkester-simulated-") as folder:
        yield Path(folder)
