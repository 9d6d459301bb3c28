"""Measures a plan: one model on one engine at a time, every batch size once a round, in an order of its own."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from orkester.errors import EngineError, InputError, ModelError, OrkesterError
from orkester.evals.scorers import Scorer, scorer
from orkester.optim.report._numbers import number
from orkester.optim.run.directory import versions
from orkester.optim.run.events import silent
from orkester.optim.session.back_end import BackEnd, back_end, open_pool
from orkester.optim.session.interrupts import Interrupts
from orkester.optim.study.engine_parts import EngineOptionsPart, ExternalPart, FakePart
from orkester.serving import machine
from orkester.serving.catalogue import Catalogue, Model
from orkester.serving.energy import IdlePower, Meter, Sampler
from orkester.serving.lease import EngineEvent
from orkester.serving.pool import Pool

from ._figures import FIGURES, short
from ._files import begin, write_results
from ._plan import Plan
from ._records import Benchmark, Pairing, Shot
from ._window import measured, warm_up

Say = Callable[[str], None]


def _say_nothing(line: str) -> None:
    del line


@dataclass(frozen=True, kw_only=True)
class _Job:
    """A model on an engine, decided but not started."""

    name: str
    engine: str
    model: Model
    back_end: BackEnd


@dataclass(kw_only=True)
class _State:
    """What is known so far; on disk after every window."""

    found: Benchmark
    first_error: OrkesterError | None = None

    def keep(self, pairing: Pairing, shot: Shot | None = None) -> None:
        pairings = [
            pairing if (each.model, each.engine) == (pairing.model, pairing.engine) else each
            for each in self.found.pairings
        ]
        self.found = replace(
            self.found, pairings=tuple(pairings), shots=(*self.found.shots, *([shot] if shot is not None else []))
        )
        write_results(self.found)


def bench_energy(
    plan: Plan,
    folder: Path,
    *,
    say: Say = _say_nothing,
    catalogue: Catalogue | None = None,
    meter: Callable[[BackEnd], Meter] = BackEnd.meter,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Benchmark:
    """Measure the plan, and write ``results.csv``, ``results.json`` and ``report.html``.

    A model that an engine cannot serve is noted and the others go on.

    Args:
        plan: what to measure.
        folder: for the results; new or empty.
        say: told what happens, a line each.
        catalogue: where model names and weights come from.
        meter: makes the meter for an engine.
        clock: monotonic seconds.
        sleep: waits while idle power is measured.

    Raises:
        InputError: the plan cannot be measured here, or the folder is in use.
        ModelError: weights are absent.
        EngineError: no model at all could be measured.
        KeyboardInterrupt: after Ctrl-C; all finished windows are on disk, and the report is of them.
    """
    catalogue = catalogue or Catalogue.default()
    score = scorer(plan.scorer)
    jobs = _jobs(plan, catalogue)
    begin(folder)
    state = _State(
        found=Benchmark(
            folder=folder,
            made_at=datetime.now(UTC).isoformat(timespec="seconds"),
            asked=_asked(plan, jobs),
            machine=machine.facts(),
            versions=versions(),
            pairings=tuple(Pairing(model=job.name, engine=job.engine) for job in jobs),
        )
    )
    rng = random.Random(plan.seed)
    order = rng.sample(jobs, len(jobs))
    windows = len(jobs) * len(plan.batches) * plan.repeat
    least_s = windows * (plan.seconds + plan.warm_up_s)
    say(f"{windows} windows, at least {least_s:.0f} s beside the start of the engines; {folder}")
    try:
        asyncio.run(_all(plan, order, state, score, rng, say, catalogue, meter, clock, sleep))
    finally:
        write_results(state.found)
        if state.found.shots:
            from ._report import write_report

            write_report(state.found)
    if not state.found.shots and state.first_error is not None:
        raise state.first_error
    return state.found


async def _all(
    plan: Plan,
    order: Sequence[_Job],
    state: _State,
    score: Scorer,
    rng: random.Random,
    say: Say,
    catalogue: Catalogue,
    make_meter: Callable[[BackEnd], Meter],
    clock: Callable[[], float],
    sleep: Callable[[float], Awaitable[None]],
) -> None:
    with Interrupts(lambda: False, silent) as interrupts:
        for job in order:
            events: list[EngineEvent] = []
            try:
                with Sampler(make_meter(job.back_end)) as sampler:
                    pool = open_pool(
                        back_end=job.back_end,
                        models={job.name: job.model},
                        options=_options(plan),
                        concurrency=max(plan.batches),
                        deadline_s=plan.deadline_s,
                        shots=(),
                        catalogue=catalogue,
                        meter=sampler,
                        logs=state.found.folder / "logs" / job.engine,
                        on_event=events.append,
                        say=say,
                    )
                    # Left before the next one is entered: no window has another model's idle power.
                    async with pool:
                        work = _one(plan, job, state, score, rng, say, pool, sampler, events, clock, sleep)
                        await interrupts.run(work)
            except OrkesterError as error:
                # One model that cannot be served is no reason to lose the others.
                state.first_error = state.first_error or error
                say(f"{job.name} on {job.engine} is left: {error}")
                state.keep(replace(_pairing(state, job), fault=str(error)))


async def _one(
    plan: Plan,
    job: _Job,
    state: _State,
    score: Scorer,
    rng: random.Random,
    say: Say,
    pool: Pool,
    meter: Sampler,
    events: Sequence[EngineEvent],
    clock: Callable[[], float],
    sleep: Callable[[float], Awaitable[None]],
) -> None:
    say(f"starting {short(job.name)} on {job.engine}")
    lease = await pool.lease([job.name])
    model = lease.models[job.name]
    begun = next((event for event in events if event.kind == "started"), None)
    idle_w = await IdlePower(meter, sleep=sleep).measured(pool.resident())
    pairing = replace(
        _pairing(state, job),
        energy_method=meter.method,
        energy_assumptions=dict(meter.assumptions),
        facts=dict(lease.facts[job.name]),
        idle_w=idle_w,
        start_s=begun.seconds if begun else None,
        start_j=begun.energy_j if begun else None,
        warm_up_j=0.0,
    )
    state.keep(pairing)
    for turn in range(1, plan.repeat + 1):
        # Every batch size once a round: what drifts (heat, clocks) falls on all of them.
        for batch in rng.sample(list(plan.batches), len(plan.batches)):
            tally, joules = await warm_up(model, plan, batch=batch, meter=meter, clock=clock)
            if not tally.replies:
                _give_up(plan, job, tally.said, await pool.lost(lease), pool)
            total_j = None if joules is None or pairing.warm_up_j is None else pairing.warm_up_j + joules
            pairing = replace(pairing, warm_up_j=total_j)
            shot = await measured(
                model, plan, pairing, batch=batch, number=turn, meter=meter, scorer=score, clock=clock
            )
            if shot.failed and (lost := await pool.lost(lease)):
                _give_up(plan, job, "", lost, pool)
            state.keep(pairing, shot)
            where = f"{short(job.name)} on {job.engine}, batch {batch}, round {turn} of {plan.repeat}"
            say(f"{where}: {_said(shot, meter)}")


def _give_up(plan: Plan, job: _Job, said: str, lost: Sequence[str], pool: Pool) -> NoReturn:
    if lost:
        raise EngineError(f"the engine of {job.name} ended while it was asked{pool.last_words(job.name)}")
    if plan.images:
        raise InputError(
            f"{job.name} on {job.engine} answers no request with a picture ({said}); name a model that takes images"
        )
    raise EngineError(f"{job.name} on {job.engine} answered none of the warm-up's requests: {said}")


def _said(shot: Shot, meter: Meter) -> str:
    joules, tokens = FIGURES["energy_j_per_output_token"](shot), FIGURES["output_tokens_per_s"](shot)
    parts = [
        f"{number(joules)} J per output token ({meter.method})" if joules is not None else "no joules",
        f"{number(tokens)} tokens/s" if tokens is not None else "tokens not counted",
        f"{shot.answered} answers",
        *([f"{shot.failed} failed"] if shot.failed else []),
        *shot.marks,
    ]
    return ", ".join(parts)


def _pairing(state: _State, job: _Job) -> Pairing:
    return next(each for each in state.found.pairings if (each.model, each.engine) == (job.name, job.engine))


def _jobs(plan: Plan, catalogue: Catalogue) -> list[_Job]:
    """Every model on every engine; what cannot be had is said before anything is started."""
    engines: dict[str, BackEnd] = {}
    for asked in plan.engines:
        decided = back_end(asked, Path())
        if decided.kind in engines and isinstance(asked, str):
            continue  # auto is one of the others
        name = decided.kind if decided.kind not in engines else f"{decided.kind}-{len(engines) + 1}"
        engines[name] = decided
        if plan.images and decided.kind == "llamacpp":
            raise InputError(
                "llama.cpp is served without an image projector, so it takes no images; use --engine vllm with a model "
                "that takes them"
            )
    jobs = []
    for name in plan.models:
        for engine, decided in engines.items():
            match decided.asked:
                case ExternalPart(base_url=url):
                    model = Model(name=name, source=url)
                case FakePart():
                    model = Model(name=name, source="fake")
                case _:
                    model = catalogue.find(name)
            try:
                decided.require_weights({name: model}, catalogue)
            except ModelError:
                if decided.model(model).source.startswith("/"):
                    raise InputError(f"{name}: there are no weights that {engine} can read") from None
                raise
            jobs.append(_Job(name=name, engine=engine, model=model, back_end=decided))
    return jobs


def _options(plan: Plan) -> EngineOptionsPart:
    """One engine for all batch sizes, with a place for each request of the largest.

    Without prefix caching: prompts come again and again, and what is read from a cache says nothing about new ones.
    """
    return EngineOptionsPart(
        slots=max(plan.batches), context_tokens=plan.context_tokens, threads=plan.threads, prefix_caching=False
    )


def _asked(plan: Plan, jobs: Sequence[_Job]) -> dict[str, object]:
    names = ("images", "scorer", "max_tokens", "seconds", "warm_up_s", "repeat", "context_tokens", "threads", "seed")
    return {
        "models": list(plan.models),
        "engines": list(dict.fromkeys(job.engine for job in jobs)),
        "batches": sorted(plan.batches),
        "prompts": len(plan.prompts),
        "scored": plan.scored,
        **{name: getattr(plan, name) for name in names},
        "temperature": 0.0,
        "prefix_caching": False,
        "windows": len(jobs) * len(plan.batches) * plan.repeat,
    }
