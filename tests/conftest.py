"""What holds for every test: no network but loopback, no cache but its own, and one thread of linear algebra."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import quick_folder, write_study

# As the command line has it, and before numpy is imported: where tests run beside each other, threads that wait for
# each other take three times as long as one.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

_LOCAL = ("127.", "::1", "localhost")


@pytest.fixture(autouse=True)
def _loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that leaves this machine is a fault of the test."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        if isinstance(address, tuple) and not str(address[0]).startswith(_LOCAL):
            raise AssertionError(f"a test tried to reach {address[0]}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Weights are fetched to, and looked for in, a folder of the test's own."""
    monkeypatch.setenv("ORKESTER_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def study_file(tmp_path: Path) -> Path:
    """A small study on the fake engine: two models, three topologies, six trials, well under a second of answers."""
    return write_study(tmp_path)


@pytest.fixture
def quick_path() -> Iterator[Path]:
    """Like ``tmp_path``, where syncing to disk costs nothing."""
    with quick_folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def finished_run() -> Iterator[Path]:
    """The directory of a whole run of ``support.STUDY``, for tests that only read it; its study file is beside it."""
    import orkester

    with quick_folder() as folder:
        orkester.tune(write_study(folder / "study"), folder / "run")
        yield folder / "run"
