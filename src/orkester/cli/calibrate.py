"""The command ``orkester calibrate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orkester.errors import CallFailed, EngineError, InputError

from .tune import Interrupted

if TYPE_CHECKING:
    from orkester.optim.study.engine_parts import EngineOptionsPart
    from orkester.optim.study.parts import EnergyPart
    from orkester.serving.energy import Meter
    from orkester.serving.energy.calibration import Calibration

#: The numbers of simultaneous requests in the windows. Numbers above the engine's slots are left out.
_BATCHES = (1, 8, 32)
_MIN_WINDOW_S = 1.0
#: The maximum number of tokens of a word of random letters: one per letter, and one for the space. The chat template
#: needs some tokens, too.
_TOKENS_PER_WORD = 9
_TEMPLATE_TOKENS = 48


def calibrate(
    model: Annotated[str, typer.Argument(help="A model, named as in a study file.", metavar="MODEL")],
    engine: Annotated[str, typer.Option("--engine", help="auto, llamacpp or vllm.", metavar="ENGINE")] = "auto",
    study: Annotated[
        Path | None,
        typer.Option(help="The study file with the engine and the engine options to calibrate.", metavar="STUDY.yaml"),
    ] = None,
    slots: Annotated[
        int | None, typer.Option(help="Requests that the engine answers at the same time. Default: 8.")
    ] = None,
    context_tokens: Annotated[
        int | None, typer.Option(help="Maximum tokens of prompt and answer together. Default: 1024.")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads for llama.cpp. Default: all but one.")] = None,
) -> None:
    """Measure the joules of a step, a token and its context, so that joules can be shared among agents.

    The result is valid only for this device, model and engine configuration. To calibrate for a study, use --study.

    Example: `orkester calibrate arithmetic-80k --study examples/arithmetic.yaml`
    """
    import asyncio
    from typing import get_args

    from orkester.optim.study.engine_parts import EngineOptionsPart, EngineSpec, LocalEngine
    from orkester.optim.study.parts import EnergyPart, MeasurePart

    engine_spec: EngineSpec
    options, concurrency, folder = EngineOptionsPart(), MeasurePart().concurrency, Path()
    energy = EnergyPart()
    if study is not None:
        import orkester

        if engine != "auto" or (slots, context_tokens, threads) != (None, None, None):
            raise InputError("the study file sets the engine and its options; with --study, leave out other options")
        loaded = orkester.load_study(study)
        engine_spec, folder, energy = loaded.file.engine, loaded.path.parent, loaded.file.energy
        options, concurrency = loaded.file.engine_options, loaded.file.measure.concurrency
    elif engine in get_args(LocalEngine):
        engine_spec = engine  # type: ignore[assignment]
        given = {"slots": slots, "context_tokens": context_tokens, "threads": threads}
        options = _checked({name: value for name, value in given.items() if value is not None})
    else:
        raise InputError(f"--engine must be one of {', '.join(get_args(LocalEngine))}, but got {engine!r}")
    try:
        asyncio.run(_calibrate(model, engine_spec, folder, options, concurrency, energy))
    except KeyboardInterrupt as error:
        raise Interrupted("interrupted; nothing was saved") from error


def _checked(given: dict[str, int]) -> EngineOptionsPart:
    from orkester.optim.study.engine_parts import EngineOptionsPart

    minimum = {"slots": 1, "context_tokens": 16, "threads": 0}
    for name, value in given.items():
        if value < minimum[name]:
            raise InputError(f"--{name.replace('_', '-')} must be at least {minimum[name]}, but got {value}")
    return EngineOptionsPart.model_validate(given)


async def _calibrate(
    model: str, engine_spec: object, folder: Path, options: EngineOptionsPart, concurrency: int, energy: EnergyPart
) -> None:
    import tempfile

    from orkester.optim.session.back_end import back_end, open_pool
    from orkester.serving.catalogue import Catalogue
    from orkester.serving.energy import IdlePower, Sampler
    from orkester.serving.energy.calibration import calibrate as measure
    from orkester.serving.energy.calibration import save

    chosen_back_end = back_end(engine_spec, folder)  # type: ignore[arg-type]
    if chosen_back_end.kind in {"external", "fake"}:
        raise InputError(f"{model} cannot be calibrated: an engine that is {chosen_back_end.kind} has no device here")
    catalogue = Catalogue.default()
    catalogue_model = catalogue.find(model, folder=folder)
    chosen_back_end.require_weights({model: catalogue_model}, catalogue)
    slots = options.slots_for(concurrency)
    batches = sorted({*(size for size in _BATCHES if size < slots), min(slots, _BATCHES[-1])})
    if len(batches) < 2:
        raise InputError(
            "an engine with one slot cannot be calibrated, because no requests share a step; set slots to 2 or more"
        )
    output_tokens = max(2, min(128, options.context_tokens // 4))
    words = min(400, (options.context_tokens - output_tokens - _TEMPLATE_TOKENS) // _TOKENS_PER_WORD)
    if words < 16:
        raise InputError(
            f"context_tokens ({options.context_tokens}) is too small for the long prompts of a calibration; set 288 or "
            "more"
        )
    inner_meter = chosen_back_end.meter(energy, gpu_count=options.settled().tensor_parallel)  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory(prefix="orkester-") as logs, Sampler(inner_meter) as meter:
        if meter.read() is None:
            reason = meter.assumptions.get("reason", f"the {meter.method} meter cannot be read")
            raise EngineError(f"{model} cannot be calibrated: {reason}")
        windows = 3 * len(batches)
        min_s = windows * max(_MIN_WINDOW_S, meter.limits.window_s) + meter.limits.idle_s
        typer.echo(
            f"{model} on {chosen_back_end.kind}: {windows} windows with {', '.join(map(str, batches))} requests at the "
            f"same time, at least {min_s:.0f} s without the engine's start, measured by {meter.method}. No other "
            "program should use the device.",
            err=True,
        )
        pool = open_pool(
            back_end=chosen_back_end,
            models={model: catalogue_model},
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
            idle_w = await IdlePower(meter).measure(pool.resident_engines())
            if idle_w is None and meter.limits.idle_s > 0:
                raise EngineError(f"{model} cannot be calibrated: idle power could not be measured; try again")
            try:
                calibration = await measure(
                    lease.models[model],
                    meter,
                    engine_facts=lease.facts[model],
                    idle_w=idle_w or {},
                    device=chosen_back_end.device,
                    domains=_domains(model, meter),
                    batches=batches,
                    prompt_words=words,
                    output_tokens=output_tokens,
                )
            except (CallFailed, ExceptionGroup) as error:
                # Not ``except*``: older versions of Python put an error that is raised in it into a group.
                failed = error if isinstance(error, CallFailed) else error.subgroup(CallFailed)
                if failed is None:
                    raise
                raise _failure(model, failed, options.context_tokens) from None
    path = save(calibration, chosen_back_end.calibrations)
    _print(calibration, path)


def _failure(model: str, failed: CallFailed | ExceptionGroup[CallFailed], context_tokens: int) -> EngineError:
    """The error for the user: the first of several similar failures, with its usual cause."""
    first: BaseException = failed
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    if isinstance(first, CallFailed) and first.kind == "empty answer":
        remedy = (
            "The model gives empty answers to prompts of random words; studies share its joules by tokens, without a "
            "calibration"
        )
    else:
        remedy = (
            f"If the model's context is shorter than context_tokens ({context_tokens}), set a lower number with "
            "--context-tokens or in the study file"
        )
    return EngineError(f"{model} cannot be calibrated, because a call failed: {first}. {remedy}")


def _domains(model: str, meter: Meter) -> list[str]:
    """The meter's domains with the engine's joules: its own process when the meter has it, else all devices."""
    reading = meter.read()
    names = [] if reading is None else list(reading.energy_j)
    engine_domain = f"engine:{model}"
    if engine_domain in names:
        return [engine_domain]
    return [name for name in names if name.partition(":")[0] in {"gpu", "cpu", "dram"}]


def _print(calibration: Calibration, path: Path) -> None:
    cost = calibration.coefficients
    lines = {
        "model": calibration.model,
        "device": calibration.device,
        "energy": calibration.method,
        "step": f"{cost.step_j:.3g} J, shared by all requests in the step",
        "prompt token": f"{cost.prompt_token_j:.3g} J, if it is not cached",
        "output token": f"{cost.output_token_j:.3g} J",
        "context token": f"{cost.context_token_j:.3g} J for each output token after it",
        "residual": f"{calibration.residual:.1%}, median of |fitted − measured| / measured over "
        f"{len(calibration.points)} windows",
        "saved": str(path),
    }
    for name, value in lines.items():
        typer.echo(f"{name + ':':<15}{value}")
