"""The engines that come with Orkester keep the contract."""

import asyncio
import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orkester.serving.catalogue import Catalogue, Model
from orkester.serving.engines import Engine, ExternalEngine, FakeEngine, FakeScript, LlamaCppEngine
from orkester.testing.engine_contract import SECRET, EngineContract, LifecycleContract


class TestFakeEngine(LifecycleContract):
    @pytest.fixture(scope="class")
    @classmethod
    def make(cls) -> Callable[[], Engine]:
        return lambda: FakeEngine(FakeScript(accuracy=1.0))

    @pytest.fixture
    def broken(self, model: Model, tmp_path: Path) -> tuple[Engine, Model, Path | None]:
        (tmp_path / "data.jsonl").write_text("this is not JSON\n")
        return FakeEngine(FakeScript(data="data.jsonl"), folder=tmp_path), model, None


class TestLlamaCppEngine(LifecycleContract):
    @pytest.fixture(scope="class")
    @classmethod
    def make(cls) -> Callable[[], Engine]:
        return LlamaCppEngine

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls) -> Model:
        return Catalogue.default().find("arithmetic-80k")

    @pytest.fixture(scope="class")
    @classmethod
    def weights(cls, model: Model) -> Path | None:
        return Catalogue.default().locate(model)

    @pytest.fixture
    def broken(self, model: Model, tmp_path: Path) -> tuple[Engine, Model, Path | None]:
        path = tmp_path / "weights.gguf"
        path.write_bytes(b"GGUF, it says, and then it is not" * 100)
        return LlamaCppEngine(), model, path


class TestExternalEngine(EngineContract):
    @pytest.fixture(scope="class")
    @classmethod
    def make(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Engine]]:
        behind = FakeEngine(FakeScript(accuracy=1.0))
        log = tmp_path_factory.mktemp("behind") / "log"
        with asyncio.Runner() as runner:
            try:
                url = runner.run(behind.start(Model(name="small", source="none"), None, cls.options, log)).base_url
                yield lambda: ExternalEngine(url, model="small", api_key_env="ORKESTER_TEST_KEY")
            finally:
                runner.run(behind.stop())

    @pytest.fixture
    def broken(self, model: Model, refusing_server: str) -> tuple[Engine, Model, Path | None]:
        return ExternalEngine(refusing_server, model="small"), model, None

    @pytest.fixture
    def refusing_server(self) -> Iterator[str]:
        """It answers everything with 404, as a wrong path does."""
        with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            yield f"http://127.0.0.1:{server.server_port}/v1"
            server.shutdown()
            thread.join()

    def test_the_key_is_in_the_environment_alone(self, make: Callable[[], Engine]) -> None:
        assert SECRET not in repr(vars(make()))
