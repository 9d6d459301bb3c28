"""The chat client: it asks an OpenAI-compatible endpoint, with deadlines, bounded retries and a span for every call."""

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

from ._completion import parse_completion
from ._transport import HttpTransport, OpenAITransport, Transport, Unreachable
from .chat import Message, Reply
from .engines import Endpoint, api_key

if TYPE_CHECKING:
    from openai import AsyncOpenAI
    from opentelemetry.trace import Span

#: The most attempts of one call, the first one included.
MAX_ATTEMPTS = 4
#: The wait before a retry is drawn at random between 0 and a limit. The limit starts at ``FIRST_WAIT_S`` and doubles
#: with each retry up to ``LONGEST_WAIT_S``. So callers that failed at the same time do not retry at the same time
#: ("full jitter": Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
FIRST_WAIT_S = 0.25
LONGEST_WAIT_S = 8.0
_MAX_DETAIL_CHARACTERS = 300


class Gate:
    """The limits that the owner of an endpoint sets. All clients of the endpoint share one gate.

    Args:
        requests_per_s: The most requests per second, evenly spaced; None for no limit.
        concurrency: The most requests at the same time; None for no limit.
    """

    def __init__(self, requests_per_s: float | None = None, concurrency: int | None = None) -> None:
        from asyncio_throttle import Throttler

        period_s = 1 / requests_per_s if requests_per_s else 0.0
        self._rate = Throttler(1, period=period_s, retry_interval=min(0.01, period_s / 4)) if period_s else None
        self._slots = asyncio.Semaphore(concurrency) if concurrency else None

    async def __aenter__(self) -> None:
        if self._slots is not None:
            await self._slots.acquire()
        if self._rate is not None:
            try:
                await self._rate.acquire()
            except BaseException:
                if self._slots is not None:
                    self._slots.release()
                raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._slots is not None:
            self._slots.release()


@dataclass(frozen=True)
class _Fault:
    """Why an attempt failed."""

    kind: str
    detail: str
    retriable: bool
    retry_after_s: float = 0.0


class ChatClient:
    """A ``ChatModel`` that asks a model behind an endpoint.

    Args:
        name: The model's name in the study.
        endpoint: Where the model answers.
        preamble: Messages that are put before every request, after its system message, for example the worked
            examples of a base model.
        stop: Texts that end an answer.
        deadline_s: The time limit of one call, including its retries and the waits before them.
        api: A client of the ``openai`` package that sends the requests, with its own address and key; None to send
            them over aiohttp. It is for features of that package only, such as Azure's addresses and tokens. The
            package's own retries and time limits are not used, and the caller closes the client.
        gate: The limits that this client shares with other clients of the endpoint; None for the limits of
            ``endpoint``.
        rng: The random source for the waits before retries.
        sleep: The function that waits for a number of seconds.
        clock: The clock, in monotonic seconds.

    Raises:
        InputError: The endpoint needs a key that is not in the environment.
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
        address = urlsplit(endpoint.base_url)
        self._attributes: dict[str, Any] = {
            names.PROVIDER_NAME: str(endpoint.facts.get("engine", "openai")),
            names.SERVER_ADDRESS: address.hostname or "",
            names.OPENINFERENCE_KIND: "LLM",
        }
        if address.port:
            self._attributes[names.SERVER_PORT] = address.port

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
        """Ask the model once. See ``ChatModel.chat`` for the arguments.

        HTTP 429, HTTP 5xx and broken connections are retried, with at most ``MAX_ATTEMPTS`` attempts and never past
        the deadline.
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
        """Import aiohttp and open a session now, so that the first call need not. A running event loop is needed."""
        self._transport.prepare()

    async def close(self) -> None:
        """Close the connections. The client may be used again afterwards."""
        await self._transport.close()

    def _with_preamble(self, messages: Sequence[Message]) -> list[Message]:
        if not self._preamble:
            return list(messages)
        system_messages = 1 if messages and messages[0].get("role") == "system" else 0
        return [*messages[:system_messages], *self._preamble, *messages[system_messages:]]

    async def _with_retries(self, request: Mapping[str, Any]) -> Reply:
        start = self._clock()
        body = json.dumps(request).encode()
        for attempt in range(1, MAX_ATTEMPTS + 1):
            remaining_s = self._deadline_s - (self._clock() - start)
            outcome = await self._attempt(body, remaining_s)
            if not isinstance(outcome, _Fault):
                return parse_completion(outcome, self._clock() - start, attempt)
            longest_wait_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** (attempt - 1))
            wait_s = max(outcome.retry_after_s, self._rng.uniform(0, longest_wait_s))
            remaining_s = self._deadline_s - (self._clock() - start)
            if not outcome.retriable or attempt == MAX_ATTEMPTS or wait_s >= remaining_s:
                raise CallFailed(outcome.kind, outcome.detail, attempt)
            await self._sleep(wait_s)
        raise AssertionError("the last attempt returns or raises")

    async def _attempt(self, body: bytes, remaining_s: float) -> Any:
        """Make one attempt. The result is the completion as parsed JSON, or a ``_Fault``."""
        parent = traceparent()
        try:
            # This is the only time limit. A limit for each read would never end a call whose server sends its answer
            # in many small pieces.
            async with asyncio.timeout(remaining_s), self._gate:
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
        """A server's message, shortened, and without the key if the server sent it back."""
        if self._key:
            text = text.replace(self._key, "[key]")
        text = " ".join(text.split())
        return text if len(text) <= _MAX_DETAIL_CHARACTERS else text[: _MAX_DETAIL_CHARACTERS - 1] + "…"


def _retry_after_s(headers: Mapping[str, str]) -> float:
    """The seconds that the server asks the client to wait; 0 if there is no such header or it has a date."""
    try:
        return max(0.0, float(headers.get("retry-after", "0")))
    except ValueError:
        return 0.0


def _describe(span: Span, reply: Reply) -> None:
    """Add the attributes that are known after the call to its span."""
    if not span.is_recording():
        return
    attributes = {
        names.USAGE_INPUT_TOKENS: reply.input_tokens,
        names.USAGE_OUTPUT_TOKENS: reply.output_tokens,
        names.USAGE_CACHED_TOKENS: reply.cached_tokens,
        names.CALL_ATTEMPTS: reply.attempts,
        names.CALL_QUEUE_S: reply.queue_s,
        names.CALL_TTFT_S: reply.ttft_s,
        names.CALL_DECODE_S: reply.decode_s,
        names.CALL_THOUGHT_TOKENS: reply.thought_tokens if reply.thought else None,
        names.CALL_THOUGHT_ESTIMATED: reply.thought_estimated if reply.thought_tokens else None,
    }
    span.set_attributes({name: value for name, value in attributes.items() if value is not None})
    if reply.finish_reason:
        span.set_attribute(names.RESPONSE_FINISH_REASONS, [reply.finish_reason])
