"""The child process of the fake engine: an OpenAI-compatible server that answers by script.

``fake.py`` runs this file as a script; it is never imported. It has the same interface as the llama.cpp child process:
it takes its options as JSON in ``argv[1]``, writes its address as one JSON line to standard output, and ends when its
standard input is closed.
"""

import asyncio
import hashlib
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

from aiohttp import web


def share_of(*parts: object) -> float:
    """A number from 0 to 1 that depends on nothing but the parts."""
    text = json.dumps(parts, sort_keys=True).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:6], "big") / 2**48


class FakeServer:
    """Answers the requests to one model."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.model = options["model"]
        self.accuracy: float = options["accuracy"]
        self.latency_s: float = options["latency_s"]
        self.token_s: float = options["token_s"]
        self.faults: list[dict[str, Any]] = options["faults"]
        self.used = [0] * len(self.faults)
        self.requests = 0
        self.running = 0
        self.frozen = self.asleep = self.confused = False
        self.answers: dict[str, str] = {}
        if options["data"]:
            for line in Path(options["data"]).read_text(encoding="utf-8").splitlines():
                if line.strip():
                    row = json.loads(line)
                    expected = row["answer"]
                    self.answers[row["question"]] = str(expected[0] if isinstance(expected, list) else expected)

    async def chat(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        self.running += 1
        try:
            return await self.respond(request)
        finally:
            self.running -= 1

    async def respond(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if self.asleep:
            return web.json_response({"error": {"message": "asleep"}}, status=503)
        question = self.question_in(str(body["messages"][-1]["content"]))
        # At temperature 0 the answer does not depend on the seed.
        draw = [self.model, body["messages"], body["temperature"], body.get("seed") if body["temperature"] else None]
        fault = self.draw_fault(draw)
        self.frozen |= fault == "freeze"
        if fault == "hang" or self.frozen:
            await asyncio.sleep(3600)
        if fault == "die":
            os._exit(1)
        if fault.isdigit():
            error = {"error": {"message": f"scripted {fault}", "type": "scripted"}}
            return web.json_response(error, status=int(fault))
        if fault == "not_json":
            return web.Response(text="<html>this is not JSON</html>", content_type="application/json")
        text = self.answer(question, draw)
        if fault == "empty":
            text = ""
        tokens = len(text.split()) + 1
        await asyncio.sleep(self.latency_s + tokens * self.token_s)
        reply = self.reply(None if fault == "null" else text, body["messages"], tokens)
        if fault == "no_choices":
            reply["choices"] = []
        if fault == "bad_usage":
            reply["usage"] = {"prompt_tokens": -5, "completion_tokens": "many", "total_tokens": None}
        if fault == "cut":
            return await self.cut(request, json.dumps(reply).encode())
        return web.json_response(reply)

    def draw_fault(self, draw: list[Any]) -> str:
        """The kind of fault that this request meets; empty for none."""
        for i, fault in enumerate(self.faults):
            if fault["kind"] == "wrong_wake":
                continue
            if fault["models"] and self.model not in fault["models"]:
                continue
            if fault["times"] is not None and self.used[i] >= fault["times"]:
                continue
            if share_of("fault", i, draw) < fault["share"]:
                self.used[i] += 1
                return str(fault["kind"])
        return ""

    def question_in(self, prompt: str) -> str:
        """The question of the data file that the prompt begins with. Drafts are in the lines below the question."""
        lines = prompt.split("\n")
        prefixes = ("\n".join(lines[:count]) for count in range(len(lines), 0, -1))
        return next((prefix for prefix in prefixes if prefix in self.answers), prompt)

    def answer(self, question: str, draw: list[Any]) -> str:
        right_answer = self.answers.get(question, "42")
        if self.confused:
            return "!!!!!!"
        if share_of("right", draw) < self.accuracy:
            return right_answer
        return f"wrong {int(share_of('wrong', draw) * 3)}"

    def reply(self, text: str | None, messages: list[dict[str, Any]], tokens: int) -> dict[str, Any]:
        prompt = sum(len(str(message["content"]).split()) + 4 for message in messages)
        return {
            "id": f"fake-{self.requests}",
            "object": "chat.completion",
            "created": 0,
            "model": self.model,
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
            "usage": {
                "prompt_tokens": prompt,
                "completion_tokens": tokens,
                "total_tokens": prompt + tokens,
                "prompt_tokens_details": {"cached_tokens": 0},
            },
        }

    async def cut(self, request: web.Request, body: bytes) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(body))})
        await response.prepare(request)
        await response.write(body[: len(body) // 2])
        if request.transport is not None:
            request.transport.close()
        return response

    async def stats(self, _: web.Request) -> web.Response:
        if self.frozen:
            await asyncio.sleep(3600)
        return web.json_response({"model": self.model, "requests": self.requests, "running": self.running})

    async def sleep(self, _: web.Request) -> web.Response:
        self.asleep = True
        return web.json_response({})

    async def wake(self, _: web.Request) -> web.Response:
        self.asleep = False
        for i, fault in enumerate(self.faults):
            if fault["kind"] == "wrong_wake" and (not fault["models"] or self.model in fault["models"]):
                self.confused |= fault["times"] is None or self.used[i] < fault["times"]
                self.used[i] += 1
        return web.json_response({})


async def serve(options: dict[str, Any]) -> None:
    await asyncio.sleep(options["start_s"])
    server = FakeServer(options)
    app = web.Application()
    app.router.add_post("/v1/chat/completions", server.chat)
    app.router.add_get("/stats", server.stats)
    app.router.add_post("/sleep", server.sleep)
    app.router.add_post("/wake", server.wake)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    print(json.dumps({"address": f"http://127.0.0.1:{port}"}), flush=True)
    os.dup2(2, 1)  # nobody reads standard output after this line, so later output goes to the log
    await asyncio.Event().wait()


def end_with_parent() -> None:
    while os.read(0, 4096):  # sys.stdin is not used, because its lock would turn a failed start into a crash
        pass
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=end_with_parent, daemon=True).start()
    asyncio.run(serve(json.loads(sys.argv[1])))
