"""One window: a fixed number of requests in flight until its time is over."""

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
from ._records import Pairing, Shot

#: While the last requests are awaited there are fewer and fewer in flight, so the window is partly of smaller batches.
_FULL_SHARE = 0.9
#: The domain of Orkester's own process, and the share of all joules up to which it goes without saying.
_OWN, _OWN_SHARE = "orkester", 0.1
_MUCH_OWN = f"more than {_OWN_SHARE:.0%} of the joules are Orkester's own, for asking; a larger model makes them fewer"
_NOT_FULL = f"less than {_FULL_SHARE:.0%} of the window had the whole batch in flight; give it more seconds"


@dataclass
class Tally:
    """What came back.

    Attributes:
        replies: with their prompts.
        failures: how many, by kind.
        said: what the last failure said.
        full_until_s: when the first place stayed empty; None before that.
    """

    replies: list[tuple[Prompt, Reply]] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    said: str = ""
    full_until_s: float | None = None

    def tokens(self, name: str) -> int | None:
        """Sum of one of the replies' counts; None when one lacks it."""
        counts = [getattr(reply, name) for _, reply in self.replies]
        return None if None in counts else sum(counts)


async def keep_asking(
    model: ChatModel, prompts: Sequence[Prompt], plan: Plan, *, batch: int, seconds: float, clock: Callable[[], float]
) -> Tally:
    """Keep ``batch`` requests in flight; none begins after ``seconds``, and all that began are awaited.

    Every window asks the same prompts in the same order, at temperature 0, so that windows differ by batch alone.
    """
    tally, waiting = Tally(), itertools.cycle(prompts)
    until_s = clock() + seconds

    async def place(number: int) -> None:
        while True:
            prompt = next(waiting)
            try:
                reply = await model.chat(
                    [{"role": "user", "content": prompt.content}],
                    agent="bench",
                    temperature=0.0,
                    max_tokens=plan.max_tokens,
                    sample=number,
                )
            except CallFailed as error:
                tally.failures[error.kind] += 1
                tally.said = str(error)
            else:
                tally.replies.append((prompt, reply))
            if clock() >= until_s:
                break
        if tally.full_until_s is None:
            tally.full_until_s = clock()

    async with asyncio.TaskGroup() as group:
        for number in range(batch):
            group.create_task(place(number))
    return tally


async def warm_up(
    model: ChatModel, plan: Plan, *, batch: int, meter: Sampler, clock: Callable[[], float]
) -> tuple[Tally, float | None]:
    """Ask without measuring; what came back, and its joules, which no window has."""
    begun = Stopwatch(meter, clock)
    tally = await keep_asking(model, plan.prompts, plan, batch=batch, seconds=plan.warm_up_s, clock=clock)
    return tally, begun.energy_j


async def measured(
    model: ChatModel,
    plan: Plan,
    pairing: Pairing,
    *,
    batch: int,
    number: int,
    meter: Sampler,
    scorer: Scorer,
    clock: Callable[[], float],
) -> Shot:
    """Measure one window. The meter is read right before the first request and right after the last answer."""
    started_at = datetime.now(UTC).isoformat(timespec="milliseconds")
    seconds = max(plan.seconds, meter.limits.window_s)
    start = meter.read()
    start_s = clock()
    tally = await keep_asking(model, plan.prompts, plan, batch=batch, seconds=seconds, clock=clock)
    end_s = clock()
    end = meter.read()
    readings = () if start is None or end is None else meter.between(start, end)
    energy = window(readings, meter.limits, pairing.idle_w)
    full_s = (tally.full_until_s if tally.full_until_s is not None else end_s) - start_s
    marks = list(energy.marks)
    if not readings and meter.method != "unavailable":
        marks.append("the meter could not be read")
    if energy.energy_j and energy.energy_j.get(_OWN, 0.0) > _OWN_SHARE * sum(energy.energy_j.values()):
        marks.append(_MUCH_OWN)
    if full_s < _FULL_SHARE * (end_s - start_s):
        marks.append(_NOT_FULL)
    right = None
    if plan.scored:  # after the window: scoring is none of the model's work
        right = sum(scorer.score(reply.text, prompt.answer) >= 1.0 for prompt, reply in tally.replies)
    return Shot(
        model=pairing.model,
        engine=pairing.engine,
        batch=batch,
        round=number,
        started_at=started_at,
        seconds=end_s - start_s,
        full_s=full_s,
        answered=len(tally.replies),
        failures=dict(tally.failures),
        input_tokens=tally.tokens("input_tokens"),
        output_tokens=tally.tokens("output_tokens"),
        cached_tokens=tally.tokens("cached_tokens"),
        successes=right,
        energy_j=energy.energy_j,
        energy_error_j=energy.error_j,
        energy_s=readings[-1].time_s - readings[0].time_s if energy.energy_j is not None else None,
        marks=tuple(marks),
        gauges=energy.gauges,
    )
