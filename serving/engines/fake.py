"""The fake engine: a real server in its own process that answers by script, to test faults and to be fast."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from orkester.errors import EngineError

from ..catalogue import Model
from . import _probe
from ._base import START_TIMEOUT_S, Endpoint, EngineMetrics, EngineOptions, EnginePlugin, Footprint, PlainEngine
from ._child import ChildServer
from ._fake_script import FakeScript

_SERVER = Path(__file__).with_name("_fake_server.py")
_HEALTH_TIMEOUT_S = 3.0


class FakeEngine(PlainEngine):
    """Answers as its script says. Its answers are not results about any model.

    Args:
        script: The answers, times and faults.
        folder: The folder that the script's ``data`` path is relative to.
    """

    def __init__(self, script: FakeScript, *, folder: Path = Path()) -> None:
        self._script = script
        self._folder = folder
        self._child: ChildServer | None = None
        self._address = ""

    def footprint(self, model: Model, weights: Path | None, options: EngineOptions) -> Footprint:
        """Return the memory that the script claims."""
        del weights, options
        size = round(self._script.of(self._script.memory_bytes, model.name, 0))
        asleep = 0 if self._script.sleeps else None
        return Footprint(device_bytes=size, asleep_device_bytes=asleep, parts={"as scripted": size})

    async def start(self, model: Model, weights: Path | None, options: EngineOptions, log: Path) -> Endpoint:
        """See ``Engine.start``. No probe is sent, because the script could answer it with a fault."""
        del weights
        script = self._script
        data = self._folder / script.data if script.data else None
        if data is not None and not data.exists():
            raise EngineError(f"{data}: the fake engine's data file does not exist")
        child = self._child = ChildServer(f"the fake engine of {model.name}")
        first_line = await child.start(
            [str(_SERVER)],
            {
                "model": model.name,
                "data": str(data) if data else None,
                "accuracy": script.of(script.accuracy, model.name, 0.7),
                "latency_s": script.of(script.latency_s, model.name, 0.0),
                "token_s": script.of(script.token_s, model.name, 0.0),
                "start_s": script.of(script.start_s, model.name, 0.0),
                "faults": [fault.model_dump() for fault in script.faults],
            },
            log=log,
            timeout_s=options.start_timeout_s or START_TIMEOUT_S,
        )
        assert child.pid is not None
        self._address = str(first_line["address"])
        return Endpoint(
            base_url=f"{self._address}/v1",
            model=model.name,
            pids=(child.pid,),
            facts={"engine": "fake", **asdict(options)},
        )

    async def stop(self) -> None:
        """See ``Engine.stop``."""
        if self._child is not None:
            await self._child.stop()

    def alive(self) -> bool:
        """See ``Engine.alive``."""
        return self._child is not None and self._child.alive()

    async def healthy(self) -> bool:
        """Whether the engine answers. Of the scripted faults, only ``freeze`` has an effect on this request."""
        try:
            await _probe.send_request("GET", f"{self._address}/stats", timeout_s=_HEALTH_TIMEOUT_S)
        except EngineError:
            return False
        return True

    async def sleep(self) -> None:
        """See ``Engine.sleep``."""
        await _probe.send_request("POST", f"{self._address}/sleep", timeout_s=_HEALTH_TIMEOUT_S)

    async def wake(self) -> None:
        """See ``Engine.wake``."""
        await _probe.send_request("POST", f"{self._address}/wake", timeout_s=_HEALTH_TIMEOUT_S)

    async def metrics(self) -> EngineMetrics | None:
        """Return the number of running requests. The fake engine has no queue and no cache."""
        stats = json.loads(await _probe.send_request("GET", f"{self._address}/stats", timeout_s=_HEALTH_TIMEOUT_S))
        return EngineMetrics(
            running=stats["running"],
            waiting=0,
            kv_cache_usage=0,
            preemptions=0,
            prefix_cache_queries=0,
            prefix_cache_hits=0,
        )


engine = EnginePlugin(make=FakeEngine)
