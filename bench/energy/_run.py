"""Measures a plan: one model on one engine at a time, and in each round every batch size once, in random order."""

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

from ._figures import FIGURES, short_name
from ._files import create_folder, write_results
from ._plan import Plan
from ._records import Benchmark, Pairing, WindowRecord
from ._window import measure_window, warm_up

Say = Callable[[str], None]


def _ignore(line: str) -> None:
    del line


@dataclass(frozen=True, kw_only=True)
class _Job:
    """A model on an engine that is to be measured."""

    name: str
    engine: str
    model: Model
    back_end: BackEnd


@dataclass(kw_only=True)
class _State:
    """The results so far, which are written to disk after every window."""

    benchmark: Benchmark
    first_error: OrkesterError | None = None

    def add(self, pairing: Pairing, window: WindowRecord | None = None) -> None:
        pairings = [
            pairing if (each.model, each.engine) == (pairing.model, pairing.engine) else each
            for each in self.benchmark.pairings
        ]
        windows = self.benchmark.windows if window is None else (*self.benchmark.windows, window)
        self.benchmark = replace(self.benchmark, pairings=tuple(pairings), windows=windows)
        write_results(self.benchmark)


def bench_energy(
    plan: Plan,
    folder: Path,
    *,
    say: Say = _ignore,
    catalogue: Catalogue | None = None,
    meter: Callable[[BackEnd], Meter] = BackEnd.meter,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Benchmark:
    """Measure a plan, and write ``results.csv``, ``results.json`` and ``report.html``.

    When an engine cannot serve a model, the error is recorded, and the other models are measured.

    Args:
        plan: The plan.
        folder: The folder for the results, new or empty.
        say: Shows a line of progress.
        catalogue: The catalogue of models and weights; None for the default one.
        meter: Makes the meter for an engine.
        clock: Returns monotonic seconds.
        sleep: Waits for a number of seconds while idle power is measured.

    Returns:
        The results.

    Raises:
        InputError: The plan cannot be measured on this machine, or the folder is not empty.
        ModelError: Weights are missing.
        EngineError: No model could be measured.
        KeyboardInterrupt: The user pressed Ctrl-C. All finished windows are on disk and in the report.
    """
    catalogue = catalogue or Catalogue.default()
    score = scorer(plan.scorer)
    if not isinstance(score, Scorer):
        raise InputError(
            f"--scorer: {plan.scorer} takes too long for a benchmark; choose one such as contains or numeric"
        )
    jobs = _jobs(plan, catalogue)
    create_folder(folder)
    state = _State(
        benchmark=Benchmark(
            folder=folder,
            made_at=datetime.now(UTC).isoformat(timespec="seconds"),
            plan=_plan_data(plan, jobs),
            machine=machine.facts(),
            versions=versions(),
            pairings=tuple(Pairing(model=job.name, engine=job.engine) for job in jobs),
        )
    )
    rng = random.Random(plan.seed)
    order = rng.sample(jobs, len(jobs))
    windows = len(jobs) * len(plan.batches) * plan.repeat
    min_s = windows * (plan.seconds + plan.warm_up_s)
    say(f"{windows} windows, at least {min_s:.0f} s without the start of the engines; {folder}")
    try:
        asyncio.run(_measure_all(plan, order, state, score, rng, say, catalogue, meter, clock, sleep))
    finally:
        write_results(state.benchmark)
        if state.benchmark.windows:
            from ._report import write_report

            write_report(state.benchmark)
    if not state.benchmark.windows and state.first_error is not None:
        raise state.first_error
    return state.benchmark


async def _measure_all(
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
                        logs=state.benchmark.folder / "logs" / job.engine,
                        on_event=events.append,
                        say=say,
                    )
                    # The pool is closed before the next one is opened: no window has the idle power of another model.
                    async with pool:
                        work = _measure_job(plan, job, state, score, rng, say, pool, sampler, events, clock, sleep)
                        await interrupts.run(work)
            except OrkesterError as error:
                # When one model cannot be served, the others are measured all the same.
                state.first_error = state.first_error or error
                say(f"{job.name} on {job.engine} is skipped: {error}")
                state.add(replace(_pairing(state, job), fault=str(error)))


async def _measure_job(
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
    say(f"starting {short_name(job.name)} on {job.engine}")
    lease = await pool.lease([job.name])
    model = lease.models[job.name]
    start = next((event for event in events if event.kind == "started"), None)
    idle_w = await IdlePower(meter, sleep=sleep).measure(pool.resident_engines())
    pairing = replace(
        _pairing(state, job),
        energy_method=meter.method,
        energy_assumptions=dict(meter.assumptions),
        facts=dict(lease.facts[job.name]),
        idle_w=idle_w,
        start_s=start.seconds if start else None,
        start_j=start.energy_j if start else None,
        warm_up_j=0.0,
    )
    state.add(pairing)
    for round_number in range(1, plan.repeat + 1):
        # Each round has every batch size once, so that slow changes (heat, clocks) affect all of them.
        for batch in rng.sample(list(plan.batches), len(plan.batches)):
            responses, joules = await warm_up(model, plan, batch=batch, meter=meter, clock=clock)
            if not responses.replies:
                _raise_no_answer(plan, job, responses.last_error, await pool.lost_engines(lease), pool)
            total_j = None if joules is None or pairing.warm_up_j is None else pairing.warm_up_j + joules
            pairing = replace(pairing, warm_up_j=total_j)
            window = await measure_window(
                model, plan, pairing, batch=batch, number=round_number, meter=meter, scorer=score, clock=clock
            )
            if window.failed and (lost := await pool.lost_engines(lease)):
                _raise_no_answer(plan, job, "", lost, pool)
            state.add(pairing, window)
            place = f"{short_name(job.name)} on {job.engine}, batch {batch}, round {round_number} of {plan.repeat}"
            say(f"{place}: {_summary(window, meter)}")


def _raise_no_answer(plan: Plan, job: _Job, last_error: str, lost: Sequence[str], pool: Pool) -> NoReturn:
    if lost:
        raise EngineError(f"the engine of {job.name} ended during the measurement{pool.log_tail(job.name)}")
    if plan.images:
        raise InputError(
            f"{job.name} on {job.engine} answers no request with a picture ({last_error}); use a model that accepts "
            "images"
        )
    raise EngineError(f"{job.name} on {job.engine} answered none of the warm-up requests: {last_error}")


def _summary(window: WindowRecord, meter: Meter) -> str:
    joules, tokens = FIGURES["energy_j_per_output_token"](window), FIGURES["output_tokens_per_s"](window)
    parts = [
        f"{number(joules)} J per output token ({meter.method})" if joules is not None else "no joules",
        f"{number(tokens)} tokens/s" if tokens is not None else "tokens not counted",
        f"{window.answered} answers",
        *([f"{window.failed} failed"] if window.failed else []),
        *window.marks,
    ]
    return ", ".join(parts)


def _pairing(state: _State, job: _Job) -> Pairing:
    return next(each for each in state.benchmark.pairings if (each.model, each.engine) == (job.name, job.engine))


def _jobs(plan: Plan, catalogue: Catalogue) -> list[_Job]:
    """Every model on every engine. Missing engines and weights are errors before anything is started."""
    engines: dict[str, BackEnd] = {}
    for engine_spec in plan.engines:
        chosen = back_end(engine_spec, Path())
        if chosen.kind in engines and isinstance(engine_spec, str):
            continue  # "auto" has chosen an engine that the plan has already
        name = chosen.kind if chosen.kind not in engines else f"{chosen.kind}-{len(engines) + 1}"
        engines[name] = chosen
        if plan.images and chosen.kind == "llamacpp":
            raise InputError(
                "Orkester runs llama.cpp without an image projector, so it accepts no images; use --engine vllm with a "
                "model that accepts images"
            )
    jobs = []
    for name in plan.models:
        for engine, chosen in engines.items():
            match chosen.spec:
                case ExternalPart(base_url=url):
                    model = Model(name=name, source=url)
                case FakePart():
                    model = Model(name=name, source="fake")
                case _:
                    model = catalogue.find(name)
            try:
                chosen.require_weights({name: model}, catalogue)
            except ModelError:
                if chosen.model(model).source.startswith("/"):
                    raise InputError(f"{name}: this path has no weights that {engine} can read") from None
                raise
            jobs.append(_Job(name=name, engine=engine, model=model, back_end=chosen))
    return jobs


def _options(plan: Plan) -> EngineOptionsPart:
    """The options of the engine, which has a slot for each request of the largest batch.

    Prefix caching is off: the same prompts are sent again and again, and a cache would hide the cost of new prompts.
    """
    return EngineOptionsPart(
        slots=max(plan.batches), context_tokens=plan.context_tokens, threads=plan.threads, prefix_caching=False
    )


def _plan_data(plan: Plan, jobs: Sequence[_Job]) -> dict[str, object]:
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
