"""A model server that knows a table: it answers what was recorded, and counts."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from aiohttp import web

from orkester.graphs import Team
from orkester.optim.study.space import Space

from ..table import Table

#: Joins topology and knob in the name of a field.
JOINT = "__"


def fields(space: Space) -> dict[str, dict[str, Any]]:
    """The space as flat fields, each with its kind, its default, and how NAT is to search it (None: not at all)."""
    names = list(space.grids)
    topologies = {"values": names} if len(names) > 1 else None
    found: dict[str, dict[str, Any]] = {"topology": {"kind": "str", "default": names[0], "space": topologies}}
    for name, grids in space.grids.items():
        for knob, grid in grids.items():
            first, last = grid.values[0], grid.values[-1]
            ways: dict[str, Any] | None
            if grid.fixed:
                ways = None
            elif isinstance(first, str):
                ways = {"values": list(grid.values)}
            else:
                ways = {"low": first, "high": last, "step": round(float(grid.values[1]) - float(first), 10)}
                if isinstance(first, int):
                    ways["step"] = int(ways["step"])
            found[f"{name}{JOINT}{knob}"] = {"kind": type(first).__name__, "default": first, "space": ways}
    return found


def team_of(space: Space, values: Mapping[str, Any]) -> Team:
    """The team that flat fields describe; numbers are put on the grid, from which a float may be a rounding off."""
    name = str(values["topology"])
    knobs = {}
    for knob, grid in space.grids[name].items():
        given = values.get(f"{name}{JOINT}{knob}", grid.values[0])
        knobs[knob] = (
            given if isinstance(given, str) else min(grid.values, key=lambda value: abs(float(value) - float(given)))
        )
    return Team(name, knobs)


class TableServer:
    """An OpenAI-shaped endpoint on loopback, in a thread of its own. Enter it.

    A request says which team asks, on which example, and the number of the call; the answer says whether the team
    makes another, and holds what the table has for the example.

    Attributes:
        url: up to ``/v1``.
        times_s: of each call, seconds since the epoch, in order.
    """

    def __init__(self, table: Table) -> None:
        self._table = table
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.times_s: list[float] = []
        self.url = ""

    def __enter__(self) -> TableServer:
        self._thread.start()
        self._runner = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(30)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()

    async def _start(self) -> web.AppRunner:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        return runner

    async def _answer(self, request: web.Request) -> web.Response:
        self.times_s.append(time.time())
        asked = json.loads((await request.json())["messages"][-1]["content"])
        row, example = (
            self._table.number(team_of(self._table.space, asked["team"])),
            int(str(asked["example"]).removeprefix("example ")),
        )
        content = {
            "more": int(asked["call"]) + 1 < int(self._table.calls[row, example]),
            "score": float(self._table.score[row, example]),
            "latency_s": float(self._table.latency_s[row, example]),
            "energy_j": float(self._table.energy_j[row, example]),
        }
        message = {"role": "assistant", "content": json.dumps(content)}
        return web.json_response({"object": "chat.completion", "choices": [{"index": 0, "message": message}]})
