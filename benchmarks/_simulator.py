"""Simulates an engine with continuous batching: its steps, its joules, and the true cost of each request."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from orkester.serving.energy import Reading
from orkester.serving.energy.attribution import Request

REFRESH_S = 0.1
CHUNK = 2048


@dataclass(frozen=True, kw_only=True)
class Physics:
    """The costs and the duration of a step.

    Attributes:
        name: The name in tables.
        step_j: See ``Coefficients``.
        prompt_token_j: See ``Coefficients``.
        output_token_j: See ``Coefficients``.
        context_token_j: See ``Coefficients``.
        context_power: An output token costs context_token_j × context^context_power. The affine model assumes 1.
        knee: The number of requests in a step above which each further request adds ``beyond`` × step_j; None for no
            such number.
        beyond: The share of step_j that each request above the knee adds.
        idle_w: The idle power in watts.
        noise: The standard deviation of the counter's joules above idle in one refresh, as a share of them.
    """

    name: str
    step_j: float = 2.0
    prompt_token_j: float = 0.02
    output_token_j: float = 0.1
    context_token_j: float = 2e-4
    context_power: float = 1.0
    knee: int | None = None
    beyond: float = 0.15
    idle_w: float = 120.0
    noise: float = 0.02

    def shared_j(self, active: int) -> float:
        """Return the cost of a step itself with this number of requests, in joules."""
        over = max(0, active - self.knee) if self.knee is not None else 0
        return self.step_j * (1 + self.beyond * over)

    def own_j(self, prompt: int, output: int, context: float) -> float:
        """Return the cost that one request adds to a step, in joules."""
        return (
            self.prompt_token_j * prompt
            + (self.output_token_j + self.context_token_j * context**self.context_power) * output
        )

    def step_s(self, active: int, prompt: int, context: float) -> float:
        """Return the duration of a step in seconds."""
        return 0.008 + 0.0001 * active + 2e-5 * prompt + 2e-8 * context


@dataclass(frozen=True, kw_only=True)
class Job:
    """One request: its role, its time, and its prompt and output tokens."""

    role: str
    at_s: float
    prompt: int
    output: int


@dataclass(frozen=True, kw_only=True)
class Run:
    """The result of a simulation: the values that a meter and clients would see, and the true joules."""

    readings: Sequence[Reading]
    requests: Sequence[Request]
    true_j: Sequence[float]
    roles: Sequence[str]
    dynamic_j: float
    steps: int


@dataclass
class _Live:
    number: int
    job: Job
    start_s: float
    left: int
    done: int = 0
    first_s: float | None = None
    true_j: float = 0.0
    end_s: float = field(default=0.0)


def simulate(physics: Physics, jobs: Sequence[Job], *, seed: int, slots: int = 32) -> Run:
    """Run jobs in the order of their arrival. Prompts are processed in chunks, together with the decoding requests.

    A step's own cost is divided equally among its requests. This is the Shapley value if that cost is constant.
    """
    waiting = sorted(enumerate(jobs), key=lambda pair: pair[1].at_s)
    live: list[_Live] = []
    ended: list[_Live] = []
    now_s, steps, dynamic_j = 0.0, 0, 0.0
    spent: list[tuple[float, float]] = []
    while waiting or live:
        while waiting and len(live) < slots and waiting[0][1].at_s <= now_s:
            number, job = waiting.pop(0)
            live.append(_Live(number, job, now_s, job.prompt))
        if not live:
            now_s = waiting[0][1].at_s
            continue
        room, work = CHUNK, []
        for one in live:
            if one.left:
                if prompt := min(one.left, room):
                    room -= prompt
                    work.append((one, prompt, int(prompt == one.left)))
            else:
                work.append((one, 0, 1))
        shared_j = physics.shared_j(len(work)) / len(work)
        step_s = physics.step_s(
            len(work), sum(prompt for _, prompt, _ in work), sum(one.job.prompt + one.done for one, _, _ in work)
        )
        used_j, now_s, steps = 0.0, now_s + step_s, steps + 1
        for one, prompt, output in work:
            own_j = shared_j + physics.own_j(prompt, output, one.job.prompt + one.done)
            one.true_j += own_j
            used_j += own_j
            one.left -= prompt
            one.done += output
            if output and one.first_s is None:
                one.first_s = now_s
            one.end_s = now_s
        spent.append((now_s - step_s, used_j / step_s))
        spent.append((now_s, 0.0))
        dynamic_j += used_j
        ended += [one for one in live if one.done >= one.job.output]
        live = [one for one in live if one.done < one.job.output]
    ended.sort(key=lambda one: one.number)
    requests = [
        Request(
            id=str(one.number),
            engine="m",
            start_s=one.start_s,
            end_s=one.end_s,
            first_token_s=one.first_s,
            prompt_tokens=one.job.prompt,
            output_tokens=one.job.output,
        )
        for one in ended
    ]
    return Run(
        readings=_readings(spent, now_s, physics, random.Random(seed)),
        requests=requests,
        true_j=[one.true_j for one in ended],
        roles=[one.job.role for one in ended],
        dynamic_j=dynamic_j,
        steps=steps,
    )


def _readings(
    power: Sequence[tuple[float, float]], end_s: float, physics: Physics, rng: random.Random
) -> list[Reading]:
    """The counter's readings every 100 ms. ``power`` has pairs of a time and the watts above idle from that time on."""
    used_j: dict[int, float] = defaultdict(float)
    for (start_s, watts), (stop_s, _) in pairwise(power):
        at_s = start_s
        while watts and at_s < stop_s:
            place = int(at_s / REFRESH_S + 1e-9)
            until_s = min(stop_s, (place + 1) * REFRESH_S)
            used_j[place] += watts * (until_s - at_s)
            at_s = until_s
    total_j, readings = 0.0, [Reading(time_s=0.0, energy_j={"gpu:0": 0.0})]
    for place in range(int(end_s / REFRESH_S) + 1):
        total_j += physics.idle_w * REFRESH_S + used_j[place] * max(0.0, rng.gauss(1, physics.noise))
        readings.append(Reading(time_s=(place + 1) * REFRESH_S, energy_j={"gpu:0": total_j}))
    return readings
