"""An engine that repeats: it answers with the last number of what it was asked, or with the text itself."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

from aiohttp import web

from orkester.errors import EngineError
from orkester.serving.catalogue import Model
from orkester.serving.engines import Endpoint, EngineOptions, EnginePlugin, PlainEngine


class Parrot(PlainEngine):
    """A server in the study's own process, on loopback.

    Args:
        wrong: Models whose answers are wrong by one, by name.
        broken: Whether it cannot start, for tests.
    """

    def __init__(self, wrong: list[str] | None = None, *, broken: bool = False) -> None:
        self._wrong = wrong or []
        self._broken = broken
        self._runner: web.AppRunner | None = None

    async def start(self, model: Model, weights: Path | None, options: EngineOptions, log: Path) -> Endpoint:
        """See ``Engine.start``."""
        del weights
        if self._broken:
            raise EngineError("the parrot does not talk")
        log.parent.mkdir(parents=True, exist_ok=True)
        log.touch()

        async def complete(request: web.Request) -> web.Response:
            body: dict[str, Any] = await request.json()
            content = body["messages"][-1]["content"]
            text = content if isinstance(content, str) else json.dumps(content)
            numbers = re.findall(r"\d+", text)
            answer = str(int(numbers[-1]) + (model.name in self._wrong)) if numbers else text
            usage = {"prompt_tokens": len(text.split()), "completion_tokens": 1}
            message = {"role": "assistant", "content": answer}
            return web.json_response({"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage})

        app = web.Application()
        app.router.add_post("/v1/chat/completions", complete)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        await asyncio.sleep(0)
        facts = {"engine": "parrot", "slots": options.slots}
        return Endpoint(base_url=f"http://127.0.0.1:{port}/v1", model=model.name, facts=facts)

    async def stop(self) -> None:
        """See ``Engine.stop``."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def alive(self) -> bool:
        """Whether the server runs."""
        return self._runner is not None


engine = EnginePlugin(make=Parrot)
