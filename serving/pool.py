"""Starts, leases, restarts and stops the engines of a study on this host."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from orkester.errors import EngineError, EngineLost

from .catalogue import Model
from .chat import Message
from .client import ChatClient, Gate
from .energy import Meter
from .engines import Endpoint, Engine, EngineOptions
from .engines._child import last_words

#: Starts of one engine after its first, before it is given up.
MAX_RESTARTS = 3


@dataclass(frozen=True, kw_only=True)
class Served:
    """A model with the engine that serves it.

    Attributes:
        model: what.
        weights: its file; None where the engine needs none here.
        engine: who serves it.
        preamble: messages put before every request: a base model's worked examples.
    """

    model: Model
    weights: Path | None
    engine: Engine
    preamble: Sequence[Message] = ()


class Pool:
    """Engines by model name, started serially when first leased, and kept. Enter it; leaving stops them all.

    Args:
        served: by model name.
        options: how engines are started.
        log_dir: takes a log per model.
        meter: is told the engines' processes, as ``engine:NAME``.
        deadline_s: of one call.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        served: Mapping[str, Served],
        *,
        options: EngineOptions,
        log_dir: Path,
        meter: Meter,
        deadline_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.meter = meter
        #: How often each engine was started.
        self.starts: dict[str, int] = {}
        #: Seconds its last start took.
        self.start_s: dict[str, float] = {}
        self._served = served
        self._options = options
        self._log_dir = log_dir
        self._deadline_s = deadline_s
        self._clock = clock
        self._clients: dict[str, ChatClient] = {}
        self._endpoints: dict[str, Endpoint] = {}
        self._gates: dict[str, Gate] = {}
        self._starting = asyncio.Lock()

    async def __aenter__(self) -> Pool:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        # The stack goes on when one of them cannot be closed or stopped: no engine is left behind for another's fault.
        async with AsyncExitStack() as stack:
            for served in self._served.values():
                stack.push_async_callback(served.engine.stop)
            for client in self._clients.values():
                stack.push_async_callback(client.close)
            self._clients.clear()

    def missing(self, names: Collection[str]) -> tuple[str, ...]:
        """Those that a lease would have to start."""
        return tuple(name for name in names if name not in self._clients or not self._served[name].engine.alive())

    def dead(self, names: Collection[str]) -> tuple[str, ...]:
        """Those that were started and do not run any more."""
        return tuple(name for name in names if name in self._clients and not self._served[name].engine.alive())

    async def check_elsewhere(self, names: Collection[str]) -> None:
        """Make sure that endpoints someone else runs still answer; of our own engines ``dead`` knows.

        Raises:
            EngineError: one does not. What was measured meanwhile says nothing about the team.
        """
        for name in names:
            if not self._endpoints[name].pids:
                served = self._served[name]
                await served.engine.start(served.model, served.weights, self._options, self._log(name))

    async def lease(self, names: Collection[str]) -> Mapping[str, ChatClient]:
        """Models ready to answer; engines that do not run are started, dead ones again.

        Raises:
            EngineError: one did not start.
            EngineLost: one died too often, or did not come back.
        """
        async with self._starting:
            for name in self.missing(names):
                await self._start(name)
        return {name: self._clients[name] for name in names}

    def facts(self, names: Collection[str]) -> dict[str, dict[str, object]]:
        """What a record says of the engines that serve these models."""
        return {name: dict(self._endpoints[name].facts) for name in names}

    def last_words(self, name: str) -> str:
        """The end of an engine's log, for a message."""
        return last_words(self._log(name))

    async def _start(self, name: str) -> None:
        served = self._served[name]
        count = self.starts.get(name, 0)
        if count > MAX_RESTARTS:
            raise EngineLost(f"the engine of {name} died {count} times and is given up{self.last_words(name)}")
        if old := self._clients.pop(name, None):
            await old.close()
            await served.engine.stop()
        self.starts[name] = count + 1
        begun = self._clock()
        try:
            endpoint = await served.engine.start(served.model, served.weights, self._options, self._log(name))
        except EngineError as error:
            if count == 0:
                raise
            raise EngineLost(f"after its death, {error}") from error
        self.start_s[name] = self._clock() - begun
        self._endpoints[name] = endpoint
        self.meter.watch(f"engine:{name}", endpoint.pids)
        # One gate an address: its owner's limits hold for all models behind it together.
        gate = self._gates.setdefault(endpoint.base_url, Gate(endpoint.requests_per_s, endpoint.concurrency))
        client = ChatClient(
            name,
            endpoint,
            preamble=served.preamble,
            stop=served.model.stop,
            deadline_s=self._deadline_s,
            gate=gate,
            clock=self._clock,
        )
        client.prepare()
        self._clients[name] = client

    def _log(self, name: str) -> Path:
        safe = "".join(c if c.isalnum() or c in "-._" else "_" for c in name)
        return self._log_dir / f"{safe}.log"
