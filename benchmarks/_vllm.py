"""What the benchmarks on vLLM share: models without weights, and an engine to ask."""

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
#: What makes vLLM fill the weights with random numbers.
DUMMY: Mapping[str, Value] = {"load-format": "dummy"}


def environment(python: Path | None) -> VllmEnvironment:
    """The vLLM to use: that of an interpreter, else the installed one."""
    found = VllmEnvironment.at(python) if python else find_vllm()
    if found is None:
        raise InputError("vLLM is not installed; run: orkester engines install vllm, or give --python")
    return found


def accelerator(found: VllmEnvironment) -> Accelerator | None:
    """The GPU of that build, None for the CPU's."""
    if found.build == "cpu":
        return None
    gpus, why = machine.gpus()
    if not gpus:
        raise InputError(f"{found} needs a GPU, but {why}")
    return Accelerator(memory_bytes=gpus[0].memory_bytes)


def without_weights(name: str, folder: Path) -> Path:
    """A model of ``architectures/`` (or of the arithmetic family) as a folder that vLLM can serve with dummy weights.

    Its tokenizer is the arithmetic family's, with a word for every id that it has no character for: a random model's
    tokens are text then, where unknown ids would be nothing, and an answer without text is a failed call.
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


def weights_of(name: str, found: VllmEnvironment) -> Path:
    """A model of the arithmetic family, or one of the catalogue, converted where that is needed, as vLLM reads it."""
    if (MODELS / name).is_dir():
        return MODELS / name
    catalogue = Catalogue.default()
    weights = catalogue.locate(catalogue.find(name))
    if weights is None:
        raise InputError(
            f"the weights of {name} are not on this machine; to fetch them, run: orkester models pull {name}"
        )
    return weights if weights.is_dir() else convert(weights, found.python, catalogue.cache, _tell)


def _tell(line: str) -> None:
    print(line, file=sys.stderr)  # standard output may be a result


def engine(found: VllmEnvironment, folder: Path, options: Mapping[str, Value] | None = None) -> VllmEngine:
    """An engine that keeps its records in a folder of ours."""
    return VllmEngine(found, accelerator=accelerator(found), running=folder / "running", options=options)


@asynccontextmanager
async def serving(
    name: str, weights: Path, found: VllmEnvironment, *, slots: int, options: Mapping[str, Value] | None = None
) -> AsyncIterator[tuple[VllmEngine, Endpoint]]:
    """A model on vLLM for as long as the context lasts."""
    with tempfile.TemporaryDirectory(prefix="orkester-") as text:
        folder = Path(text)
        serving_it = engine(found, folder, options)
        asked = EngineOptions(slots=slots, context_tokens=512)
        try:
            endpoint = await serving_it.start(
                Model(name=name, source=str(weights)), weights, asked, folder / "engine.log"
            )
            yield serving_it, endpoint
        finally:
            await serving_it.stop()
