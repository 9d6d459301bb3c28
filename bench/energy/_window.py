"""Measures one window: a fixed number of requests run at the same time until the time of the window is over."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from orkester.errors import CallFailed
from orkester.evals.scorers import Scorer
from orkester.serving.chat import ChatModel, Reply
from orkester.serving.energy import Sampler, Stopwatch, window

from ._plan import Plan
from ._prompts import Prompt
from ._records import Pairing, WindowRecord

#: The smallest share of a window in which the whole batch must run. At the end of a window, fewer and fewer requests
#: run, so a part of the window measures smaller batches.
_FULL_SHARE = 0.9
#: The domain of Orkester's own process, and the largest share of all joules that it may have without a mark.
_OWN, _OWN_SHARE = "orkester", 0.1
_MUCH_OWN = (
    f"more than {_OWN_SHARE:.0%} of the joules are those of Orkester itself, which sends the requests; with a larger "
    "model, the share is smaller"
)
_NOT_FULL = f"the whole batch was running in less than {_FULL_SHARE:.0%} of the window; use more seconds"


@dataclass
class Responses:
    """The responses to the requests of a window.

    Attributes:
        replies: The replies with their prompts.
        failures: The number of failed requests, by kind of failure.
        last_error: The message of the last failure; empty when no request failed.
        full_until_s: The time at which fewer requests than the batch began to run, by the clock; None before that.
    """

    replies: list[tuple[Prompt, Reply]] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    last_error: str = ""
    full_until_s: float | None = None

    def tokens(self, name: str) -> int | None:
        """The sum of a count over all replies.

        Args:
            name: The name of the count in ``Reply``.

        Returns:
            The sum; None when a reply does not have the count.
        """
        counts = [getattr(reply, name) for _, reply in self.replies]
        return None if None in counts else sum(counts)


async def send_requests(
    model: ChatModel, prompts: Sequence[Prompt], plan: Plan, *, batch: int, seconds: float, clock: Callable[[], float]
) -> Responses:
    """Keep a number of requests running for a time, then wait for the last ones.

    The prompts are always sent in the same order, at temperature 0, so that windows differ only by their batch.

    Args:
        model: The model.
        prompts: The prompts, which are sent in turn.
        plan: The plan of the benchmark.
        batch: The number of requests at the same time.
        seconds: No request starts after so many seconds.
        clock: Returns monotonic seconds.

    Returns:
        The responses.
    """
    responses, next_prompts = Responses(), itertools.cycle(prompts)
    until_s = clock() + seconds

    async def send_one_after_another(number: int) -> None:
        while True:
            prompt = next(next_prompts)
            try:
                reply = await model.chat(
                    [{"role": "user", "content": prompt.content}],
                    agent="bench",
                    temperature=0.0,
                    max_tokens=plan.max_tokens,
                    sample=number,
                )
            except CallFailed as error:
                responses.failures[error.kind] += 1
                responses.last_error = str(error)
            else:
                responses.replies.append((prompt, reply))
            if clock() >= until_s:
                break
        if responses.full_until_s is None:
            responses.full_until_s = clock()

    async with asyncio.TaskGroup() as group:
        for number in range(batch):
            group.create_task(send_one_after_another(number))
    return responses


async def warm_up(
    model: ChatModel, plan: Plan, *, batch: int, meter: Sampler, clock: Callable[[], float]
) -> tuple[Responses, float | None]:
    """Send requests before a window, to warm up the engine.

    Args:
        model: The model.
        plan: The plan of the benchmark.
        batch: The number of requests at the same time.
        meter: The meter.
        clock: Returns monotonic seconds.

    Returns:
        The responses, and the joules, which are part of no window; None when they are not known.
    """
    stopwatch = Stopwatch(meter, clock)
    responses = await send_requests(model, plan.prompts, plan, batch=batch, seconds=plan.warm_up_s, clock=clock)
    return responses, stopwatch.energy_j


async def measure_window(
    model: ChatModel,
    plan: Plan,
    pairing: Pairing,
    *,
    batch: int,
    number: int,
    meter: Sampler,
    scorer: Scorer,
    clock: Callable[[], float],
) -> WindowRecord:
    """Measure one window. The meter is read just before the first request and just after the last answer.

    Args:
        model: The model.
        plan: The plan of the benchmark.
        pairing: The model on the engine.
        batch: The number of requests at the same time.
        number: The number of the round, from 1.
        meter: The meter.
        scorer: Scores the answers, if the right answers are known.
        clock: Returns monotonic seconds.

    Returns:
        The record of the window.
    """
    started_at = datetime.now(UTC).isoformat(timespec="milliseconds")
    seconds = max(plan.seconds, meter.limits.window_s)
    start = meter.read()
    start_s = clock()
    responses = await send_requests(model, plan.prompts, plan, batch=batch, seconds=seconds, clock=clock)
    end_s = clock()
    end = meter.read()
    readings = () if start is None or end is None else meter.between(start, end)
    energy = window(readings, meter.limits, pairing.idle_w)
    full_s = (responses.full_until_s if responses.full_until_s is not None else end_s) - start_s
    marks = list(energy.marks)
    if not readings and meter.method != "unavailable":
        marks.append("the meter could not be read")
    if energy.energy_j and energy.energy_j.get(_OWN, 0.0) > _OWN_SHARE * sum(energy.energy_j.values()):
        marks.append(_MUCH_OWN)
    if full_s < _FULL_SHARE * (end_s - start_s):
        marks.append(_NOT_FULL)
    successes = None
    if plan.scored:  # after the window, because scoring is not the model's work
        successes = sum(scorer.score(reply.text, prompt.answer) >= 1.0 for prompt, reply in responses.replies)
    return WindowRecord(
        model=pairing.model,
        engine=pairing.engine,
        batch=batch,
        round=number,
        started_at=started_at,
        seconds=end_s - start_s,
        full_s=full_s,
        answered=len(responses.replies),
        failures=dict(responses.failures),
        input_tokens=responses.tokens("input_tokens"),
        output_tokens=responses.tokens("output_tokens"),
        cached_tokens=responses.tokens("cached_tokens"),
        successes=successes,
        energy_j=energy.energy_j,
        energy_error_j=energy.error_j,
        energy_s=readings[-1].time_s - readings[0].time_s if energy.energy_j is not None else None,
        marks=tuple(marks),
        gauges=energy.gauges,
    )
