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
from orkester.serving.energy import Meter, Reading
from orkester.telemetry import TraceStore, score_event
from orkester.telemetry import attributes as names

from .block import Block, Call, ExampleResult, Phase
from .engine_metrics import EngineSampler, Metrics
from .task import Example, Task


def derive_seed(*parts: object) -> int:
    """A seed for one draw, from all that names it. Below 2**31, so that every engine takes it."""
    text = ":".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def _utc_now() -> datetime:
    return datetime.now(UTC)


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
        traces: takes a trace per example; None for none.
        clock: monotonic seconds.
        now: wall clock, for ``started_at`` alone.
    """

    task: Task
    meter: Meter
    concurrency: int
    deadline_s: float
    seed: int
    traces: TraceStore | None = None
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
    ) -> Block:
        """Run the block and wait for all its examples.

        Args:
            plan: which block.
            models: by the names in the team's knobs.
            engines: facts of the engines, for the record.
            progress: called with the number of examples done.
            metrics: asks the engines how busy they are; None for not at all.

        Raises:
            OrkesterError: something other than a model call is wrong (a scorer of the user's, say). Failed calls
                and deadlines are results, not errors.
        """
        places = asyncio.Semaphore(self.concurrency)
        done = 0

        async def one(example: Example) -> ExampleResult:
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
        if self.traces is not None:
            self.traces.flush()
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
            energy_j=_difference(before, after),
            energy_method=self.meter.method,
            energy_assumptions=self.meter.assumptions,
            examples=tuple(task.result() for task in tasks),
            engines=engines,
            reruns=plan.reruns,
            engine_options=dict(plan.team.engine),
            engine_metrics=sampler.summary() if sampler is not None else {},
        )

    async def _warm_up(self, team: Team) -> None:
        """Run the graph once with models that cost nothing: its import and first run belong to no team's numbers."""
        if team.topology not in self._warm:
            await team.answer("", {name: _Silent(name) for name in team.models})
            self._warm.add(team.topology)

    async def _example(self, plan: BlockPlan, example: Example, models: Mapping[str, ChatModel]) -> ExampleResult:
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
        return ExampleResult(
            id=example.id,
            answer=answer,
            score=score,
            latency_s=latency_s if failure is None else self.deadline_s,
            failure=failure,
            calls=tuple(sorted(calls, key=lambda call: (call.start_s, call.agent, call.sample))),
        )

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
                    **found,
                )
            )

        try:
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


def _difference(before: Reading | None, after: Reading | None) -> dict[str, float] | None:
    if before is None or after is None:
        return None
    return {domain: joules - before.energy_j.get(domain, 0.0) for domain, joules in after.energy_j.items()}
