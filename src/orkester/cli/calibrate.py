"""``orkester calibrate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orkester.errors import CallFailed, EngineError, InputError

from .tune import _Stopped

if TYPE_CHECKING:
    from orkester.optim.study.engine_parts import EngineOptionsPart
    from orkester.optim.study.parts import EnergyPart
    from orkester.serving.energy import Meter
    from orkester.serving.energy.calibration import Calibration

#: Requests at once in the engine's windows; those that it has no places for are left out.
_BATCHES = (1, 8, 32)
_SHORTEST_S = 1.0
#: Words of random letters are at most so many tokens, one a letter and one for the space between; the chat template
#: takes some too.
_TOKENS_PER_WORD = 9
_TEMPLATE_TOKENS = 48


def calibrate(
    model: Annotated[str, typer.Argument(help="A model, as a study names it.", metavar="MODEL")],
    engine: Annotated[str, typer.Option("--engine", help="auto, llamacpp or vllm.", metavar="ENGINE")] = "auto",
    study: Annotated[
        Path | None,
        typer.Option(help="Study whose engine and engine options to calibrate for.", metavar="STUDY.yaml"),
    ] = None,
    slots: Annotated[int | None, typer.Option(help="Requests the engine answers at once; 8 if not given.")] = None,
    context_tokens: Annotated[int | None, typer.Option(help="Longest prompt plus answer; 1024 if not given.")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads for llama.cpp; all but one if not given.")] = None,
) -> None:
    """Find out what a step, a token and its context cost, so that joules can be shared among agents.

    It holds for this device, model and engine configuration only: give --study for that of a study.

    Example: `orkester calibrate arithmetic-80k --study examples/arithmetic.yaml`
    """
    import asyncio
    from typing import get_args

    from orkester.optim.study.engine_parts import EngineOptionsPart, EngineSpec, LocalEngine
    from orkester.optim.study.parts import EnergyPart, MeasurePart

    asked: EngineSpec
    options, concurrency, folder = EngineOptionsPart(), MeasurePart().concurrency, Path()
    energy = EnergyPart()
    if study is not None:
        import orkester

        if engine != "auto" or (slots, context_tokens, threads) != (None, None, None):
            raise InputError("--study says the engine and its options; leave the other options out")
        found = orkester.load_study(study)
        asked, folder, energy = found.file.engine, found.path.parent, found.file.energy
        options, concurrency = found.file.engine_options, found.file.measure.concurrency
    elif engine in get_args(LocalEngine):
        asked = engine  # type: ignore[assignment]
        given = {"slots": slots, "context_tokens": context_tokens, "threads": threads}
        options = _checked({name: value for name, value in given.items() if value is not None})
    else:
        raise InputError(f"--engine must be one of {', '.join(get_args(LocalEngine))}, but got {engine!r}")
    try:
        asyncio.run(_calibrate(model, asked, folder, options, concurrency, energy))
    except KeyboardInterrupt as error:
        raise _Stopped("interrupted; nothing was saved") from error


def _checked(given: dict[str, int]) -> EngineOptionsPart:
    from orkester.optim.study.engine_parts import EngineOptionsPart

    least = {"slots": 1, "context_tokens": 16, "threads": 0}
    for name, value in given.items():
        if value < least[name]:
            raise InputError(f"--{name.replace('_', '-')} must be at least {least[name]}, but got {value}")
    return EngineOptionsPart.model_validate(given)


async def _calibrate(
    model: str, asked: object, folder: Path, options: EngineOptionsPart, concurrency: int, energy: EnergyPart
) -> None:
    import tempfile

    from orkester.optim.session.back_end import back_end, open_pool
    from orkester.serving.catalogue import Catalogue
    from orkester.serving.energy import IdlePower, Sampler
    from orkester.serving.energy.calibration import calibrate as measure
    from orkester.serving.energy.calibration import save

    decided = back_end(asked, folder)  # type: ignore[arg-type]
    if decided.kind in {"external", "fake"}:
        raise InputError(f"{model}: an engine that is {decided.kind} has no device to calibrate")
    catalogue = Catalogue.default()
    found = catalogue.find(model, folder=folder)
    decided.require_weights({model: found}, catalogue)
    places = options.slots_for(concurrency)
    batches = sorted({*(size for size in _BATCHES if size < places), min(places, _BATCHES[-1])})
    if len(batches) < 2:
        raise InputError("an engine with one slot cannot be calibrated: steps that requests share need two or more")
    answer = max(2, min(128, options.context_tokens // 4))
    words = min(400, (options.context_tokens - answer - _TEMPLATE_TOKENS) // _TOKENS_PER_WORD)
    if words < 16:
        raise InputError(f"context_tokens ({options.context_tokens}) leaves no room for long prompts; give 288 or more")
    made = decided.meter(energy, gpu_count=options.settled().tensor_parallel)  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory(prefix="orkester-") as logs, Sampler(made) as meter:
        if meter.read() is None:
            reason = meter.assumptions.get("reason", f"the {meter.method} meter cannot be read")
            raise EngineError(f"{model} cannot be calibrated: {reason}")
        windows = 3 * len(batches)
        least_s = windows * max(_SHORTEST_S, meter.limits.window_s) + meter.limits.idle_s
        typer.echo(
            f"{model} on {decided.kind}: {windows} windows with {', '.join(map(str, batches))} requests at once, at "
            f"least {least_s:.0f} s beside the engine's start, measured by {meter.method}. Let nothing else use the "
            "device.",
            err=True,
        )
        pool = open_pool(
            back_end=decided,
            models={model: found},
            options=options,
            concurrency=concurrency,
            deadline_s=300.0,
            shots=(),
            catalogue=catalogue,
            meter=meter,
            logs=Path(logs),
            say=lambda line: typer.echo(line, err=True),
        )
        async with pool:
            lease = await pool.lease([model])
            idle_w = await IdlePower(meter).measured(pool.resident())
            if idle_w is None and meter.limits.idle_s > 0:
                raise EngineError(f"{model} cannot be calibrated: idle power could not be measured; try again")
            try:
                calibration = await measure(
                    lease.models[model],
                    meter,
                    engine_facts=lease.facts[model],
                    idle_w=idle_w or {},
                    device=decided.device,
                    domains=_domains(model, meter),
                    batches=batches,
                    prompt_words=words,
                    output_tokens=answer,
                )
            except (CallFailed, ExceptionGroup) as error:
                # Not ``except*``: older Pythons put what is raised there into a group again.
                failed = error if isinstance(error, CallFailed) else error.subgroup(CallFailed)
                if failed is None:
                    raise
                raise _explained(model, failed, options.context_tokens) from None
    path = save(calibration, decided.calibrations)
    _print(calibration, path)


def _explained(model: str, failed: CallFailed | ExceptionGroup[CallFailed], context_tokens: int) -> EngineError:
    """The first of several failed calls, and the most frequent cause."""
    first: BaseException = failed
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    if isinstance(first, CallFailed) and first.kind == "empty answer":
        remedy = "It ends its answer at once to prompts of random words; joules are shared by tokens for this model"
    else:
        remedy = (
            f"If its own context is shorter than context_tokens ({context_tokens}), give --context-tokens, or "
            "change it in the study"
        )
    return EngineError(f"{model} cannot be calibrated, since a call failed: {first}. {remedy}")


def _domains(model: str, meter: Meter) -> list[str]:
    """Whose joules are the engine's: its own process where the meter tells it apart, else all devices."""
    reading = meter.read()
    names = [] if reading is None else list(reading.energy_j)
    own = f"engine:{model}"
    return [own] if own in names else [name for name in names if name.partition(":")[0] in {"gpu", "cpu", "dram"}]


def _print(calibration: Calibration, path: Path) -> None:
    cost = calibration.coefficients
    lines = {
        "model": calibration.model,
        "device": calibration.device,
        "energy": calibration.method,
        "step": f"{cost.step_j:.3g} J, whoever takes part",
        "prompt token": f"{cost.prompt_token_j:.3g} J, if not cached",
        "output token": f"{cost.output_token_j:.3g} J",
        "context token": f"{cost.context_token_j:.3g} J for each output token after it",
        "residual": f"{calibration.residual:.1%}, median of |fitted − measured| / measured over "
        f"{len(calibration.points)} windows",
        "saved": str(path),
    }
    for name, value in lines.items():
        typer.echo(f"{name + ':':<15}{value}")
