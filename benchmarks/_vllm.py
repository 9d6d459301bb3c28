"""Functions that the benchmarks on vLLM share: they make models without weights and start engines."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from orkester.errors import InputError
from orkester.serving import machine
from orkester.serving.catalogue import Catalogue, Model
from orkester.serving.engines import Endpoint, EngineOptions
from orkester.serving.engines.vllm import Accelerator, Value, VllmEngine
from orkester.serving.environments import VllmEnvironment, convert, find_vllm

ROOT = Path(__file__).resolve().parents[1]
MODELS = ROOT / "examples" / "models"
ARCHITECTURES = Path(__file__).with_name("architectures")
#: The option that makes vLLM fill the weights with random numbers.
DUMMY: Mapping[str, Value] = {"load-format": "dummy"}


def environment(python: Path | None) -> VllmEnvironment:
    """Return the environment with vLLM: that of the given interpreter, or the installed one.

    Raises:
        InputError: vLLM is not installed.
    """
    vllm = VllmEnvironment.at(python) if python else find_vllm()
    if vllm is None:
        raise InputError("vLLM is not installed; run: orkester engines install vllm, or give --python")
    return vllm


def accelerator(vllm: VllmEnvironment) -> Accelerator | None:
    """Return the first GPU of this machine; None for vLLM's CPU build.

    Raises:
        InputError: The build needs a GPU, but there is none.
    """
    if vllm.build == "cpu":
        return None
    gpus, reason = machine.gpus()
    if not gpus:
        raise InputError(f"{vllm} needs a GPU, but {reason}")
    return Accelerator(memory_bytes=gpus[0].memory_bytes)


def without_weights(name: str, folder: Path) -> Path:
    """Write a model of ``architectures/`` (or of the arithmetic family) that vLLM can serve with dummy weights.

    The tokenizer is that of the arithmetic family, with an extra word for every id that has no character. So every
    token of a random model is text. Without the words, unknown ids would be empty text, and an answer without text is a
    failed call.

    Args:
        name: The model's name.
        folder: The folder in which the model's folder is created.

    Returns:
        The model's folder.
    """
    source = ARCHITECTURES / name if (ARCHITECTURES / name).is_dir() else MODELS / name
    model = folder / name
    model.mkdir(parents=True, exist_ok=True)
    config = json.loads((source / "config.json").read_text())
    tokens = MODELS / "arithmetic-580k"
    tokenizer = json.loads((tokens / "tokenizer.json").read_text())
    vocabulary: dict[str, int] = tokenizer["model"]["vocab"]
    named = set(vocabulary.values())
    vocabulary.update({f" w{number}": number for number in range(config["vocab_size"]) if number not in named})
    (model / "config.json").write_text(json.dumps(config))
    (model / "tokenizer.json").write_text(json.dumps(tokenizer))
    for file in ("tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(tokens / file, model)
    return model


def weights_of(name: str, vllm: VllmEnvironment) -> Path:
    """Return the weights of a model of the arithmetic family or of the catalogue, in the form that vLLM reads.

    GGUF weights are converted.

    Raises:
        InputError: The weights are not on this machine.
    """
    if (MODELS / name).is_dir():
        return MODELS / name
    catalogue = Catalogue.default()
    weights = catalogue.locate(catalogue.find(name))
    if weights is None:
        raise InputError(
            f"the weights of {name} are not on this machine; to fetch them, run: orkester models pull {name}"
        )
    return weights if weights.is_dir() else convert(weights, vllm.python, catalogue.cache, _print_progress)


def _print_progress(line: str) -> None:
    print(line, file=sys.stderr)  # standard output is for the result


def engine(vllm: VllmEnvironment, folder: Path, options: Mapping[str, Value] | None = None) -> VllmEngine:
    """Make an engine that keeps its records in the given folder."""
    return VllmEngine(vllm, accelerator=accelerator(vllm), running=folder / "running", options=options)


@asynccontextmanager
async def serving(
    name: str, weights: Path, vllm: VllmEnvironment, *, slots: int, options: Mapping[str, Value] | None = None
) -> AsyncIterator[tuple[VllmEngine, Endpoint]]:
    """Serve a model on vLLM inside the ``async with`` block.

    Args:
        name: The model's name.
        weights: The model's folder.
        vllm: The environment with vLLM.
        slots: The number of requests that the engine answers at the same time.
        options: vLLM's own options.

    Yields:
        The engine, and where it answers.
    """
    with tempfile.TemporaryDirectory(prefix="orkester-") as path:
        folder = Path(path)
        server = engine(vllm, folder, options)
        engine_options = EngineOptions(slots=slots, context_tokens=512)
        try:
            endpoint = await server.start(
                Model(name=name, source=str(weights)), weights, engine_options, folder / "engine.log"
            )
            yield server, endpoint
        finally:
            await server.stop()
