"""What holds for every test: no network but loopback, no cache but its own."""

import socket
from pathlib import Path

import pytest
from support import write_study

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
