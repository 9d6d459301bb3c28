"""The real vLLM keeps the contract of engines."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest
from vllms import MODELS, START_S, make_engine

from orkester.serving.catalogue import Model
from orkester.serving.engines import Endpoint, EngineOptions
from orkester.serving.engines.vllm import failure_reason
from orkester.serving.environments import VllmEnvironment
from orkester.testing.engine_contract import Engine, LifecycleContract, Start, ask, children, running, until


class TestVllmEngine(LifecycleContract):
    options = EngineOptions(slots=4, context_tokens=256, threads=0, start_timeout_s=START_S)
    start_s = START_S

    @pytest.fixture(scope="class")
    @classmethod
    def make(cls, vllm: VllmEnvironment, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Engine]:
        folder = tmp_path_factory.mktemp("vllm")
        return lambda: make_engine(vllm, folder)

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls) -> Model:
        return Model(name="arithmetic-80k", source=str(MODELS / "arithmetic-80k"))

    @pytest.fixture(scope="class")
    @classmethod
    def weights(cls) -> Path | None:
        return MODELS / "arithmetic-80k"

    @pytest.fixture
    def broken(
        self, vllm: VllmEnvironment, model: Model, weights: Path, tmp_path: Path
    ) -> tuple[Engine, Model, Path | None]:
        """A model of a kind that vLLM does not know."""
        folder = tmp_path / "unknown"
        shutil.copytree(weights, folder)
        config = json.loads((folder / "config.json").read_text())
        config["architectures"], config["model_type"] = ["NoSuchForCausalLM"], "no_such"
        (folder / "config.json").write_text(json.dumps(config))
        return make_engine(vllm, tmp_path), model, folder

    # A start takes half a minute: these three make do with two starts instead of five.

    async def test_it_can_be_stopped_at_any_time_and_started_again(self, start: Start, engine: Engine) -> None:
        before = children()
        await engine.stop()
        assert not engine.alive()
        endpoint = await start()
        assert engine.alive()
        for pid in endpoint.pids:
            os.kill(pid, signal.SIGKILL)
        await until(lambda: not engine.alive())
        assert not await engine.healthy()
        await engine.stop()
        endpoint = await start()
        status, _ = await ask(endpoint, "What is 2 + 3?")
        assert status == 200
        assert engine.alive()
        await engine.stop()
        await engine.stop()
        assert not engine.alive()
        assert not [pid for pid in endpoint.pids if running(pid)]
        assert children() <= before
        with pytest.raises(aiohttp.ClientConnectionError):
            await ask(endpoint, "What is 2 + 3?")

    test_nothing_is_left_after_stop = None  # type: ignore[assignment]
    test_a_killed_process_is_not_alive_and_can_be_replaced = None  # type: ignore[assignment]

    async def test_what_cannot_start_says_so(self, broken: tuple[Engine, Model, Path | None], tmp_path: Path) -> None:
        await super().test_what_cannot_start_says_so(broken, tmp_path)
        assert "no_such" in failure_reason((tmp_path / "logs" / "engine.log").read_text())

    def test_its_three_processes_are_all_known(self, endpoint: Endpoint) -> None:
        names = {Path(f"/proc/{pid}/comm").read_text().strip() for pid in endpoint.pids}
        assert {"VLLM::EngineCor", "VLLM::Worker"} <= names

    async def test_it_says_how_long_a_request_waited_and_decoded(self, endpoint: Endpoint) -> None:
        _, reply = await ask(endpoint, "What is 21 + 34?")
        assert reply["metrics"]["time_to_first_token_ms"] > 0
        assert reply["metrics"]["generation_time_ms"] > 0
        assert reply["metrics"]["queue_time_ms"] >= 0

    async def test_what_was_read_before_is_cached_until_the_cache_is_reset(self, endpoint: Endpoint) -> None:
        question = f"What is {' + '.join(['12'] * 36)}?"  # the CPU build keeps whole blocks of 128 tokens
        cached = []
        for first in (None, None, "/reset_prefix_cache"):
            if first:
                url = endpoint.base_url.removesuffix("/v1") + first
                async with aiohttp.ClientSession() as session, session.post(url) as response:
                    assert response.status == 200
            _, reply = await ask(endpoint, question)
            cached.append((reply["usage"]["prompt_tokens_details"] or {}).get("cached_tokens") or 0)
        assert cached[0] == cached[2] == 0
        assert cached[1] >= 128
