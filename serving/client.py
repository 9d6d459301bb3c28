"""Asks an OpenAI-compatible endpoint: deadlines, bounded retries, usage, and a span for every call."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from orkester.errors import CallFailed
from orkester.telemetry import attributes as names
from orkester.telemetry import chat_span, traceparent

from ._completion import reply_of
from ._transport import HttpTransport, OpenAITransport, Transport, Unreachable
from .chat import Message, Reply
from .engines import Endpoint, api_key

if TYPE_CHECKING:
    from openai import AsyncOpenAI
    from opentelemetry.trace import Span

#: Most tries of one call, the first included.
MAX_ATTEMPTS = 4
#: Waits before a retry are drawn from 0 to this, doubled each time ("full jitter": Brooker, "Exponential Backoff And
#: Jitter", AWS Architecture Blog, 2015), so that callers that failed together do not come back together.
FIRST_WAIT_S = 0.25
LONGEST_WAIT_S = 8.0
_DETAIL = 300


class Gate:
    """What the owner of an endpoint allows, shared by all clients that ask it.

    Args:
        requests_per_s: most requests a second, evenly spaced; None for no limit.
        concurrency: most requests at once; None for no limit.
    """

    def __init__(self, requests_per_s: float | None = None, concurrency: int | None = None) -> None:
        from asyncio_throttle import Throttler

        period_s = 1 / requests_per_s if requests_per_s else 0.0
        self._rate = Throttler(1, period=period_s, retry_interval=min(0.01, period_s / 4)) if period_s else None
        self._places = asyncio.Semaphore(concurrency) if concurrency else None

    async def __aenter__(self) -> None:
        if self._places is not None:
            await self._places.acquire()
        if self._rate is not None:
            try:
                await self._rate.acquire()
            except BaseException:
                if self._places is not None:
                    self._places.release()
                raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._places is not None:
            self._places.release()


@dataclass(frozen=True)
class _Fault:
    """Why a try failed."""

    kind: str
    detail: str
    retriable: bool
    retry_after_s: float = 0.0


class ChatClient:
    """A model behind an endpoint; a ``ChatModel``.

    Args:
        name: the model's name in the study.
        endpoint: where it answers.
        preamble: messages put before every request, after its system message: a base model's worked examples.
        stop: texts that end an answer.
        deadline_s: of one call, its retries and waits included.
        api: asks through this client of the ``openai`` package, whose address and key are its own, rather than over
            connections of our own: for what only that package does, Azure's addresses and tokens for one. Its retries
            and time limits are not used; closing it is left to whoever made it.
        gate: limits shared with other clients of the endpoint; the endpoint's own limits if None.
        rng: draws the waits before retries.
        sleep: waits.
        clock: monotonic seconds.

    Raises:
        InputError: the endpoint needs a key that is not in the environment.
    """

    def __init__(
        self,
        name: str,
        endpoint: Endpoint,
        *,
        preamble: Sequence[Message] = (),
        stop: Sequence[str] = (),
        deadline_s: float = 60.0,
        api: AsyncOpenAI | None = None,
        gate: Gate | None = None,
        rng: random.Random | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._endpoint = endpoint
        self._preamble = tuple(preamble)
        self._stop = list(stop)
        self._deadline_s = deadline_s
        self._gate = gate or Gate(endpoint.requests_per_s, endpoint.concurrency)
        self._rng = rng or random.Random()
        self._sleep = sleep
        self._clock = clock
        self._key = api.api_key if api else api_key(endpoint)
        self._transport: Transport = OpenAITransport(api) if api else HttpTransport(endpoint.base_url, self._key)
        where = urlsplit(endpoint.base_url)
        self._attributes: dict[str, Any] = {
            names.PROVIDER_NAME: str(endpoint.facts.get("engine", "openai")),
            names.SERVER_ADDRESS: where.hostname or "",
            names.OPENINFERENCE_KIND: "LLM",
        }
        if where.port:
            self._attributes[names.SERVER_PORT] = where.port

    async def chat(
        self,
        messages: Sequence[Message],
        *,
        agent: str,
        temperature: float,
        max_tokens: int,
        sample: int = 0,
        seed: int | None = None,
        response_format: Mapping[str, Any] | None = None,
    ) -> Reply:
        """Ask once; see ``ChatModel.chat``.

        HTTP 429, 5xx and broken connections are tried again, up to ``MAX_ATTEMPTS`` tries and never past the deadline.
        """
        request: dict[str, Any] = {
            "model": self._endpoint.model,
            "messages": self._with_preamble(messages),
            "temperature": temperature,
            "max_tokens": max_tokens,
        }
        if self._stop:
            request["stop"] = self._stop
        if seed is not None and self._endpoint.takes_seed:
            request["seed"] = seed
        if response_format is not None:
            request["response_format"] = response_format
        attributes = {
            **self._attributes,
            names.AGENT_NAME: agent,
            names.REQUEST_TEMPERATURE: temperature,
            names.REQUEST_MAX_TOKENS: max_tokens,
            names.CALL_SAMPLE: sample,
        }
        if "seed" in request:
            attributes[names.REQUEST_SEED] = seed
        with chat_span(self.name, attributes) as span:
            try:
                reply = await self._with_retries(request)
            except CallFailed as error:
                span.set_attribute(names.ERROR_TYPE, error.kind)
                span.set_attribute(names.CALL_ATTEMPTS, error.attempts)
                raise
            except asyncio.CancelledError:
                span.set_attribute(names.ERROR_TYPE, "cancelled")
                raise
            _describe(span, reply)
            return reply

    def prepare(self) -> None:
        """Do now what the first call would have to: import aiohttp, open a session. Needs a running event loop."""
        self._transport.prepare()

    async def close(self) -> None:
        """Give connections back; the client may be used again."""
        await self._transport.close()

    def _with_preamble(self, messages: Sequence[Message]) -> list[Message]:
        if not self._preamble:
            return list(messages)
        head = 1 if messages and messages[0].get("role") == "system" else 0
        return [*messages[:head], *self._preamble, *messages[head:]]

    async def _with_retries(self, request: Mapping[str, Any]) -> Reply:
        start = self._clock()
        body = json.dumps(request).encode()
        for attempt in range(1, MAX_ATTEMPTS + 1):
            left_s = self._deadline_s - (self._clock() - start)
            outcome = await self._try(body, left_s)
            if not isinstance(outcome, _Fault):
                return reply_of(outcome, self._clock() - start, attempt)
            longest_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** (attempt - 1))
            wait_s = max(outcome.retry_after_s, self._rng.uniform(0, longest_s))
            left_s = self._deadline_s - (self._clock() - start)
            if not outcome.retriable or attempt == MAX_ATTEMPTS or wait_s >= left_s:
                raise CallFailed(outcome.kind, outcome.detail, attempt)
            await self._sleep(wait_s)
        raise AssertionError("the last attempt returns or raises")

    async def _try(self, body: bytes, left_s: float) -> Any:
        """One try: the completion as parsed JSON, or why there is none."""
        parent = traceparent()
        try:
            # The time limit is ours alone: one for each read would never be met by a server that trickles.
            async with asyncio.timeout(left_s), self._gate:
                answer = await self._transport.post(body, {"traceparent": parent} if parent else {})
            if 200 <= answer.status < 300:
                return json.loads(answer.body)
        except TimeoutError:
            return _Fault("timeout", f"no answer within {self._deadline_s:g} s", retriable=False)
        except Unreachable as error:
            return _Fault("connection", self._safe(str(error)), retriable=True)
        except (ValueError, RecursionError) as error:
            return _Fault("bad reply", self._safe(f"{type(error).__name__}: {error}"), retriable=False)
        return _Fault(
            f"http {answer.status}",
            self._safe(answer.body.decode(errors="replace")),
            retriable=answer.status == 429 or answer.status >= 500,
            retry_after_s=_retry_after_s(answer.headers),
        )

    def _safe(self, text: str) -> str:
        """What a server said, shortened, with the key taken out should it have been echoed."""
        if self._key:
            text = text.replace(self._key, "[key]")
        text = " ".join(text.split())
        return text if len(text) <= _DETAIL else text[: _DETAIL - 1] + "…"


def _retry_after_s(headers: Mapping[str, str]) -> float:
    """Seconds the server asks to wait; 0 when it does not say, or says it as a date."""
    try:
        return max(0.0, float(headers.get("retry-after", "0")))
    except ValueError:
        return 0.0


def _describe(span: Span, reply: Reply) -> None:
    """Put what is known after the call on its span."""
    if not span.is_recording():
        return
    found = {
        names.USAGE_INPUT_TOKENS: reply.input_tokens,
        names.USAGE_OUTPUT_TOKENS: reply.output_tokens,
        names.USAGE_CACHED_TOKENS: reply.cached_tokens,
        names.CALL_ATTEMPTS: reply.attempts,
        names.CALL_QUEUE_S: reply.queue_s,
        names.CALL_TTFT_S: reply.ttft_s,
        names.CALL_DECODE_S: reply.decode_s,
    }
    span.set_attributes({name: value for name, value in found.items() if value is not None})
    if reply.finish_reason:
        span.set_attribute(names.RESPONSE_FINISH_REASONS, [reply.finish_reason])
