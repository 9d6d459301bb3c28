"""The interface of an engine, and the values that engines take and return."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol
from urllib.parse import urlsplit

from orkester.errors import EngineError

from ..catalogue import Model

#: The longest time for the start of an engine that sets no time limit of its own.
START_TIMEOUT_S = 120.0


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """How an engine is started. An engine ignores options that it cannot use; ``Endpoint.facts`` lists those it used.

    Attributes:
        slots: The number of requests that the engine answers at the same time.
        context_tokens: The most tokens of one request, prompt and answer together.
        threads: The number of CPU threads for the model. 0 means all threads that this process may use except one,
            because the agents need one too.
        prefix_caching: Whether prompts with the same beginning share the work for it.
        max_num_active_seqs: The number of requests that vLLM's scheduler admits at once, at most ``slots``. None: equal
            to ``slots``.
        kv_cache_dtype: The data type of the key-value cache, by vLLM's names. ``auto`` is the model's data type.
        quantization: The quantization method, by vLLM's names. None: the method that the weights declare.
        tensor_parallel: The number of devices that share each layer.
        start_timeout_s: The longest time for the start; an engine that is not ready then has failed. None: the
            engine's usual limit.
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
    """The memory that an engine needs, as estimated before it runs.

    Attributes:
        device_bytes: The memory on each accelerator that the engine uses; 0 without an accelerator.
        host_bytes: The memory of this machine.
        asleep_device_bytes: The memory on each accelerator while the engine sleeps; None if it cannot sleep.
        asleep_host_bytes: The memory of this machine while the engine sleeps.
        parts: The parts of ``device_bytes`` (of ``host_bytes`` without an accelerator) in bytes, by name, for messages.
    """

    device_bytes: int = 0
    host_bytes: int = 0
    asleep_device_bytes: int | None = None
    asleep_host_bytes: int = 0
    parts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class EngineMetrics:
    """An engine's load at one moment, as the engine reports it.

    Attributes:
        running: The number of requests that the engine is answering.
        waiting: The number of requests in the engine's queue.
        kv_cache_usage: The share of the key-value cache that is in use, from 0 to 1.
        preemptions: The number of requests that were put back into the queue because the cache was full, since the
            engine started.
        prefix_cache_queries: The number of prompt tokens looked up in the prefix cache since the engine started.
        prefix_cache_hits: The number of prompt tokens found in the prefix cache since the engine started.
    """

    running: float
    waiting: float
    kv_cache_usage: float
    preemptions: float
    prefix_cache_queries: float
    prefix_cache_hits: float


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where a started engine answers, and facts about it.

    Attributes:
        base_url: The address, ending with ``/v1``, in the form that the ``openai`` client takes.
        model: The model's name in requests.
        pids: The ids of the engine's processes, whose CPU time counts as the engine's; empty if the engine runs on
            another machine.
        takes_seed: Whether requests may have a ``seed``.
        facts: The facts that records contain: engine, version, options, weights and their checksum.
        api_key_env: The name of the environment variable with the key. The key itself is never stored.
        requests_per_s: The most requests per second that the owner allows; None for no limit.
        concurrency: The most requests at the same time; None for no limit.
    """

    base_url: str
    model: str
    pids: tuple[int, ...] = ()
    takes_seed: bool = True
    facts: Mapping[str, object] = field(default_factory=dict)
    api_key_env: str | None = None
    requests_per_s: float | None = None
    concurrency: int | None = None


def is_loopback(base_url: str) -> bool:
    """Check whether an address is on this machine. The proxies in the environment cannot reach such an address.

    Args:
        base_url: The address.

    Returns:
        True for ``localhost`` and the loopback addresses.
    """
    host = urlsplit(base_url).hostname or ""
    return host in {"localhost", "::1"} or host.startswith("127.")


def proxy_for(base_url: str) -> str | None:
    """Return the proxy that the environment sets for an address; None for no proxy.

    aiohttp's ``trust_env`` is not used for this, because it looks up the proxy again for every request on a thread,
    ignores ``ALL_PROXY``, and would send passwords from ``~/.netrc``.

    Args:
        base_url: The address.

    Returns:
        Address of the proxy, or None if requests go directly to ``base_url``.
    """
    address = urlsplit(base_url)
    if is_loopback(base_url) or urllib.request.proxy_bypass(address.hostname or ""):
        return None
    proxies = urllib.request.getproxies()
    return proxies.get(address.scheme) or proxies.get("all")


class Engine(Protocol):
    """Serves one model. ``start`` may be called again after ``stop``.

    ``PlainEngine`` implements all methods except ``start``, ``stop`` and ``alive`` for an engine without special
    features.
    """

    def footprint(self, model: Model, weights: Path | None, options: EngineOptions) -> Footprint:
        """Estimate the memory that the engine would need.

        Args:
            model: The model to serve.
            weights: The file or folder with the model's weights; None for engines that need none on this machine.
            options: The options that the engine would be started with.

        Returns:
            The memory.

        Raises:
            EngineError: The memory cannot be estimated, because the weights cannot be read.
        """
        ...

    async def start(self, model: Model, weights: Path | None, options: EngineOptions, log: Path) -> Endpoint:
        """Start the engine and wait until it answers a request for one token.

        Args:
            model: The model to serve.
            weights: The file or folder with the model's weights; None for engines that need none on this machine
                (external, fake).
            options: The options of the engine.
            log: The file that takes the engine's output; it is created if it does not exist.

        Returns:
            Where the engine answers.

        Raises:
            EngineError: The engine did not become ready. The message ends with the log's last lines and its path.
        """
        ...

    async def stop(self) -> None:
        """End the engine and wait until its process has ended. Does nothing if the engine is not running."""
        ...

    def alive(self) -> bool:
        """Check whether the engine's process runs.

        Returns:
            True if it runs. For an endpoint that someone else runs, always True after ``start``.
        """
        ...

    async def healthy(self) -> bool:
        """Check whether the engine still answers, by a request to it. A process may run but no longer answer.

        Returns:
            True if it answers.
        """
        ...

    async def sleep(self) -> None:
        """Release the accelerator's memory and keep the weights in the host's memory. No request may be running.

        Raises:
            EngineError: The engine cannot sleep, or failed to.
        """
        ...

    async def wake(self) -> None:
        """Make the engine ready again after ``sleep``.

        Raises:
            EngineError: The engine did not wake.
        """
        ...

    async def reset_prefix_cache(self) -> bool:
        """Empty the prefix cache, so that the engine forgets the prompts seen so far.

        Returns:
            Whether the cache was emptied; False if the engine cannot do so.
        """
        ...

    async def metrics(self) -> EngineMetrics | None:
        """Read the engine's metrics.

        Returns:
            The metrics, or None if the engine reports none.
        """
        ...


class PlainEngine:
    """Default methods for an engine that needs little memory, cannot sleep, and reports no load."""

    def footprint(self, model: Model, weights: Path | None, options: EngineOptions) -> Footprint:
        """Return a footprint of 0 bytes."""
        del model, weights, options
        return Footprint()

    def alive(self) -> bool:
        """See ``Engine.alive``."""
        raise NotImplementedError

    async def healthy(self) -> bool:
        """Whether the engine's process runs."""
        return self.alive()

    async def sleep(self) -> None:
        """Raise an error. The pool never calls this for an engine whose footprint says that it cannot sleep."""
        raise EngineError("this engine cannot sleep")

    async def wake(self) -> None:
        """Raise an error, like ``sleep``."""
        raise EngineError("this engine cannot sleep")

    async def reset_prefix_cache(self) -> bool:
        """Return False: the cache is not emptied."""
        return False

    async def metrics(self) -> EngineMetrics | None:
        """Return None: the engine does not report its load."""
        return None


@dataclass(frozen=True, kw_only=True)
class EnginePlugin:
    """A kind of engine that a study can name.

    Attributes:
        make: A class or function that makes an engine for one model. Its keyword parameters are the engine's options,
            which a study file sets as ``engine: {NAME: {OPTION: VALUE}}``.
        weights: The format of the weights that it reads from this host's disk; None if it reads no weights.
        gpus: Whether it runs on this host's GPUs, so that the meter must measure GPUs. For vLLM, Orkester detects this
            by itself.
        local: Whether it runs on this host. The energy of an engine that runs elsewhere is unavailable.
    """

    make: Callable[..., Engine]
    weights: Literal["gguf", "safetensors"] | None = None
    gpus: bool = False
    local: bool = True
