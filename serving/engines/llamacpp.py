"""The llama.cpp engine, which is the default: llama.cpp's own OpenAI-compatible server from the xllamacpp package."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

from orkester.errors import EngineError

from ..catalogue import Model
from ..machine import usable_threads
from . import _probe
from ._base import START_TIMEOUT_S, Endpoint, EngineOptions, EnginePlugin, Footprint, PlainEngine
from ._child import ChildServer, log_tail

_SERVER = Path(__file__).with_name("_llamacpp_server.py")
_OVERHEAD_BYTES = 512 * 2**20


class LlamaCppEngine(PlainEngine):
    """Serves a GGUF file from its own process, on a free loopback port."""

    def __init__(self) -> None:
        self._child: ChildServer | None = None

    def footprint(self, model: Model, weights: Path | None, options: EngineOptions) -> Footprint:
        """Return the size of the weights plus a fixed size for the cache and the buffers of a small model.

        The exact size of the cache is not known without reading the file.
        """
        del model, options
        size = weights.stat().st_size if weights is not None and weights.is_file() else 0
        parts = {"weights": size, "llama.cpp itself": _OVERHEAD_BYTES}
        return Footprint(host_bytes=sum(parts.values()), parts=parts)

    async def start(self, model: Model, weights: Path | None, options: EngineOptions, log: Path) -> Endpoint:
        """See ``Engine.start``."""
        if weights is None or weights.is_dir():
            raise EngineError(f"llama.cpp needs a GGUF file for {model.name}, but its weights are {weights}")
        threads = options.threads or max(1, usable_threads() - 1)
        child = self._child = ChildServer(f"llama.cpp with {model.name}")
        first_line = await child.start(
            [str(_SERVER)],
            {
                "name": model.name,
                "weights": str(weights),
                "slots": options.slots,
                "context_tokens": options.context_tokens,
                "threads": threads,
                "prefix_caching": options.prefix_caching,
                "chat_template": model.chat_template,
            },
            log=log,
            timeout_s=options.start_timeout_s or START_TIMEOUT_S,
        )
        base_url = f"{first_line['address']}/v1"
        try:
            await _probe.first_reply(base_url, model.name, timeout_s=options.start_timeout_s or START_TIMEOUT_S)
        except BaseException as error:
            await self.stop()
            if isinstance(error, EngineError):
                raise EngineError(f"{error}{log_tail(log)}") from error
            raise
        assert child.pid is not None
        return Endpoint(
            base_url=base_url,
            model=model.name,
            pids=(child.pid,),
            facts={
                "engine": "llamacpp",
                "version": f"xllamacpp {importlib.metadata.version('xllamacpp')}",
                "weights": weights.name,
                "weights_bytes": weights.stat().st_size,
                "weights_sha256": model.sha256,
                "slots": options.slots,
                "context_tokens": options.context_tokens,
                "threads": threads,
                "prefix_caching": options.prefix_caching,
            },
        )

    async def stop(self) -> None:
        """See ``Engine.stop``."""
        if self._child is not None:
            await self._child.stop()

    def alive(self) -> bool:
        """See ``Engine.alive``."""
        return self._child is not None and self._child.alive()


engine = EnginePlugin(make=LlamaCppEngine, weights="gguf")
