"""The chat client against servers that behave, and servers that do not."""

import asyncio
import json
import random
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import openai
import pytest
from aiohttp import web
from serving.servers import completion, served

from orkester.errors import CallFailed, InputError
from orkester.serving._retries import FIRST_WAIT_S, LONGEST_WAIT_S, MAX_ATTEMPTS
from orkester.serving.catalogue import Model
from orkester.serving.chat import Reply
from orkester.serving.client import ChatClient, Gate
from orkester.serving.engines import Endpoint, EngineOptions, ExternalEngine, FakeEngine, FakeScript, Fault
from orkester.serving.engines._fake_script import FaultKind
from orkester.telemetry import TraceStore

KEY = "sk-that-nobody-may-see"
NOW = datetime(2026, 3, 2, 10, tzinfo=UTC)
QUESTION = [{"role": "user", "content": "What is 2 + 3?"}]


class Time:
    """A clock that moves when somebody sleeps, and the sleeps."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.sleeps: list[float] = []

    def clock(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now_s += seconds
        await asyncio.sleep(0)


@asynccontextmanager
async def client(where: str | Endpoint, **settings: Any) -> AsyncIterator[ChatClient]:
    """A client of a ``base_url`` or an endpoint."""
    endpoint = Endpoint(base_url=where, model="small") if isinstance(where, str) else where
    asker = ChatClient("small", endpoint, **settings)
    try:
        yield asker
    finally:
        await asker.close()


async def ask(asker: ChatClient, messages: Any = QUESTION, **settings: Any) -> Reply:
    return await asker.chat(messages, **{"agent": "solver", "temperature": 0.0, "max_tokens": 8, **settings})


async def refusal(asker: ChatClient) -> CallFailed:
    with pytest.raises(CallFailed) as raised:
        await ask(asker)
    return raised.value


@asynccontextmanager
async def fake(folder: Path, *faults: Fault) -> AsyncIterator[tuple[FakeEngine, Endpoint]]:
    engine = FakeEngine(FakeScript(accuracy=1.0, faults=list(faults)))
    try:
        yield engine, await engine.start(Model(name="small", source="none"), None, EngineOptions(), folder / "log")
    finally:
        await engine.stop()


async def requests(endpoint: Endpoint) -> int:
    """How many the fake engine has had."""
    import aiohttp

    async with (
        aiohttp.ClientSession() as session,
        session.get(endpoint.base_url.removesuffix("/v1") + "/stats") as reply,
    ):
        return int((await reply.json())["requests"])


class TestFaults:
    """Calls to an engine with faults, one after the other."""

    @pytest.mark.parametrize("way", ["of our own", "of the openai package"])
    async def test_they_fail_the_call_and_only_what_may_pass_is_tried_again(
        self, way: str, tmp_path: Path, subtests: pytest.Subtests
    ) -> None:
        expected: dict[FaultKind, tuple[str, int]] = {
            "400": ("http 400", 1),
            "401": ("http 401", 1),
            "404": ("http 404", 1),
            "429": ("http 429", MAX_ATTEMPTS),
            "500": ("http 500", MAX_ATTEMPTS),
            "503": ("http 503", MAX_ATTEMPTS),
            "cut": ("connection", MAX_ATTEMPTS),
            "not_json": ("bad reply", MAX_ATTEMPTS),
            "no_choices": ("bad reply", MAX_ATTEMPTS),
            "null": ("bad reply", 1),
            "empty": ("empty answer", 1),
        }
        faults = [Fault(kind=fault, times=attempts) for fault, (_, attempts) in expected.items()]
        time_ = Time()
        async with (
            fake(tmp_path, *faults) as (_, endpoint),
            openai.AsyncOpenAI(base_url=endpoint.base_url, api_key="none") as api,
            client(
                endpoint,
                api=api if way == "of the openai package" else None,
                clock=time_.clock,
                sleep=time_.sleep,
                rng=random.Random(1),
            ) as asker,
        ):
            for fault, (kind, attempts) in expected.items():
                with subtests.test(fault):
                    before = await requests(endpoint)
                    time_.sleeps.clear()
                    error = await refusal(asker)
                    assert (error.kind, error.attempts) == (kind, attempts)
                    assert error.detail
                    assert await requests(endpoint) - before == attempts
                    assert len(time_.sleeps) == attempts - 1
            assert (await ask(asker)).text == "42"

    @pytest.mark.parametrize("kind", ["429", "503", "cut"])
    async def test_what_passes_is_a_success(self, kind: FaultKind, tmp_path: Path) -> None:
        time_ = Time()
        async with (
            fake(tmp_path, Fault(kind=kind, times=2)) as (_, endpoint),
            client(endpoint, clock=time_.clock, sleep=time_.sleep) as asker,
        ):
            reply = await ask(asker)
        assert (reply.text, reply.attempts) == ("42", 3)
        assert reply.latency_s == pytest.approx(sum(time_.sleeps))

    async def test_a_server_that_dies_is_a_broken_connection(self, tmp_path: Path) -> None:
        time_ = Time()
        async with (
            fake(tmp_path, Fault(kind="die")) as (engine, endpoint),
            client(endpoint, clock=time_.clock, sleep=time_.sleep) as asker,
        ):
            errors = await asyncio.gather(*(refusal(asker) for _ in range(3)))
            assert not engine.alive()
            errors.append(await refusal(asker))
        assert {(error.kind, error.attempts) for error in errors} == {("connection", MAX_ATTEMPTS)}

    async def test_a_server_that_hangs_meets_the_deadline(self, tmp_path: Path) -> None:
        async with fake(tmp_path, Fault(kind="hang")) as (_, endpoint), client(endpoint, deadline_s=0.3) as asker:
            asker.prepare()
            start = time.monotonic()
            error = await refusal(asker)
            took_s = time.monotonic() - start
            assert await requests(endpoint) == 1
        assert (error.kind, error.attempts) == ("timeout", 1)
        assert "0.3 s" in error.detail
        assert 0.3 <= took_s < 3


async def test_a_server_that_trickles_meets_the_deadline() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.01)

    async with served(handler) as url, client(url, deadline_s=0.3) as asker:
        assert (await refusal(asker)).kind == "timeout"


async def test_nobody_at_the_address_is_a_broken_connection() -> None:
    time_ = Time()
    async with client("http://127.0.0.1:1/v1", clock=time_.clock, sleep=time_.sleep) as asker:
        error = await refusal(asker)
    assert (error.kind, error.attempts) == ("connection", MAX_ATTEMPTS)
    assert error.detail.startswith("ConnectionRefusedError: ")


def always(status: int, headers: dict[str, str] | None = None) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=status, headers=headers, text="not now")

    return handler


class TestWaits:
    async def test_they_are_drawn_from_a_range_that_doubles(self) -> None:
        class Highest(random.Random):
            def uniform(self, a: float, b: float) -> float:
                assert a == 0
                return b

        time_ = Time()
        async with (
            served(always(503)) as url,
            client(url, clock=time_.clock, sleep=time_.sleep, rng=Highest()) as asker,
        ):
            await refusal(asker)
        assert time_.sleeps == [FIRST_WAIT_S * 2**i for i in range(MAX_ATTEMPTS - 1)]
        assert max(time_.sleeps) <= LONGEST_WAIT_S

    async def test_callers_that_failed_together_do_not_come_back_together(self) -> None:
        time_ = Time()
        async with served(always(503)) as url, client(url, clock=time_.clock, sleep=time_.sleep) as asker:
            await asyncio.gather(*(refusal(asker) for _ in range(8)))
        assert len(set(time_.sleeps)) == len(time_.sleeps) == 8 * (MAX_ATTEMPTS - 1)

    async def test_they_are_as_long_as_the_server_asks(self) -> None:
        time_ = Time()
        async with (
            served(always(429, {"Retry-After": "7.5"})) as url,
            client(url, clock=time_.clock, sleep=time_.sleep) as asker,
        ):
            await refusal(asker)
        assert time_.sleeps == [7.5] * (MAX_ATTEMPTS - 1)

    @pytest.mark.parametrize(
        ("headers", "wait_s"),
        [
            ({"Retry-After": "7.5"}, 7.5),
            ({"Retry-After": " 12 "}, 12),
            ({"Retry-After": "Mon, 02 Mar 2026 10:00:20 GMT", "Date": "Mon, 02 Mar 2026 10:00:00 GMT"}, 20),
            ({"Retry-After": "Mon, 02 Mar 2026 10:00:20 -0000", "Date": "no date"}, 20),
            ({"Retry-After": "Monday, 02-Mar-26 10:00:20 GMT", "Date": "no date"}, 20),
            ({"Retry-After": "2026-03-02T10:00:20Z", "Date": "no date"}, 20),
            ({"Retry-After": "Mon, 02 Mar 2026 09:00:20 GMT", "Date": "Mon, 02 Mar 2026 09:00:00 GMT"}, 20),
            ({"Retry-After-Ms": "9500", "Retry-After": "30"}, 9.5),
            ({"X-RateLimit-Reset-Requests": "9s", "X-RateLimit-Reset-Tokens": "6m0s"}, 9),
            ({"X-RateLimit-Reset-Requests": "1790000000"}, 0),
        ],
    )
    async def test_the_server_may_ask_in_several_ways(self, headers: dict[str, str], wait_s: float) -> None:
        time_ = Time()
        async with (
            served(always(429, headers)) as url,
            client(url, clock=time_.clock, sleep=time_.sleep, now=lambda: NOW) as asker,
        ):
            await refusal(asker)
        if wait_s:
            assert time_.sleeps
            assert set(time_.sleeps) == {wait_s}
        else:
            assert max(time_.sleeps) <= LONGEST_WAIT_S

    @pytest.mark.parametrize(
        ("words", "wait_s"),
        [
            ("Please retry after 9 seconds.", 9),
            ("Rate limit reached. Please try again in 9.5s. Visit the limits page", 9.5),
            ("try again in 1m30s", 90),
            ("Try again in 9500ms", 9.5),
        ],
    )
    async def test_the_server_may_ask_in_words(self, words: str, wait_s: float) -> None:
        async def handler(_: web.Request) -> web.Response:
            return web.json_response({"error": {"message": words}}, status=429)

        time_ = Time()
        async with (
            served(handler) as url,
            client(url, clock=time_.clock, sleep=time_.sleep, deadline_s=1000) as asker,
        ):
            await refusal(asker)
        assert time_.sleeps == [wait_s] * (MAX_ATTEMPTS - 1)

    async def test_a_quota_that_is_used_up_is_not_waited_for(self) -> None:
        async def handler(_: web.Request) -> web.Response:
            error = {"message": "You exceeded your current quota", "code": "insufficient_quota"}
            return web.json_response({"error": error}, status=429)

        async with served(handler) as url, client(url) as asker:
            error = await refusal(asker)
        assert (error.kind, error.detail, error.attempts) == ("http 429", "You exceeded your current quota", 1)

    @pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 529])
    async def test_statuses_that_say_nothing_about_the_request_are_tried_again(self, status: int) -> None:
        time_ = Time()
        async with served(always(status)) as url, client(url, clock=time_.clock, sleep=time_.sleep) as asker:
            assert (await refusal(asker)).attempts == MAX_ATTEMPTS

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
    async def test_statuses_about_the_request_are_not_tried_again(self, status: int) -> None:
        async with served(always(status)) as url, client(url) as asker:
            assert (await refusal(asker)).attempts == 1

    @pytest.mark.parametrize("value", ["Wed, 21 Oct 2020 07:28:00 GMT", "-5", "0", "soon", "nan", "32 Foo 2026"])
    async def test_a_retry_after_that_is_past_or_no_time_is_passed_over(self, value: str) -> None:
        time_ = Time()
        async with (
            served(always(503, {"Retry-After": value})) as url,
            client(url, clock=time_.clock, sleep=time_.sleep) as asker,
        ):
            error = await refusal(asker)
        assert len(time_.sleeps) == MAX_ATTEMPTS - 1
        assert max(time_.sleeps) <= LONGEST_WAIT_S
        no_time = value in {"soon", "nan", "32 Foo 2026"}
        note = f" (the server's Retry-After is {value!r}, which is no time)" if no_time else ""
        assert error.detail == f"not now{note}"

    @pytest.mark.parametrize(
        ("value", "asked"),
        [("60", "60 s"), ("inf", "without end"), ("999999", "999,999 s"), ("Sat, 02 Mar 2126 10:00:00 GMT", " s")],
    )
    async def test_a_wait_past_the_deadline_is_not_begun_and_said(self, value: str, asked: str) -> None:
        time_ = Time()
        async with (
            served(always(429, {"Retry-After": value})) as url,
            client(url, clock=time_.clock, sleep=time_.sleep, deadline_s=60) as asker,
        ):
            error = await refusal(asker)
        assert (error.kind, error.attempts) == ("http 429", 1)
        assert re.fullmatch(rf"not now \(the server asks to wait .*{asked}, and 60 s are left\)", error.detail)
        assert time_.sleeps == []

    async def test_all_tries_together_keep_the_deadline(self) -> None:
        time_ = Time()
        async with (
            served(always(429, {"Retry-After": "4"})) as url,
            client(url, clock=time_.clock, sleep=time_.sleep, deadline_s=10) as asker,
        ):
            error = await refusal(asker)
        assert error.attempts == 3
        assert time_.sleeps == [4, 4]


class TestRequest:
    """What the server gets."""

    @staticmethod
    async def sent(
        *, endpoint: dict[str, Any] | None = None, chat: dict[str, Any] | None = None, **settings: Any
    ) -> Any:
        got: list[Any] = []

        async def handler(request: web.Request) -> web.Response:
            got.append((await request.json(), request.headers.copy()))
            return completion()

        async with served(handler) as url:
            where = Endpoint(base_url=url, model="the-servers-name", **endpoint or {})
            async with client(where, **settings) as asker:
                await ask(asker, **chat or {})
        assert len(got) == 1
        return got[0]

    async def test_it_has_the_servers_model_and_the_agents_settings(self) -> None:
        body, headers = await self.sent(chat={"temperature": 0.7, "max_tokens": 5, "seed": 11})
        assert body == {
            "model": "the-servers-name",
            "messages": QUESTION,
            "temperature": 0.7,
            "max_tokens": 5,
            "seed": 11,
        }
        assert "traceparent" not in headers

    async def test_a_seed_is_left_out_where_the_engine_takes_none(self) -> None:
        body, _ = await self.sent(endpoint={"takes_seed": False}, chat={"seed": 11})
        assert "seed" not in body

    async def test_the_form_of_the_answer_is_sent(self) -> None:
        form = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "integer"}}}
        body, _ = await self.sent(chat={"response_format": form})
        assert body["response_format"] == form

    async def test_stops_are_sent(self) -> None:
        body, _ = await self.sent(stop=("\n", "Q:"))
        assert body["stop"] == ["\n", "Q:"]

    @pytest.mark.parametrize("system", [[], [{"role": "system", "content": "Answer with a number."}]])
    async def test_worked_examples_come_after_the_system_message(self, system: list[dict[str, str]]) -> None:
        shots = [{"role": "user", "content": "What is 1 + 1?"}, {"role": "assistant", "content": "2"}]
        body, _ = await self.sent(preamble=shots, chat={"messages": [*system, *QUESTION]})
        assert body["messages"] == [*system, *shots, *QUESTION]

    @pytest.mark.parametrize("size", [4, 800_000, 3_000_000])
    async def test_content_parts_pass(self, size: int) -> None:
        messages = [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{size * 'A'}"}},
                ],
            }
        ]
        body, _ = await self.sent(chat={"messages": messages})
        assert body["messages"] == messages

    async def test_text_of_any_kind_passes(self) -> None:
        # Half a character is what max_tokens may leave of another agent's draft.
        messages = [{"role": "user", "content": 'äöü 你好 🙂 \ud83d "\\\x00\n'}]
        body, _ = await self.sent(chat={"messages": messages})
        assert body["messages"] == messages

    async def test_a_password_in_netrc_is_not_sent(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        (tmp_path / "netrc").write_text(f"machine 127.0.0.1 login somebody password {KEY}\n")
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        _, headers = await self.sent()
        assert "Authorization" not in headers

    async def test_nothing_that_a_server_sets_comes_back_to_it(self) -> None:
        got: list[str | None] = []

        async def handler(request: web.Request) -> web.Response:
            got.append(request.headers.get("Cookie"))
            said = completion()
            said.set_cookie("who", "you")
            return said

        async with served(handler) as url, client(url) as asker:
            await ask(asker)
            await ask(asker)
        assert got == [None, None]

    async def test_the_key_comes_from_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("THE_KEY", KEY)
        _, headers = await self.sent(endpoint={"api_key_env": "THE_KEY"})
        assert headers["Authorization"] == f"Bearer {KEY}"

    async def test_other_keys_of_the_environment_are_not_sent(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("OPENAI_ORG_ID", KEY)
        monkeypatch.setenv("OPENAI_PROJECT_ID", KEY)
        _, headers = await self.sent()
        assert KEY not in json.dumps(dict(headers))

    async def test_the_servers_span_can_join_ours(self, tmp_path: Path) -> None:
        with TraceStore(tmp_path, study="small") as traces, traces.example("q1", {}):
            _, headers = await self.sent()
        lines = [json.loads(line) for file in tmp_path.iterdir() for line in file.read_text().splitlines()]
        spans = [
            span for line in lines for part in line["resourceSpans"] for s in part["scopeSpans"] for span in s["spans"]
        ]
        chat = next(span for span in spans if span["name"] == "chat small")
        assert re.fullmatch(f"00-{chat['traceId']}-{chat['spanId']}-0[13]", headers["traceparent"])


class TestReply:
    """What is read of what the server says."""

    @staticmethod
    async def reply(said: Callable[[], web.Response]) -> Reply:
        async def handler(_: web.Request) -> web.Response:
            return said()

        async with served(handler) as url, client(url) as asker:
            return await ask(asker)

    async def test_tokens_and_cached_tokens_are_read(self) -> None:
        usage = {"prompt_tokens": 12, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 8}}
        reply = await self.reply(lambda: completion(" 5\n", usage=usage))
        assert (reply.text, reply.finish_reason, reply.attempts) == ("5", "stop", 1)
        assert (reply.input_tokens, reply.output_tokens, reply.cached_tokens) == (12, 3, 8)
        assert reply.latency_s > 0

    async def test_a_thought_is_cut_and_its_tokens_are_counted(self) -> None:
        usage = {"completion_tokens": 40, "completion_tokens_details": {"reasoning_tokens": 30}}
        reply = await self.reply(lambda: completion("<think>2 + 3</think>\n5<|im_end|>", usage=usage))
        assert (reply.text, reply.raw_text) == ("5", "<think>2 + 3</think>\n5<|im_end|>")
        assert (reply.thought, reply.thought_tokens, reply.thought_estimated) == ("answered", 30, False)
        assert reply.output_tokens == 40

    @pytest.mark.parametrize(
        ("message", "reason"),
        [
            ({"content": None, "reasoning_content": "2 + 3"}, "length"),
            ({"content": "", "reasoning": "2 + 3"}, "stop"),
            ({"content": "<think>2 + 3"}, "length"),
        ],
    )
    async def test_a_thought_without_an_answer_is_an_empty_answer(self, message: Any, reason: str) -> None:
        choice = {"message": {"role": "assistant", **message}, "finish_reason": reason}
        reply = await self.reply(lambda: completion(choices=[choice], usage={"completion_tokens": 8}))
        assert (reply.text, reply.finish_reason, reply.thought) == ("", reason, "unanswered")
        assert (reply.thought_tokens, reply.thought_estimated) == (8, True)

    async def test_tokens_of_a_hidden_thought_up_to_the_limit_are_an_unfinished_thought(self) -> None:
        choice = {"message": {"role": "assistant", "content": ""}, "finish_reason": "length"}
        usage = {"completion_tokens": 64, "completion_tokens_details": {"reasoning_tokens": 64}}
        reply = await self.reply(lambda: completion(choices=[choice], usage=usage))
        assert (reply.text, reply.thought, reply.thought_tokens) == ("", "unanswered", 64)

    async def test_nothing_up_to_the_limit_is_a_cut_answer_and_no_failure(self) -> None:
        choice = {"message": {"role": "assistant", "content": "\n"}, "finish_reason": "length"}
        reply = await self.reply(lambda: completion(choices=[choice]))
        assert (reply.text, reply.finish_reason, reply.thought) == ("", "length", "")

    @pytest.mark.parametrize("text", ["<think>\n</think>", "<|im_end|>"])
    async def test_neither_a_thought_nor_an_answer_is_a_failure(self, text: str) -> None:
        with pytest.raises(CallFailed, match="empty answer"):
            await self.reply(lambda: completion(text))

    @pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": None, "prompt_tokens_details": None}])
    async def test_what_the_server_does_not_count_is_unknown_and_not_zero(self, usage: Any) -> None:
        reply = await self.reply(lambda: completion(usage=usage))
        assert (reply.input_tokens, reply.output_tokens, reply.cached_tokens) == (None, None, None)

    @pytest.mark.parametrize(
        ("said", "times"),
        [
            (
                {"metrics": {"queue_time_ms": 0.5, "time_to_first_token_ms": 8, "generation_time_ms": 250.0}},
                (0.0005, 0.008, 0.25),
            ),
            ({"metrics": {"queue_time_ms": None, "time_to_first_token_ms": 0}}, (None, 0.0, None)),
            ({"timings": {"prompt_ms": 12.5, "predicted_ms": 40, "predicted_n": 3}}, (None, 0.0125, 0.04)),
            ({"metrics": None, "timings": {"prompt_ms": 12.5}}, (None, 0.0125, None)),
            ({"metrics": None}, (None, None, None)),
            ({}, (None, None, None)),
        ],
    )
    async def test_what_the_server_says_of_its_time_is_read(
        self, said: dict[str, Any], times: tuple[float | None, ...]
    ) -> None:
        reply = await self.reply(lambda: completion(**said))
        assert (reply.queue_s, reply.ttft_s, reply.decode_s) == times

    @pytest.mark.parametrize(
        "ms", ["-1", "-0.001", '"8"', "true", "[8]", "{}", "NaN", "Infinity", "-Infinity", "9" * 400]
    )
    async def test_a_time_that_cannot_be_is_unknown_and_loses_no_answer(self, ms: str) -> None:
        entries = ("queue_time_ms", "time_to_first_token_ms", "generation_time_ms", "prompt_ms", "predicted_ms")
        times = "{" + ", ".join(f'"{entry}": {ms}' for entry in entries) + "}"
        for where in ("metrics", "timings"):
            text = f'{{"choices": [{{"message": {{"content": "42"}}}}], "{where}": {times}}}'
            reply = await self.reply(lambda text=text: web.Response(text=text, content_type="application/json"))
            assert reply.text == "42"
            assert (reply.queue_s, reply.ttft_s, reply.decode_s) == (None, None, None)

    @pytest.mark.parametrize("times", ['"soon"', "8", "[8]", "false"])
    async def test_times_of_another_form_are_passed_over(self, times: str) -> None:
        reply = await self.reply(lambda: completion(metrics=json.loads(times), timings=json.loads(times)))
        assert (reply.text, reply.queue_s, reply.ttft_s, reply.decode_s) == ("42", None, None, None)

    @pytest.mark.parametrize(
        "count",
        [
            "-1",
            "-1.0",
            "1.5",
            '"many"',
            '""',
            '"-1"',
            '"nan"',
            "NaN",
            "Infinity",
            "true",
            "[3]",
            '{"a": 1}',
            "1e300",
            "9" * 400,
        ],
    )
    async def test_counts_that_cannot_be_are_unknown_and_lose_no_answer(self, count: str) -> None:
        text = (
            '{"choices": [{"message": {"content": "42"}}], "usage": {"prompt_tokens": '
            f'{count}, "completion_tokens": {count}, "prompt_tokens_details": {{"cached_tokens": {count}}}}}}}'
        )
        reply = await self.reply(lambda: web.Response(text=text, content_type="application/json"))
        assert reply.text == "42"
        assert (reply.input_tokens, reply.output_tokens, reply.cached_tokens) == (None, None, None)

    @pytest.mark.parametrize("count", [12, 12.0, "12", "12.0", " 12 "])
    async def test_counts_may_be_decimal_numbers_and_texts(self, count: Any) -> None:
        usage = {"prompt_tokens": count, "completion_tokens": count, "prompt_tokens_details": {"cached_tokens": count}}
        reply = await self.reply(lambda: completion(usage=usage))
        assert (reply.input_tokens, reply.output_tokens, reply.cached_tokens) == (12, 12, 12)
        assert isinstance(reply.input_tokens, int)

    @pytest.mark.parametrize(
        ("content", "text"),
        [
            ([{"type": "text", "text": "4"}, {"type": "text", "text": "2"}], "42"),
            ([{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "42"}], "42"),
            ([{"type": "image_url", "image_url": {"url": "x"}}, {"type": "output_text", "text": "42"}], "42"),
            ([{"text": "42"}], "42"),
            ([{"type": "text", "text": {"value": "42", "annotations": []}}], "42"),
        ],
    )
    async def test_the_text_parts_of_a_list_are_the_answer(self, content: Any, text: str) -> None:
        choice = {"index": 0, "message": {"role": "assistant", "content": content}}
        reply = await self.reply(lambda: completion(choices=[choice]))
        assert (reply.text, reply.finish_reason) == (text, None)

    async def test_counts_of_0_for_a_text_that_is_there_are_unknown(self) -> None:
        usage = {"prompt_tokens": 0, "completion_tokens": 0, "prompt_tokens_details": {"cached_tokens": 0}}
        reply = await self.reply(lambda: completion(usage=usage))
        assert (reply.input_tokens, reply.output_tokens, reply.cached_tokens) == (None, None, 0)

    async def test_the_answer_is_the_choice_with_the_index_0(self) -> None:
        choices = [{"index": i, "message": {"role": "assistant", "content": f"answer {i}"}} for i in (1, 0, 2)]
        assert (await self.reply(lambda: completion(choices=choices))).text == "answer 0"

    async def test_a_refusal_is_an_answer(self) -> None:
        message = {"role": "assistant", "content": None, "refusal": "I cannot help with that"}
        reply = await self.reply(lambda: completion(choices=[{"message": message, "finish_reason": "stop"}]))
        assert reply.text == "I cannot help with that"

    @pytest.mark.parametrize(
        ("message", "reason", "detail"),
        [
            ({"content": None, "tool_calls": [{"id": "c"}]}, "tool_calls", "is a call of a tool"),
            ({"content": ""}, "content_filter", "content filter removed the reply"),
            ({"content": []}, "stop", "has no text"),
            ({"content": ""}, "stop", "has no text"),
        ],
    )
    async def test_a_reply_without_text_says_why(self, message: dict[str, Any], reason: str, detail: str) -> None:
        choice = {"message": {"role": "assistant", **message}, "finish_reason": reason}
        with pytest.raises(CallFailed, match=detail) as raised:
            await self.reply(lambda: completion(choices=[choice]))
        assert (raised.value.kind, raised.value.attempts) == ("empty answer", 1)

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
    async def test_a_byte_order_mark_before_the_reply_is_passed_over(self, encoding: str) -> None:
        body = json.dumps({"choices": [{"message": {"content": "4²"}}]}, ensure_ascii=False).encode(encoding)
        reply = await self.reply(lambda: web.Response(body=body, content_type="application/json"))
        assert reply.text == "4²"

    @pytest.mark.parametrize(
        "said",
        [
            lambda: web.json_response({"choices": [None]}),
            lambda: web.json_response({"choices": ["one"]}),
            lambda: web.json_response({"choices": [{"message": None}]}),
            lambda: web.json_response({"choices": [{"message": "text"}]}),
            lambda: web.json_response({"choices": [{"message": {"content": 42}}]}),
            lambda: web.json_response({"choices": [{"message": {"content": ["a", "b"]}}]}),
            lambda: web.json_response({"choices": [{"message": {"content": [{"type": "text", "text": 4}]}}]}),
        ],
    )
    async def test_a_choice_of_another_form_is_a_bad_reply(self, said: Callable[[], web.Response]) -> None:
        with pytest.raises(CallFailed) as raised:
            await self.reply(said)
        assert (raised.value.kind, raised.value.attempts) == ("bad reply", 1)

    @pytest.mark.parametrize(
        ("said", "kind", "detail"),
        [
            (
                lambda: web.Response(
                    text="<html><title>502</title><p>Bad <b>Gateway</b></html>", content_type="text/html"
                ),
                "bad reply",
                "the reply is not JSON: an HTML page: 502: Bad Gateway",
            ),
            (lambda: web.Response(body=b"\xff\xfe", content_type="application/json"), "bad reply", ""),
            (lambda: web.Response(status=204), "bad reply", "the reply is empty"),
            (lambda: web.Response(text='{"choices": ' + "[" * 100_000), "bad reply", "the reply is not JSON"),
            (lambda: web.json_response(None), "bad reply", "the reply has no choice"),
            (lambda: web.json_response([]), "bad reply", "the reply has no choice"),
            (lambda: web.json_response("text"), "bad reply", "text"),
            (lambda: web.json_response({}), "bad reply", "the reply has no choice"),
            (lambda: web.json_response({"choices": "several"}), "bad reply", "the reply has no choice"),
            (lambda: web.json_response({"choices": None, "detail": "too long"}), "bad reply", "too long"),
            (lambda: web.json_response({"error": "upstream overloaded"}), "bad reply", "upstream overloaded"),
            (lambda: web.json_response({"error": {"message": "overloaded", "code": 502}}), "http 502", "overloaded"),
            (lambda: web.json_response({"error": {"message": "slow", "code": "429"}}), "http 429", "slow"),
            (
                lambda: web.json_response({"object": "error", "message": "no GPU is free", "code": 503}),
                "http 503",
                "no GPU is free",
            ),
            (
                lambda: web.json_response(
                    {"choices": [{"error": {"message": "gone", "code": 504}, "message": {"content": ""}}]}
                ),
                "http 504",
                "gone",
            ),
            (
                lambda: web.json_response({"choices": [{"finish_reason": "error", "message": {"content": ""}}]}),
                "bad reply",
                "the reply has no choice",
            ),
            (
                lambda: web.json_response(
                    {
                        "error": {
                            "message": "Provider returned error",
                            "metadata": {"raw": '{"error": {"message": "busy"}}'},
                        }
                    }
                ),
                "bad reply",
                "Provider returned error: busy",
            ),
        ],
    )
    async def test_an_error_with_status_200_is_tried_again(
        self, said: Callable[[], web.Response], kind: str, detail: str
    ) -> None:
        faults = 2

        async def handler(_: web.Request) -> web.Response:
            nonlocal faults
            faults -= 1
            return said() if faults >= 0 else completion()

        time_ = Time()
        async with served(handler) as url, client(url, clock=time_.clock, sleep=time_.sleep) as asker:
            reply = await ask(asker)
            assert (reply.text, reply.attempts) == ("42", 3)
            faults = 99
            error = await refusal(asker)
        assert (error.kind, error.attempts) == (kind, MAX_ATTEMPTS)
        assert error.detail.startswith(detail)

    @pytest.mark.parametrize("code", [400, 401, 404, 422])
    async def test_an_error_with_status_200_about_the_request_is_not_tried_again(self, code: int) -> None:
        with pytest.raises(CallFailed, match="wrong") as raised:
            await self.reply(lambda: web.json_response({"error": {"message": "wrong", "code": code}}))
        assert (raised.value.kind, raised.value.attempts) == (f"http {code}", 1)

    async def test_a_finish_reason_of_another_form_is_none(self) -> None:
        choice = {"message": {"role": "assistant", "content": "5"}, "finish_reason": {"why": "so"}}
        assert (await self.reply(lambda: completion(choices=[choice]))).finish_reason is None


class TestSecrets:
    @pytest.mark.parametrize(
        "echo",
        [
            lambda said: web.Response(status=400, text=said),
            lambda said: web.Response(status=500, text=said),
            lambda said: web.json_response({"error": {"message": said}}, status=401),
            lambda said: web.Response(status=429, headers={"Retry-After": said}),
            lambda said: web.Response(text=said, content_type="application/json"),
            lambda said: completion(said, choices=said),
            lambda said: web.json_response({"error": said}),
            lambda said: web.json_response({"error": {"message": said, "code": 429}}),
            lambda said: completion([said]),
        ],
    )
    async def test_a_key_that_the_server_echoes_is_in_no_message_and_no_span(
        self, echo: Callable[[str], web.Response], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("THE_KEY", KEY)
        time_ = Time()

        async def handler(request: web.Request) -> web.Response:
            return echo(request.headers["Authorization"])

        async with served(handler) as url:
            where = Endpoint(base_url=url, model="small", api_key_env="THE_KEY")
            async with client(where, clock=time_.clock, sleep=time_.sleep) as asker:
                with TraceStore(tmp_path, study="small") as traces, traces.example("q1", {}):
                    error = await refusal(asker)
        seen: BaseException | None = error
        while seen is not None:
            assert KEY not in f"{seen} {seen!r} {vars(seen)}"
            seen = seen.__cause__ or seen.__context__
        assert list(tmp_path.iterdir())
        assert not [path for path in tmp_path.iterdir() if KEY in path.read_text()]

    async def test_a_long_page_is_shortened(self) -> None:
        async def handler(_: web.Request) -> web.Response:
            return web.Response(status=400, text="no \n " * 10_000)

        async with served(handler) as url, client(url) as asker:
            error = await refusal(asker)
        assert error.detail.startswith("no no no")
        assert len(error.detail) <= 300

    def test_an_absent_key_is_a_mistake_of_the_asker(self) -> None:
        with pytest.raises(InputError, match="NO_SUCH_VARIABLE"):
            ChatClient("small", Endpoint(base_url="http://127.0.0.1:1/v1", model="m", api_key_env="NO_SUCH_VARIABLE"))


class TestGate:
    async def test_no_more_calls_at_once_than_allowed(self) -> None:
        under_way = most = 0

        async def handler(_: web.Request) -> web.Response:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0.005)
            under_way -= 1
            return completion()

        async with served(handler) as url:
            gate = Gate(concurrency=3)
            async with client(url, gate=gate) as one, client(url, gate=gate) as other:
                await asyncio.gather(*(ask(asker) for asker in [one, other] * 6))
        assert most == 3

    async def test_an_endpoints_own_limit_holds(self) -> None:
        under_way = most = 0

        async def handler(_: web.Request) -> web.Response:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0.005)
            under_way -= 1
            return completion()

        async with served(handler) as url, client(Endpoint(base_url=url, model="m", concurrency=1)) as asker:
            await asyncio.gather(*(ask(asker) for _ in range(4)))
        assert most == 1

    async def test_no_more_calls_a_second_than_allowed(self) -> None:
        gate = Gate(requests_per_s=50)
        entered: list[float] = []
        start = time.monotonic()

        async def enter() -> None:
            async with gate:
                entered.append(time.monotonic() - start)

        await asyncio.gather(*(enter() for _ in range(6)))
        # The i-th may not come before i periods have passed; later is always allowed.
        assert all(at_s >= i / 50 for i, at_s in enumerate(sorted(entered)))

    async def test_a_place_is_given_back_however_a_call_ends(self) -> None:
        gate = Gate(requests_per_s=1, concurrency=1)
        async with gate:
            pass
        with pytest.raises(TimeoutError):  # waits for its turn, with the only place taken
            async with asyncio.timeout(0.02), gate:
                raise AssertionError("the second came within the first second")
        with pytest.raises(ZeroDivisionError):
            async with Gate(concurrency=1) as _:
                raise ZeroDivisionError
        assert gate._slots is not None
        assert not gate._slots.locked()

    async def test_waiting_for_a_place_counts_against_the_deadline(self) -> None:
        gate = Gate(concurrency=1)
        async with gate, client("http://127.0.0.1:1/v1", gate=gate, deadline_s=0.05) as asker:
            error = await refusal(asker)
        assert error.kind == "timeout"


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY"])
async def test_a_proxy_is_not_asked_for_this_machine(
    variable: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(variable, "http://127.0.0.1:1")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)

    async def handler(_: web.Request) -> web.Response:
        return completion()

    async with served(handler) as url:
        external = ExternalEngine(url, model="small")
        endpoint = await external.start(Model(name="small", source="none"), None, EngineOptions(), tmp_path / "log")
        async with client(endpoint) as asker:
            assert (await ask(asker)).text == "42"


@pytest.mark.parametrize(("variable", "user"), [("http_proxy", ""), ("all_proxy", ""), ("http_proxy", "me:secret@")])
async def test_a_proxy_is_the_one_that_the_environment_names(
    variable: str, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str | None]] = []

    async def proxy(request: web.Request) -> web.Response:
        asked.append((str(request.url), request.headers.get("Proxy-Authorization")))
        return completion()

    for name in ("http_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    async with served(proxy) as url:
        monkeypatch.setenv(variable, url.removesuffix("/v1").replace("http://", f"http://{user}"))
        async with client("http://models.invalid/v1") as asker:
            await ask(asker)
            await ask(asker)
        known = "Basic bWU6c2VjcmV0" if user else None  # me:secret
        assert asked == [("http://models.invalid/v1/chat/completions", known)] * 2
        monkeypatch.setenv("no_proxy", ".invalid")
        time_ = Time()
        async with client("http://models.invalid/v1", clock=time_.clock, sleep=time_.sleep) as asker:
            assert (await refusal(asker)).kind == "connection"
    assert len(asked) == 2


async def test_a_proxy_is_asked_for_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[str] = []

    async def proxy(request: web.Request) -> web.Response:
        asked.append(str(request.url))
        return completion()

    async with served(proxy) as url:
        for name in ("HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(name, url.removesuffix("/v1"))
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        external = ExternalEngine("http://models.invalid/v1", model="small")
        endpoint = await external.start(Model(name="small", source="none"), None, EngineOptions(), tmp_path / "log")
        async with client(endpoint) as asker:
            assert (await ask(asker)).text == "42"
    assert asked == ["http://models.invalid/v1/chat/completions"] * 2


async def test_a_closed_client_can_be_used_again() -> None:
    async def handler(_: web.Request) -> web.Response:
        return completion()

    async with served(handler) as url, client(url) as asker:
        await ask(asker)
        await asker.close()
        assert (await ask(asker)).text == "42"


class TestGivenClient:
    """One of the openai package that the caller made."""

    async def test_its_address_and_its_key_are_used_and_it_stays_open(self) -> None:
        got: list[tuple[str, str | None, Any]] = []

        async def handler(request: web.Request) -> web.Response:
            got.append((request.path, request.headers.get("Authorization"), await request.json()))
            return completion(usage={"prompt_tokens": 3, "completion_tokens": 1})

        async with served(handler) as url, openai.AsyncOpenAI(base_url=f"{url}/deployed", api_key=KEY) as api:
            for _ in range(2):
                async with client(Endpoint(base_url="http://127.0.0.1:1/v1", model="m"), api=api) as asker:
                    asker.prepare()
                    reply = await ask(asker)
                    assert (reply.text, reply.input_tokens, reply.output_tokens) == ("42", 3, 1)
        asked = {"model": "m", "messages": QUESTION, "temperature": 0.0, "max_tokens": 8}
        assert got == [("/v1/deployed/chat/completions", f"Bearer {KEY}", asked)] * 2

    async def test_its_key_is_in_no_message_and_the_span_is_joined(self, tmp_path: Path) -> None:
        got: list[str] = []

        async def handler(request: web.Request) -> web.Response:
            got.append(request.headers["traceparent"])
            return web.Response(status=400, text=request.headers["Authorization"])

        async with (
            served(handler) as url,
            openai.AsyncOpenAI(base_url=url, api_key=KEY) as api,
            client(url, api=api) as asker,
        ):
            with TraceStore(tmp_path, study="small") as traces, traces.example("q1", {}):
                error = await refusal(asker)
        assert (error.kind, error.detail) == ("http 400", "Bearer [key]")
        (file,) = tmp_path.iterdir()
        assert got[0].split("-")[2] in file.read_text()

    async def test_the_deadline_is_ours(self) -> None:
        async def handler(_: web.Request) -> web.Response:
            await asyncio.sleep(5)
            return completion()

        async with (
            served(handler) as url,
            openai.AsyncOpenAI(base_url=url, api_key=KEY) as api,
            client(url, api=api, deadline_s=0.2) as asker,
        ):
            error = await refusal(asker)
        assert (error.kind, error.attempts) == ("timeout", 1)


async def test_a_cancelled_call_is_cancelled_and_not_a_failure() -> None:
    arrived, forever = asyncio.Event(), asyncio.Event()

    async def handler(_: web.Request) -> web.Response:
        arrived.set()
        await forever.wait()
        return completion()

    async with served(handler) as url, client(url) as asker:
        call = asyncio.create_task(ask(asker))
        await arrived.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        forever.set()
