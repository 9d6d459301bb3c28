"""A small HTTP server that a test scripts, for what no engine does on purpose."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def served(handler: Handler, *, version: object = None) -> AsyncIterator[str]:
    """The ``base_url`` of a server that answers every request by the handler, but for the one about its version."""

    async def about(_: web.Request) -> web.Response:
        return web.Response(status=404) if version is None else web.json_response(version)

    app = web.Application(client_max_size=2**24)
    app.router.add_get("/version", about)
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


def completion(text: str | None = "42", **changes: Any) -> web.Response:
    """A reply of OpenAI's form."""
    reply: dict[str, Any] = {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": "small",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
    }
    return web.json_response(reply | changes)
