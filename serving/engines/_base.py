"""What every engine offers, whoever runs it."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol
from urllib.parse import urlsplit

from orkester.errors import EngineError

from ..catalogue import Model

#: How long an engine may take to start that says nothing else.
START_TIMEOUT_S = 120.0


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """How an engine is to be started; what an engine cannot use it ignores, and says so in ``facts``.

    Attributes:
        slots: requests the engine answers at the same time.
        context_tokens: longest prompt plus answer of one request.
        threads: CPU threads for the model; 0 means all but one that this process may use: agents need one too.
        prefix_caching: whether prompts that begin alike share work.
        max_num_active_seqs: requests vLLM's scheduler admits at once, at most ``slots``; None for as many as slots.
        kv_cache_dtype: of the key-value cache, by vLLM's names; ``auto`` is the model's own.
        quantization: method by vLLM's names; None for what the weights say.
        tensor_parallel: devices that share each layer.
        start_timeout_s: an engine that is not ready by then has failed; None for what is usual for the engine.
    """

    slots: int = 4
    context_tokens: int = 1024
    threads: int = 0
    prefix_caching: bool = True
    max_num_active_seqs: int | None = None
    kv_cache_dtype: str = "auto"
    quantization: str | None = None
    tensor_parallel: int = 1
    start_timeout_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """Memory that an engine needs, as far as can be said before it runs.

    Attributes:
        device_bytes: on each accelerator it uses; 0 without one.
        host_bytes: of this machine's memory.
        asleep_device_bytes: what it keeps on each accelerator while it sleeps; None for an engine that cannot sleep.
        asleep_host_bytes: of this machine's memory while it sleeps.
        parts: what ``device_bytes`` (without an accelerator, ``host_bytes``) is made of, by name, for messages.
    """

    device_bytes: int = 0
    host_bytes: int = 0
    asleep_device_bytes: int | None = None
    asleep_host_bytes: int = 0
    parts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class EngineMetrics:
    """What an engine says of itself at one moment.

    Attributes:
        running: requests being answered.
        waiting: requests in its queue.
        kv_cache_usage: share of the key-value cache in use, 0 to 1.
        preemptions: requests put back into the queue for want of cache, since it started.
        prefix_cache_queries: prompt tokens looked up in the prefix cache since it started.
        prefix_cache_hits: prompt tokens found in the prefix cache since it started.
    """

    running: float
    waiting: float
    kv_cache_usage: float
    preemptions: float
    prefix_cache_queries: float
    prefix_cache_hits: float


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


def proxy_for(base_url: str) -> str | None:
    """The proxy that the environment names for an address.

    Not left to aiohttp's ``trust_env``: that looks it up for every request anew, on a thread, does not heed
    ``ALL_PROXY``, and would send passwords out of ``~/.netrc``.
    """
    where = urlsplit(base_url)
    if loopback(base_url) or urllib.request.proxy_bypass(where.hostname or ""):
        return None
    proxies = urllib.request.getproxies()
    return proxies.get(where.scheme) or proxies.get("all")


class Engine(Protocol):
    """Serves one model. ``start`` may be called again after ``stop``.

    ``PlainEngine`` has what an engine without tricks answers to all but ``start``, ``stop`` and ``alive``.
    """

    def footprint(self, model: Model, weights: Path | None, options: EngineOptions) -> Footprint:
        """Memory it would need.

        Raises:
            EngineError: that cannot be said, since the weights cannot be read.
        """
        ...

    async def start(self, model: Model, weights: Path | None, options: EngineOptions, log: Path) -> Endpoint:
        """Start, wait until a one-token probe is answered, and say where it listens.

        Args:
            model: what to serve.
            weights: its file or folder on disk; None for engines that need none here (external, fake).
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
        """Whether its process runs; for an endpoint someone else runs, always true after ``start``."""
        ...

    async def healthy(self) -> bool:
        """Whether it still answers: a process may live on with a dead or hanging core. Asks the engine."""
        ...

    async def sleep(self) -> None:
        """Give the accelerator's memory back, keeping the weights in the host's. Nothing may be under way.

        Raises:
            EngineError: it cannot, or did not.
        """
        ...

    async def wake(self) -> None:
        """Be ready again after ``sleep``.

        Raises:
            EngineError: it did not.
        """
        ...

    async def reset_prefix_cache(self) -> bool:
        """Forget the prompts seen so far; whether it did."""
        ...

    async def metrics(self) -> EngineMetrics | None:
        """How busy it is; None when it does not say."""
        ...


class PlainEngine:
    """What an engine answers that has no memory to speak of, does not sleep, and says nothing of itself."""

    def footprint(self, model: Model, weights: Path | None, options: EngineOptions) -> Footprint:
        """Nothing that counts."""
        del model, weights, options
        return Footprint()

    def alive(self) -> bool:
        """See ``Engine.alive``."""
        raise NotImplementedError

    async def healthy(self) -> bool:
        """Whether the process runs."""
        return self.alive()

    async def sleep(self) -> None:
        """Never asked of an engine whose footprint says that it cannot."""
        raise EngineError("this engine cannot sleep")

    async def wake(self) -> None:
        """See ``sleep``."""
        raise EngineError("this engine cannot sleep")

    async def reset_prefix_cache(self) -> bool:
        """It does not."""
        return False

    async def metrics(self) -> EngineMetrics | None:
        """None."""
        return None


@dataclass(frozen=True, kw_only=True)
class EnginePlugin:
    """A kind of engine that a study can name.

    Attributes:
        make: A class or function that makes an engine for one model. Its keyword parameters are the engine's options,
            which a study file gives as ``engine: {NAME: {OPTION: VALUE}}``.
        weights: The form in which it reads weights from this host's disk; None where it reads none.
        gpus: Whether it runs on this host's GPUs, so that a meter has to see those. Orkester finds out for vLLM.
        here: Whether it runs on this host. The energy of an engine that runs elsewhere is unavailable.
    """

    make: Callable[..., Engine]
    weights: Literal["gguf", "safetensors"] | None = None
    gpus: bool = False
    here: bool = True
