"""The chat client: it asks an OpenAI-compatible endpoint, with deadlines, bounded retries and a span for every call."""

from __future__ import annotations

import asyncio
import copy
import json
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from orkester.errors import CallFailed
from orkester.telemetry import attributes as names
from orkester.telemetry import chat_span, traceparent

from ._completion import parse_completion
from ._retries import REFUSALS, HttpFault, completion_or_fault, with_retries
from ._transport import HttpTransport, OpenAITransport, Transport, Unreachable
from .chat import Message, Reply
from .engines import Endpoint, api_key
from .request_changes import RequestChanges, remedy
from .server_words import shortened

if TYPE_CHECKING:
    from openai import AsyncOpenAI
    from opentelemetry.trace import Span


_UNCHANGED = RequestChanges()
#: The attributes of the span of a call, by the parameter of the request that they repeat.
_SENT = {
    "temperature": names.REQUEST_TEMPERATURE,
    "max_tokens": names.REQUEST_MAX_TOKENS,
    "seed": names.REQUEST_SEED,
}


def _utc_now() -> datetime:
    return datetime.now(UTC)


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


class ChatClient:
    """A ``ChatModel`` that asks a model behind an endpoint.

    Args:
        name: The model's name in the study.
        endpoint: Where the model answers.
        preamble: Messages that are put before every request, after its system message, for example the worked
            examples of a base model.
        stop: Texts that end an answer.
        changes: Changes to every request.
        deadline_s: The time limit of one call, including its retries and the waits before them.
        api: A client of the ``openai`` package that sends the requests, with its own address and key; None to send
            them over aiohttp. It is for features of that package only, such as Azure's addresses and tokens. The
            package's own retries and time limits are not used, and the caller closes the client.
        gate: The limits that this client shares with other clients of the endpoint; None for the limits of
            ``endpoint``.
        rng: The random source for the waits before retries.
        sleep: The function that waits for a number of seconds.
        clock: The clock, in monotonic seconds.
        now: The wall clock, for a date until which the server asks to wait.

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
        changes: RequestChanges = _UNCHANGED,
        deadline_s: float = 60.0,
        api: AsyncOpenAI | None = None,
        gate: Gate | None = None,
        rng: random.Random | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        self.name = name
        self._endpoint = endpoint
        self._preamble = tuple(preamble)
        self._stop = list(stop)
        self._changes = changes
        self._deadline_s = deadline_s
        self._gate = gate or Gate(endpoint.requests_per_s, endpoint.concurrency)
        self._rng = rng or random.Random()
        self._sleep = sleep
        self._clock = clock
        self._now = now
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

        Broken connections and answers that say nothing about the request are retried, with at most ``MAX_ATTEMPTS``
        attempts and never past the deadline: HTTP 408, 409, 425, 429 and 5xx, also inside an answer with status 200,
        and an answer with status 200 that is an error or a page instead of a completion.
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
        attributes = {**self._attributes, names.AGENT_NAME: agent, names.CALL_SAMPLE: sample}
        for name, attribute in _SENT.items():
            if name in request and name not in self._changes.drop:
                attributes[attribute] = request[name]
        with chat_span(self.name, attributes) as span:
            try:
                reply = await self._with_retries(self._changes.apply(request))
            except CallFailed as error:
                span.set_attribute(names.ERROR_TYPE, error.kind)
                span.set_attribute(names.CALL_ATTEMPTS, error.attempts)
                raise
            except asyncio.CancelledError:
                span.set_attribute(names.ERROR_TYPE, "cancelled")
                raise
            _describe(span, reply)
            return reply

    def without_preamble(self) -> ChatClient:
        """The same client, whose requests do not begin with the preamble. It shares the connections and the limits."""
        bare = copy.copy(self)
        bare._preamble = ()
        return bare

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
        try:
            completion, attempts = await with_retries(
                lambda remaining_s: self._attempt(body, remaining_s),
                deadline_s=self._deadline_s,
                rng=self._rng,
                sleep=self._sleep,
                clock=self._clock,
            )
        except CallFailed as error:
            if error.kind in REFUSALS and (better := remedy(error.detail, self.name, self._changes)):
                raise CallFailed(error.kind, f"{error.detail.removesuffix('.')}; {better}", error.attempts) from None
            raise
        return parse_completion(completion, self._clock() - start, attempts)

    async def _attempt(self, body: bytes, remaining_s: float) -> Any:
        """Make one attempt. The result is the completion as parsed JSON, or an ``HttpFault``."""
        parent = traceparent()
        secrets = (self._key,) if self._key else ()
        try:
            # This is the only time limit. A limit for each read would never end a call whose server sends its answer
            # in many small pieces.
            async with asyncio.timeout(remaining_s), self._gate:
                answer = await self._transport.post(body, {"traceparent": parent} if parent else {})
        except TimeoutError:
            return HttpFault(kind="timeout", detail=f"no answer within {self._deadline_s:g} s", temporary=False)
        except Unreachable as error:
            return HttpFault(kind="connection", detail=shortened(str(error), secrets), temporary=True)
        except ValueError as error:
            detail = shortened(f"{type(error).__name__}: {error}", secrets)
            return HttpFault(kind="bad reply", detail=detail, temporary=False)
        return completion_or_fault(answer.status, answer.headers, answer.body, secrets=secrets, now=self._now)


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
