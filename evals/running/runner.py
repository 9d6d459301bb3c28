"""Runs one block: a few examples by one team inside one exclusive measurement window."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from orkester.agents.routing import RoutingPolicy
from orkester.errors import OrkesterError
from orkester.graphs import Team
from orkester.serving.chat import ChatModel
from orkester.serving.energy import Sampler, window
from orkester.serving.energy.attribution import Coefficients
from orkester.telemetry import TraceStore
from orkester.telemetry import attributes as names

from ..records.block import Block, ExampleResult, Phase
from ..records.call_store import CallStore
from ..scorers import DeferredScorer
from ..task import Example, Task
from .attempt import attempt, result_of, settings_of
from .calls import CallLog, Keys, RecordingModel, WarmUpModel, derive_seed, engine_fingerprint
from .energy import TimedResult, energy_table, share_energy
from .engine_metrics import EngineSampler, Metrics
from .reuse import Reuse, made_calls, reused_calls, with_reused
from .scoring import Judges, Scoring, no_models

__all__ = ["BlockPlan", "BlockRunner", "derive_seed"]


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _uncalibrated(facts: Mapping[str, object]) -> None:
    """Coefficients of engines that are not calibrated: None."""
    del facts


@dataclass(frozen=True, kw_only=True)
class BlockPlan:
    """A block that is to be run.

    Attributes:
        team: The team that answers.
        examples: The examples, in order.
        phase, index: Phase and number of the block; see ``Block``.
        trial: The number of the trial that asks for the block; None in confirmation.
        reruns: How often the block was started before.
        policies: The routing policies with options, and those that were fitted, by name.
    """

    team: Team
    examples: Sequence[Example]
    phase: Phase
    index: int
    trial: int | None = None
    reruns: int = 0
    policies: Mapping[str, RoutingPolicy] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class BlockRunner:
    """Runs a block: the team answers every example inside one measurement window. Only one block runs at a time.

    The seed of a call derives from ``seed``, the phase, the example and the number of the sample, but not from the team
    or the agent. Teams that send the same prompt draw the same sample, so they are compared on common random numbers.

    In the search, a call that was made before may be answered from a call store, when everything that an answer depends
    on is the same (see ``calls.Keys``). Confirmation makes every call.

    Attributes:
        task: The settings of the task, and its scorer.
        meter: The meter, which is read at both ends of the window.
        concurrency: How many examples are answered at the same time. An example is submitted when a place is free.
        deadline_s: An example that takes longer has failed.
        seed: The study's seed.
        traces: Takes a trace for each example, and the energy table; None for no traces.
        coefficients: Returns what the steps and tokens of an engine cost, given its facts; None for an engine that is
            not calibrated.
        clock: Monotonic seconds.
        now: The wall clock, only for ``started_at``.
    """

    task: Task
    meter: Sampler
    concurrency: int
    deadline_s: float
    seed: int
    traces: TraceStore | None = None
    coefficients: Callable[[Mapping[str, object]], Coefficients | None] = _uncalibrated
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = _utc_now
    _window: asyncio.Lock = field(default_factory=asyncio.Lock)
    _warm: set[str] = field(default_factory=set)
    _scoring: Scoring = field(init=False)

    def __post_init__(self) -> None:
        scoring = Scoring(scorer=self.task.scorer, meter=self.meter, at_once=self.concurrency, clock=self.clock)
        object.__setattr__(self, "_scoring", scoring)

    async def run(
        self,
        plan: BlockPlan,
        models: Mapping[str, ChatModel],
        *,
        engines: Mapping[str, Mapping[str, object]],
        store: CallStore | None = None,
        progress: Callable[[int], None] | None = None,
        metrics: Metrics | None = None,
        idle_w: Mapping[str, float] | None = None,
        judges: Judges = no_models,
    ) -> Block:
        """Run the block, wait for all its examples, and score them once the window is closed.

        Calls that are in the store are not sent. An example with a reused call gets the latency that its graph takes
        when each call takes as long as when it was made.

        Args:
            plan: The block.
            models: The models, by the names in the team's knobs.
            engines: The facts of the engines, for the record and for the keys of the calls.
            store: The calls of the search so far. It is not used in confirmation. The block is not added to it.
            progress: Called with the number of examples that are done.
            metrics: Asks the engines how busy they are; None not to ask.
            idle_w: Idle watts by the meter's domains, with the engines that are resident; None when not known.
            judges: Makes the models that the scorer asks ready; see ``Scoring.scored``.

        Raises:
            OrkesterError: Something other than a model call is wrong, for example a scorer of the user's. Failed calls
                and deadlines are results, not errors.
        """
        reuse = None
        if store is not None and plan.phase == "search":
            reuse = self._reuse(plan, engines, store)
        async with self._window:
            await self._warm_up(plan.team)
            answered = {} if reuse is None else await reuse.from_store(plan.examples)
            if progress is not None and answered:
                progress(len(answered))
            if reuse is not None and len(answered) == len(plan.examples):
                return await self._scored(self._screened(plan, answered, engines, reuse), plan, judges)
            remaining = [position for position in range(len(plan.examples)) if position not in answered]

            def report(done: int) -> None:
                if progress is not None:
                    progress(len(answered) + done)

            examples = [plan.examples[position] for position in remaining]
            block, measured = await self._measured(plan, examples, models, engines, reuse, report, metrics, idle_w)
            if self.traces is not None:
                self.traces.energy(energy_table(block))  # only the calls that were made in the window
            if reuse is not None:
                composed = await reuse.with_composed_times(examples, measured)
                block = _with_results(block, answered | dict(zip(remaining, composed, strict=True)), reuse)
            return await self._scored(block, plan, judges)

    def remember(self, blocks: Iterable[Block]) -> None:
        """Take the scores of earlier blocks of the run; see ``Scoring.remember``."""
        self._scoring.remember(blocks)

    async def screen(self, plan: BlockPlan, store: CallStore, judges: Judges = no_models) -> Block | None:
        """Put the block together from the store alone, without an engine.

        It assumes the engines that last served these models with the team's engine options.

        Args:
            plan: The block.
            store: The calls of the search so far.
            judges: See ``run``.

        Returns:
            The block; None when one of its calls must be made.

        Raises:
            OrkesterError: See ``run``.
        """
        engines = store.engines(plan.team.models, plan.team.engine)
        if plan.phase != "search" or engines is None:
            return None
        reuse = self._reuse(plan, engines, store)
        async with self._window:
            # Most blocks that must be run already lack a call of their first example, so it is checked first.
            if not await reuse.from_store(plan.examples[:1]):
                return None
            answered = await reuse.from_store(plan.examples)
            if len(answered) < len(plan.examples):
                return None
            return await self._scored(self._screened(plan, answered, engines, reuse), plan, judges)

    async def _measured(
        self,
        plan: BlockPlan,
        examples: Sequence[Example],
        models: Mapping[str, ChatModel],
        engines: Mapping[str, Mapping[str, object]],
        reuse: Reuse | None,
        progress: Callable[[int], None],
        metrics: Metrics | None,
        idle_w: Mapping[str, float] | None,
    ) -> tuple[Block, list[TimedResult]]:
        """Run examples in a window.

        Returns:
            The block with only the calls that were made, and the results with all calls.
        """
        fingerprints = _fingerprints(engines)
        free_places = asyncio.Semaphore(self.concurrency)
        done = 0

        async def run_example(example: Example) -> TimedResult:
            nonlocal done
            async with free_places:
                result = await self._example(plan, example, models, fingerprints, reuse)
            done += 1
            progress(done)
            return result

        async with EngineSampler(metrics) if metrics is not None else nullcontext() as sampler:
            started_at = self._started_at()
            before, start = self.meter.read(), self.clock()
            try:
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(run_example(example)) for example in examples]
            except ExceptionGroup as errors:
                if (own_errors := errors.subgroup(OrkesterError)) is None:
                    raise
                first = own_errors.exceptions[0]  # one message is enough
                raise first from first.__cause__
            wall_s, after = self.clock() - start, self.meter.read()
        measured_window = window(
            self.meter.between(before, after) if before is not None and after is not None else (),
            self.meter.limits,
            idle_w,
        )
        coefficients = {name: values for name in engines if (values := self.coefficients(engines[name])) is not None}
        timed_results = [task.result() for task in tasks]
        results, attribution = share_energy(
            [replace(each, result=replace(each.result, calls=made_calls(each.result))) for each in timed_results],
            measured_window,
            idle_w=idle_w,
            coefficients=coefficients,
            refresh_s=self.meter.limits.refresh_s,
        )
        block = replace(
            self._block(plan, results, engines, started_at=started_at, wall_s=wall_s),
            energy_j=measured_window.energy_j,
            engine_metrics=sampler.summary() if sampler is not None else {},
            energy_error_j=measured_window.error_j,
            energy_idle_j=attribution.idle_j if attribution is not None and idle_w is not None else None,
            energy_unattributed_j=attribution.unattributed_j if attribution is not None else None,
            energy_marks=measured_window.marks,
            energy_gauges=measured_window.gauges,
            attribution=attribution.method if attribution is not None else "",
        )
        with_all_calls = [
            replace(each, result=replace(each.result, calls=(*result.calls, *reused_calls(each.result))))
            for each, result in zip(timed_results, results, strict=True)
        ]
        return block, with_all_calls

    def _block(
        self,
        plan: BlockPlan,
        results: tuple[ExampleResult, ...],
        engines: Mapping[str, Mapping[str, object]],
        *,
        started_at: str,
        wall_s: float,
    ) -> Block:
        """The block without its joules."""
        return Block(
            team=plan.team.id,
            topology=plan.team.topology,
            knobs=dict(plan.team.knobs),
            phase=plan.phase,
            index=plan.index,
            trial=plan.trial,
            started_at=started_at,
            wall_s=wall_s,
            concurrency=self.concurrency,
            seed=self.seed,
            energy_j=None,
            energy_method=self.meter.method,
            energy_assumptions=self.meter.assumptions,
            examples=results,
            engines=engines,
            reruns=plan.reruns,
            engine_options=dict(plan.team.engine),
        )

    def _screened(
        self,
        plan: BlockPlan,
        results: Mapping[int, TimedResult],
        engines: Mapping[str, Mapping[str, object]],
        reuse: Reuse,
    ) -> Block:
        """A block in which every call was reused, so that nothing was run."""
        block = self._block(plan, (), engines, started_at=self._started_at(), wall_s=0.0)
        if self.meter.method != "unavailable":
            block = replace(block, energy_j={})
        return _with_results(block, results, reuse)

    def _reuse(self, plan: BlockPlan, engines: Mapping[str, Mapping[str, object]], store: CallStore) -> Reuse:
        return Reuse(
            team=plan.team,
            models=plan.team.models,
            task=self.task,
            policies=plan.policies,
            fingerprints=_fingerprints(engines),
            store=store,
            method=self.meter.method,
            seed=self.seed,
            deadline_s=self.deadline_s,
        )

    def _started_at(self) -> str:
        return self.now().isoformat(timespec="milliseconds")

    async def _warm_up(self, team: Team) -> None:
        """Run the graph once with fake models, so that its import and its first run are not part of a measurement."""
        if team.topology not in self._warm:
            await team.answer("", {name: WarmUpModel(name) for name in team.models})
            self._warm.add(team.topology)

    async def _example(
        self,
        plan: BlockPlan,
        example: Example,
        models: Mapping[str, ChatModel],
        fingerprints: Mapping[str, str],
        reuse: Reuse | None,
    ) -> TimedResult:
        call_log = CallLog()
        if plan.phase == "search":
            call_log.keys = Keys(fingerprints, seed=self.seed, example=example.id)
        base = (self.seed, plan.phase, example.id)
        recall = reuse.recall if reuse is not None else None
        start = self.clock()
        recording_models = {
            name: RecordingModel(
                inner=model, call_log=call_log, base=base, clock=self.clock, origin=start, recall=recall
            )
            for name, model in models.items()
        }
        with self._trace(plan, example) as span:
            outcome = await attempt(
                plan.team,
                example.question,
                recording_models,
                settings_of(self.task, plan.policies),
                deadline_s=self.deadline_s,
                clock=self.clock,
            )
            result = result_of(example, outcome, call_log, deadline_s=self.deadline_s)
            if span is not None:
                if result.failure is not None:
                    span.set_attribute(names.ERROR_TYPE, result.failure)
                result = replace(result, trace_id=f"{span.get_span_context().trace_id:032x}")
        return TimedResult(result=result, submitted_s=start, duration_s=outcome.duration_s)

    async def _scored(self, block: Block, plan: BlockPlan, judges: Judges) -> Block:
        """The block with its scores, which are in the traces, too."""
        if self.traces is None:
            return await self._scoring.scored(block, plan.examples, judges)
        scorer = self.task.scorer
        attributes = {names.TEAM_ID: plan.team.id, names.EXAMPLE_PHASE: plan.phase}
        span = self.traces.scoring(scorer.name, attributes) if isinstance(scorer, DeferredScorer) else nullcontext()
        try:
            with span:
                block = await self._scoring.scored(block, plan.examples, judges)
            for result in block.examples:
                if result.trace_id is not None:
                    self.traces.score(result.trace_id, scorer=scorer.name, score=result.score)
        finally:
            self.traces.flush()
        return block

    def _trace(self, plan: BlockPlan, example: Example) -> AbstractContextManager[Any]:
        if self.traces is None:
            return nullcontext()
        attributes: dict[str, str | int] = {names.TEAM_ID: plan.team.id, names.EXAMPLE_PHASE: plan.phase}
        if plan.trial is not None:
            attributes[names.TRIAL_NUMBER] = plan.trial
        return self.traces.example(example.id, attributes)


def _with_results(block: Block, results: Mapping[int, TimedResult], reuse: Reuse) -> Block:
    """The block with the results of all its examples, which are given by position."""
    ordered = [results[position] for position in sorted(results)]
    block = replace(block, examples=tuple(each.result for each in ordered))
    return with_reused(block, [each.duration_s for each in ordered], reuse.store)


def _fingerprints(engines: Mapping[str, Mapping[str, object]]) -> dict[str, str]:
    return {name: engine_fingerprint(facts) for name, facts in engines.items()}
