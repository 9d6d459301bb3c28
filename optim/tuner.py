"""Runs a study: search, then confirmation, block by block, from wherever the run directory says it stands."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace

from orkester.errors import EngineError, EngineLost
from orkester.evals.block import Block, Phase, PrefixCache
from orkester.evals.measurement import Measurement, measure
from orkester.evals.records import BlockLog, TeamFailure
from orkester.evals.runner import BlockPlan, BlockRunner
from orkester.evals.task import Example
from orkester.graphs import Team
from orkester.serving.energy import IdlePower
from orkester.serving.lease import Lease
from orkester.serving.pool import Pool
from orkester.telemetry import TraceStore
from orkester.telemetry import attributes as names

from .events import (
    BlockProgress,
    BlockRerun,
    Observer,
    Preparing,
    SearchEnded,
    TeamMeasured,
    TeamStarted,
)
from .interrupts import Interrupted
from .ordering import by_engines
from .results import Results, TeamResult, results, violation
from .sampling import Asked, Sampling
from .starting import starting
from .study import Study

#: How often a block is started again because an engine died in it, before its team is given up.
MAX_RERUNS = 2


@dataclass(kw_only=True)
class Tuner:
    """Drives one study to its end.

    Every decision follows from the records and the study alone, so a resumed run takes the same way as one that was
    never interrupted.

    Attributes:
        study: what is searched.
        log: blocks so far; new ones are appended.
        sampling: which team comes next.
        runner: runs blocks.
        pool: leases models; engines start when first needed.
        idle: measures idle power where the meter's joules hold some.
        traces: the run's trace store.
        observer: told what happens.
        batch: teams asked for at a time, to be measured in the order of their engines; the same in every resume.
        clock: monotonic seconds.
    """

    study: Study
    log: BlockLog
    sampling: Sampling
    runner: BlockRunner
    pool: Pool
    idle: IdlePower
    traces: TraceStore
    observer: Observer
    batch: int = 1
    clock: Callable[[], float] = time.monotonic
    _stopping: bool = field(default=False, init=False)
    _in_block: bool = field(default=False, init=False)
    _emptied: tuple[tuple[str, Phase], PrefixCache] | None = field(default=None, init=False)
    _new_s: float = field(default=0.0, init=False)
    _new_examples: int = field(default=0, init=False)
    _last: tuple[int, Results] | None = field(default=None, init=False)
    _measurements: dict[tuple[str, Phase, int], Measurement] = field(default_factory=dict, init=False)

    def stop(self) -> bool:
        """Finish the block under way, then raise ``Interrupted``; whether there is one, or only engines that start."""
        self._stopping = True
        return self._in_block

    async def run(self) -> Results:
        """Search and confirm.

        Raises:
            Interrupted: after ``stop``.
            OrkesterError: the study cannot go on.
        """
        await self._search()
        await self._confirm()
        return self._results()

    # -- search ---------------------------------------------------------------------------------------------------

    async def _search(self) -> None:
        while True:
            reason = self._search_is_over()
            if reason and self._known() <= self.sampling.told_teams:
                break
            # What has been told, not what is known: a batch that was cut off is asked for again as it was.
            left = self.study.file.budget.trials - len(self.sampling.told_teams)
            asked = self.sampling.ask(max(1, min(self.batch, left)))
            if not asked:
                reason = "every team of the space is measured"
                break
            found: dict[int, TeamResult] = {}
            for index in by_engines([each.team for each in asked], self._measured_teams(self.sampling.told_teams)):
                reason = self._search_is_over()
                if not reason or asked[index].team.id in self._known():
                    found[index] = await self._search_for(asked[index])
            for index, each in enumerate(asked):
                if index in found:
                    self.sampling.tell(each, measurement=found[index].search, infeasible=found[index].infeasible)
                else:
                    self.sampling.drop(each)
            if len(found) < len(asked):
                break
        self.observer(SearchEnded(reason=reason, teams=len(self._known())))

    async def _search_for(self, asked: Asked) -> TeamResult:
        team = asked.team
        known = team.id in self._known()  # then Optuna is told what is known: nothing is run twice
        attributes = {names.TEAM_ID: team.id, names.TEAM_TOPOLOGY: team.topology, names.TEAM: str(team)}
        with self.traces.trial(asked.number, attributes) as span:
            result = await self._measure_in_search(team, asked.number)
            for name, estimate in (result.search.estimates if result.search else {}).items():
                span.set_attribute(names.OBJECTIVE_PREFIX + name, estimate.value)
            span.set_attribute(names.TRIAL_STATE, result.infeasible or "feasible")
        if not known:
            self.observer(TeamMeasured(result=result, results=self._results(), phase="search"))
        return result

    def _measured_teams(self, of: Collection[str]) -> Iterator[Team]:
        """Those of these teams that were measured, in the order of their blocks."""
        teams = {result.team.id: result.team for result in self._results().teams}
        return (teams[block.team] for block in self.log.all_blocks() if block.team in of)

    def _search_is_over(self) -> str:
        budget = self.study.file.budget
        known = self._known()
        if len(known) >= budget.trials:
            return f"{budget.trials} teams are measured"
        # Of whole teams alone: one that was cut off half-way is finished, as it would have been without the cut.
        if budget.minutes is not None and self._searched_s(known) >= budget.minutes * 60:
            return f"{budget.minutes:g} minutes are spent"
        return ""

    def _known(self) -> set[str]:
        """Teams with a complete search measurement, or one that needs no more."""
        return {team for team, blocks in self._searched().items() if self._enough(blocks)} | self.log.failed_teams()

    def _searched(self) -> dict[str, list[Block]]:
        grouped: dict[str, list[Block]] = {}
        for block in self.log.all_blocks():
            if block.phase == "search":
                grouped.setdefault(block.team, []).append(block)
        return grouped

    def _enough(self, blocks: Sequence[Block]) -> bool:
        return len(blocks) >= len(self._parts("search")) or self._hopeless(blocks)

    def _hopeless(self, blocks: Sequence[Block]) -> bool:
        """Whether failures so far violate the limit even if nothing fails from here on."""
        limit = self._results().constraints.get("failure_rate")
        if limit is None:
            return False
        failed = sum(example.failure is not None for block in blocks for example in block.examples)
        return violation(failed / len(self.study.search_examples), limit) > 0 and failed > 0

    async def _measure_in_search(self, team: Team, number: int) -> TeamResult:
        parts = self._parts("search")
        if team.id not in self._known():
            teams = self.study.file.budget.trials
            self.observer(
                TeamStarted(team=team, phase="search", number=len(self._known()) + 1, of=teams, blocks=len(parts))
            )
            try:
                for index, examples in enumerate(parts):
                    blocks = self.log.blocks(team.id, "search")
                    if self._hopeless(blocks):
                        break
                    if index >= len(blocks):
                        await self._run_block(team, examples, "search", index, number)
            except EngineLost as error:
                self._give_up(team, number, str(error))
        return next(result for result in self._results().teams if result.team.id == team.id)

    # -- confirmation ---------------------------------------------------------------------------------------------

    async def _confirm(self) -> None:
        """Until every front member is confirmed: one that fails here makes room for others."""
        parts = self._parts("confirm")
        while True:
            members = self._results().front
            waiting = [m for m in members if self._unconfirmed(m.team, len(parts))]
            if not waiting:
                return
            # One that was cut off half-way was the next in order when it was begun.
            begun = [index for index, m in enumerate(waiting) if self.log.blocks(m.team.id, "confirm")]
            known = {result.team.id for result in self._results().teams}
            order = begun or by_engines([m.team for m in waiting], self._measured_teams(known))
            member, number = waiting[order[0]], len(members) - len(waiting) + 1
            team = member.team
            self.observer(TeamStarted(team=team, phase="confirm", number=number, of=len(members), blocks=len(parts)))
            try:
                for index in range(len(self.log.blocks(team.id, "confirm")), len(parts)):
                    await self._run_block(team, parts[index], "confirm", index, None)
            except EngineLost as error:
                self._give_up(team, member.trial, f"in confirmation: {error}")
            found = self._results()
            result = next(r for r in found.teams if r.team.id == team.id)
            self.observer(TeamMeasured(result=result, results=found, phase="confirm"))

    def _give_up(self, team: Team, trial: int, reason: str) -> None:
        self.log.append(
            TeamFailure(
                team=team.id,
                topology=team.topology,
                knobs=dict(team.knobs),
                reason=reason,
                trial=trial,
                engine_options=dict(team.engine),
            )
        )

    def _unconfirmed(self, team: Team, parts: int) -> bool:
        return len(self.log.blocks(team.id, "confirm")) < parts

    # -- blocks ---------------------------------------------------------------------------------------------------

    async def _run_block(
        self, team: Team, examples: Sequence[Example], phase: Phase, index: int, trial: int | None
    ) -> None:
        for reruns in range(MAX_RERUNS + 1):
            self._leave_if_asked()
            lease = await self._lease(team)
            plan = BlockPlan(team=team, examples=examples, phase=phase, index=index, trial=trial, reruns=reruns)
            lost = await self._try_block(plan, lease)
            if not lost:
                return
            self._emptied = None  # the block's own prompts are in the caches of those that are left
            self.observer(BlockRerun(team=team, block=index, reason=f"the engine of {', '.join(lost)} died"))
        raise EngineLost(
            f"the engine of {', '.join(lost)} died {MAX_RERUNS + 1} times in block {index} of {team.id}"
            f"{self.pool.last_words(lost[0], team.engine)}"
        )

    async def _try_block(self, plan: BlockPlan, lease: Lease) -> Sequence[str]:
        """Run a block and write it down, unless an engine was lost in it: those that were."""
        try:
            prefix_cache = await self._prefix_caches(plan, lease)
        except EngineError:
            if lost := await self.pool.lost(lease):
                return lost
            raise
        begun = self.clock()
        resident = self.pool.resident()
        if not self.idle.knows(resident):
            self.observer(Preparing(line=f"measuring idle power with {len(resident)} engines resident"))
        block = await self.runner.run(
            plan,
            lease.models,
            engines=lease.facts,
            metrics=lease.metrics,
            idle_w=await self.idle.measured(resident),
            progress=lambda done: self._progress(plan, done),
        )
        spent_j = None if block.energy_j is None else sum(block.energy_j.values())
        if _may_have_lost_an_engine(block) and (lost := await self.pool.lost(lease, energy_j=spent_j)):
            return lost
        self.log.append(replace(block, prefix_cache=prefix_cache))
        self._new_s += self.clock() - begun
        self._new_examples += len(plan.examples)
        return ()

    async def _prefix_caches(self, plan: BlockPlan, lease: Lease) -> PrefixCache:
        """Before a team's first block in a phase, see that it does not profit from the prompts of those before it."""
        if self.study.file.engine_options.prefix_cache == "warm":
            return "warm"
        measuring = (plan.team.id, plan.phase)
        if self._emptied is None or self._emptied[0] != measuring:
            found: PrefixCache = "cold" if all((await lease.reset_prefix_caches()).values()) else "kept"
            self._emptied = (measuring, found)
            return found
        return self._emptied[1]

    async def _lease(self, team: Team) -> Lease:
        self._in_block = False
        # Of a team that does not fit into memory no engine is started; the lease says why.
        fits = self.pool.fits([(team.models, team.engine)])
        missing = self.pool.missing(team.models, team.engine) if fits else ()
        waking = self.pool.asleep(missing, team.engine)
        async with starting(self.observer, missing, waking=waking, options=team.engine, clock=self.clock):
            lease = await self.pool.lease(team.models, team.engine)
        self._in_block = True  # until the next lease: what is measured now is worth waiting for
        return lease

    def _leave_if_asked(self) -> None:
        if self._stopping:
            raise Interrupted("stopped after the block that was under way")

    def _parts(self, phase: Phase) -> list[Sequence[Example]]:
        examples = self.study.search_examples if phase == "search" else self.study.task.confirm
        size = self.study.file.measure.block
        return [examples[i : i + size] for i in range(0, len(examples), size)]

    def _progress(self, plan: BlockPlan, done: int) -> None:
        self.observer(
            BlockProgress(
                team=plan.team,
                phase=plan.phase,
                block=plan.index + 1,
                of=len(self._parts(plan.phase)),
                examples_done=done,
                examples=len(plan.examples),
                remaining_s=self._remaining_s(),
            )
        )

    def _remaining_s(self) -> float | None:
        """A guess from the pace of this process: teams to come cost what teams so far did."""
        if not self._new_examples:
            return None
        pace = self._new_s / self._new_examples
        budget = self.study.file.budget
        teams = max(0, min(budget.trials, len(self.study.space)) - len(self._known()))
        search_s = teams * len(self.study.search_examples) * pace
        if budget.minutes is not None:
            search_s = min(search_s, max(0.0, budget.minutes * 60 - self._searched_s(self._known())))
        confirmed = sum(block.phase == "confirm" for block in self.log.all_blocks())
        members = max(1, len(self._results().front))
        blocks = max(0, members * math.ceil(len(self.study.task.confirm) / self.study.file.measure.block) - confirmed)
        return search_s + blocks * self.study.file.measure.block * pace

    def _searched_s(self, teams: set[str]) -> float:
        blocks = (block for block in self.log.all_blocks() if block.phase == "search")
        return sum(block.wall_s for block in blocks if block.team in teams)

    def _results(self) -> Results:
        # Asked for at every progress event: put together again only when a record has come.
        records = self.log.records()
        size = len(records.blocks) + len(records.failures)
        if self._last is None or self._last[0] != size:
            file = self.study.file
            sizes = self.study.sizes
            self._last = (size, results(records, file.objectives, file.constraints, sizes, measured=self._measured))
        return self._last[1]

    def _measured(self, blocks: Sequence[Block]) -> Measurement:
        key = (blocks[0].team, blocks[0].phase, len(blocks))
        if key not in self._measurements:
            self._measurements[key] = measure(blocks, self.study.file.energy.footprint)
        return self._measurements[key]


def _may_have_lost_an_engine(block: Block) -> bool:
    """Whether something failed that a sound engine does not answer with: anything but a complaint about the request."""
    calls = (call.failure for example in block.examples for call in example.calls)
    failures = [*calls, *(example.failure for example in block.examples)]
    return any(failure is not None and not failure.startswith("http 4") for failure in failures)
