"""What every engine offers, whoever runs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from ..catalogue import Model


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """How an engine is to be started; what an engine cannot use it ignores, and says so in ``facts``.

    Attributes:
        slots: requests the engine answers at the same time.
        context_tokens: longest prompt plus answer of one request.
        threads: CPU threads for the model; 0 means all but one that this process may use: agents need one too.
        prefix_caching: whether prompts that begin alike share work.
        start_timeout_s: an engine that is not ready by then has failed.
    """

    slots: int = 4
    context_tokens: int = 1024
    threads: int = 0
    prefix_caching: bool = True
    start_timeout_s: float = 120.0


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where a started engine answers, and what is known of it.

    Attributes:
        base_url: with ``/v1``, as the ``openai`` client takes it.
        model: the name to send in requests.
        pids: processes whose CPU time is this engine's; empty when it runs elsewhere.
        takes_seed: whether requests may carry ``seed``.
        facts: what belongs in a record: engine, version, options, weights and their checksum.
        api_key_env: environment variable with the key; the key itself is never stored.
        requests_per_s: most requests a second that its owner allows.
        concurrency: most requests at the same time.
    """

    base_url: str
    model: str
    pids: tuple[int, ...] = ()
    takes_seed: bool = True
    facts: Mapping[str, object] = field(default_factory=dict)
    api_key_env: str | None = None
    requests_per_s: float | None = None
    concurrency: int | None = None


def loopback(base_url: str) -> bool:
    """Whether an address is on this machine. Proxies that the environment names cannot reach such a one."""
    host = urlsplit(base_url).hostname or ""
    return host in {"localhost", "::1"} or host.startswith("127.")


class Engine(Protocol):
    """Serves one model. ``start`` may be called again after ``stop``."""

    async def start(self, model: Model, weights: Path | None, options: EngineOptions, log: Path) -> Endpoint:
        """Start, wait until a one-token probe is answered, and say where it listens.

        Args:
            model: what to serve.
            weights: its file on disk; None for engines that need none here (external, fake).
            options: how.
            log: file that takes the engine's output; made if absent.

        Raises:
            EngineError: it did not become ready; the message ends with the log's last lines and its path.
        """
        ...

    async def stop(self) -> None:
        """End it and wait until it has gone; harmless when it is not running."""
        ...

    def alive(self) -> bool:
        """Whether it could still answer; for an endpoint someone else runs, always true after ``start``."""
        ...
