"""GGUF weights of a model that people use, converted and served."""

import shutil
from pathlib import Path

import pytest
from vllms import START_S, make_engine

from orkester.serving.catalogue import Catalogue, Model
from orkester.serving.engines import EngineOptions
from orkester.serving.environments import VllmEnvironment, convert
from orkester.testing.engine_contract import ask

NAME = "smollm2-135m"


@pytest.fixture(scope="module")
def weights() -> Path:
    catalogue = Catalogue.default()
    found = catalogue.locate(catalogue.find(NAME))
    if found is None:
        pytest.skip(f"its weights are not here: orkester models pull {NAME}")
    return found


@pytest.mark.weights
async def test_smollm2_is_converted_once_and_knows_capitals(
    vllm: VllmEnvironment, weights: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    cache = tmp_path / "cache"
    folder = convert(weights, vllm.python, cache, said.append)
    assert said
    written = (folder / "config.json").stat().st_mtime_ns
    assert convert(weights, vllm.python, cache, said.append) == folder
    assert (folder / "config.json").stat().st_mtime_ns == written
    engine = make_engine(vllm, tmp_path)
    try:
        endpoint = await engine.start(
            Model(name=NAME, source=str(weights)),
            folder,
            EngineOptions(slots=2, context_tokens=256, start_timeout_s=START_S),
            tmp_path / "engine.log",
        )
        for country, capital in {"France": "Paris", "Italy": "Rome"}.items():
            _, reply = await ask(endpoint, f"What is the capital of {country}? Answer with the city's name.")
            assert capital in reply["choices"][0]["message"]["content"]
    finally:
        await engine.stop()
        shutil.rmtree(cache)  # pytest keeps the folders of the last runs, and this is large
