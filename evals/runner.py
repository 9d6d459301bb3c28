"""Runs one block: a few examples by one team inside one exclusive measurement window."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from orkester.errors import CallFailed, OrkesterError
from orkester.graphs import Team, TeamSettings
from orkester.serving.chat import ChatModel, Message, Reply
from orkester.serving.energy import Sampler, window
from orkester.serving.energy.attribution import Coefficients
from orkester.telemetry import TraceStore, noting_chat_spans, score_event
from orkester.telemetry import attributes as names

from .block import Block, Call, ExampleResult, Phase
from .energy import Timed, energy_table, shared
from .engine_metrics import EngineSampler, Metrics
from .task import Example, Task


def derive_seed(*parts: object) -> int:
    """A seed for one draw, from all that names it. Below 2**31, so that every engine takes it."""
    text = ":".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _uncalibrated(facts: Mapping[str, object]) -> None:
    """For engines that nobody calibrated."""
    del facts


@dataclass(frozen=True, kw_only=True)
class BlockPlan:
    """Which block is to be run.

    Attributes:
        team: who.
        examples: what, in order.
        phase, index: its name, with the team's id.
        trial: the trial that asks for it; None in confirmation.
        reruns: how often it was started before.
    """

    team: Team
    examples: Sequence[Example]
    phase: Phase
    index: int
    trial: int | None = None
    reruns: int = 0


@dataclass(frozen=True, kw_only=True)
class BlockRunner:
    """Runs blocks one at a time.

    Seeds of calls derive from ``seed``, the phase, the example, the agent and the sample, not from the team: teams
    that ask the same thing draw the same sample, so they are compared on common random numbers (paired).

    Attributes:
        task: settings and scorer.
        meter: read at both ends of the window.
        concurrency: examples under way at once; an example is submitted when a place is free.
        deadline_s: an example without an answer by then has failed.
        seed: of the study.
        traces: takes a trace per example, and the energy table; None for none.
        coefficients: what an engine's steps and tokens cost, by its facts; None where it is not calibrated.
        clock: monotonic seconds.
        now: wall clock, for ``started_at`` alone.
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

    async def run(
        self,
        plan: BlockPlan,
        models: Mapping[str, ChatModel],
        *,
        engines: Mapping[str, Mapping[str, object]],
        progress: Callable[[int], None] | None = None,
        metrics: Metrics | None = None,
        idle_w: Mapping[str, float] | None = None,
    ) -> Block:
        """Run the block and wait for all its examples.

        Args:
            plan: which block.
            models: by the names in the team's knobs.
            engines: facts of the engines, for the record.
            progress: called with the number of examples done.
            metrics: asks the engines how busy they are; None for not at all.
            idle_w: idle watts by the meter's domains, with the engines that are resident; None when not known.

        Raises:
            OrkesterError: something other than a model call is wrong (a scorer of the user's, say). Failed calls
                and deadlines are results, not errors.
        """
        places = asyncio.Semaphore(self.concurrency)
        done = 0

        async def one(example: Example) -> Timed:
            nonlocal done
            async with places:
                result = await self._example(plan, example, models)
            done += 1
            if progress is not None:
                progress(done)
            return result

        async with self._window:
            await self._warm_up(plan.team)
            async with EngineSampler(metrics) if metrics is not None else nullcontext() as sampler:
                started_at = self.now().isoformat(timespec="milliseconds")
                before, start = self.meter.read(), self.clock()
                try:
                    async with asyncio.TaskGroup() as group:
                        tasks = [group.create_task(one(example)) for example in plan.examples]
                except ExceptionGroup as several:
                    if (wrong := several.subgroup(OrkesterError)) is None:
                        raise
                    first = wrong.exceptions[0]  # one message is enough for whoever asked
                    raise first from first.__cause__
                wall_s, after = self.clock() - start, self.meter.read()
        measured = window(
            self.meter.between(before, after) if before is not None and after is not None else (),
            self.meter.limits,
            idle_w,
        )
        calibrated = {name: found for name in engines if (found := self.coefficients(engines[name])) is not None}
        results, sharing = shared(
            [task.result() for task in tasks],
            measured,
            idle_w=idle_w,
            coefficients=calibrated,
            refresh_s=self.meter.limits.refresh_s,
        )
        block = Block(
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
            energy_j=measured.energy_j,
            energy_method=self.meter.method,
            energy_assumptions=self.meter.assumptions,
            examples=results,
            engines=engines,
            reruns=plan.reruns,
            engine_options=dict(plan.team.engine),
            engine_metrics=sampler.summary() if sampler is not None else {},
            energy_error_j=measured.error_j,
            energy_idle_j=sharing.idle_j if sharing is not None and idle_w is not None else None,
            energy_unattributed_j=sharing.unattributed_j if sharing is not None else None,
            energy_marks=measured.marks,
            energy_gauges=measured.gauges,
            attribution=sharing.method if sharing is not None else "",
        )
        if self.traces is not None:
            self.traces.energy(energy_table(block))
            self.traces.flush()
        return block

    async def _warm_up(self, team: Team) -> None:
        """Run the graph once with models that cost nothing: its import and first run belong to no team's numbers."""
        if team.topology not in self._warm:
            await team.answer("", {name: _Silent(name) for name in team.models})
            self._warm.add(team.topology)

    async def _example(self, plan: BlockPlan, example: Example, models: Mapping[str, ChatModel]) -> Timed:
        calls: list[Call] = []
        start = self.clock()
        base = (self.seed, plan.phase, example.id)
        metered = {name: _Metered(model, calls, base, self.clock, start) for name, model in models.items()}
        settings = TeamSettings(
            instruction=self.task.instruction,
            max_tokens=self.task.max_tokens,
            read=self.task.read,
            key=self.task.scorer.key,
        )
        answer: str | None = None
        failure: str | None = None
        with self._trace(plan, example) as span:
            try:
                async with asyncio.timeout(self.deadline_s):
                    answer = await plan.team.answer(example.question, metered, settings)
            except TimeoutError:
                failure = "deadline"
            except CallFailed as error:
                failure = error.kind
            except OrkesterError:
                raise  # the study is wrong, not the answer
            except Exception as error:  # a graph that breaks is a failed example; the study goes on
                failure = f"error {type(error).__name__}"
            latency_s = self.clock() - start
            score = 0.0 if answer is None else self.task.scorer.score(answer, example.expected)
            if span is not None:
                score_event(span, scorer=self.task.scorer.name, score=score)
                if failure is not None:
                    span.set_attribute(names.ERROR_TYPE, failure)
        result = ExampleResult(
            id=example.id,
            answer=answer,
            score=score,
            latency_s=latency_s if failure is None else self.deadline_s,
            failure=failure,
            calls=tuple(sorted(calls, key=lambda call: (call.start_s, call.agent, call.sample))),
            trace_id=f"{span.get_span_context().trace_id:032x}" if span is not None else None,
        )
        return Timed(result=result, submitted_s=start)

    def _trace(self, plan: BlockPlan, example: Example) -> AbstractContextManager[Any]:
        if self.traces is None:
            return nullcontext()
        attributes: dict[str, str | int] = {names.TEAM_ID: plan.team.id, names.EXAMPLE_PHASE: plan.phase}
        if plan.trial is not None:
            attributes[names.TRIAL_NUMBER] = plan.trial
        return self.traces.example(example.id, attributes)


@dataclass(frozen=True)
class _Silent:
    """A model that answers at once, for warming up."""

    name: str

    async def chat(self, messages: Sequence[Message], **settings: object) -> Reply:
        del messages, settings
        return Reply(text="-", input_tokens=None, output_tokens=None, cached_tokens=None, latency_s=0.0)


@dataclass(frozen=True)
class _Metered:
    """A model that writes down every call of one example, and gives each draw its seed."""

    inner: ChatModel
    calls: list[Call]
    base: tuple[object, ...]
    clock: Callable[[], float]
    origin: float

    @property
    def name(self) -> str:
        return self.inner.name

    async def chat(
        self,
        messages: Sequence[Message],
        *,
        agent: str,
        temperature: float,
        max_tokens: int,
        sample: int = 0,
        seed: int | None = None,
    ) -> Reply:
        start = self.clock()

        def note(latency_s: float, **found: Any) -> None:
            self.calls.append(
                Call(
                    agent=agent,
                    model=self.name,
                    sample=sample,
                    start_s=start - self.origin,
                    latency_s=latency_s,
                    span_id=f"{spans[-1].span_id:016x}" if spans and spans[-1].is_valid else None,
                    **found,
                )
            )

        try:
            with noting_chat_spans() as spans:
                reply = await self.inner.chat(
                    messages,
                    agent=agent,
                    temperature=temperature,
                    max_tokens=max_tokens,
                    sample=sample,
                    seed=derive_seed(*self.base, agent, sample) if seed is None else seed,
                )
        except CallFailed as error:
            note(self.clock() - start, attempts=error.attempts, failure=error.kind)
            raise
        except asyncio.CancelledError:
            note(self.clock() - start, failure="cancelled")
            raise
        note(
            reply.latency_s,
            input_tokens=reply.input_tokens,
            output_tokens=reply.output_tokens,
            cached_tokens=reply.cached_tokens,
            attempts=reply.attempts,
            queue_s=reply.queue_s,
            ttft_s=reply.ttft_s,
            decode_s=reply.decode_s,
        )
        return reply
