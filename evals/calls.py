"""Model calls of one example: seeded, named, written down, and answered from a record where there is one."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from orkester.errors import CallFailed
from orkester.serving.chat import ChatModel, Message, Reply
from orkester.serving.energy.calibration import VOLATILE
from orkester.telemetry import noting_chat_spans

from .block import Call

#: A call that was made before, by its key, with its text; None when there is none. What comes of it is ``reused`` where
#: it is from another block.
Recall: TypeAlias = Callable[[str], Call | None]


def derive_seed(*parts: object) -> int:
    """A seed for one draw, from all that names it. Below 2**31, so that every engine takes it."""
    text = ":".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def engine_fingerprint(facts: Mapping[str, object]) -> str:
    """Names what answers, in 32 hexadecimal digits: the engine's facts without those of a single start.

    The address of an endpoint that someone else runs is one of them: what answers elsewhere is another engine.
    """
    stable = {name: value for name, value in facts.items() if name not in VOLATILE or name == "base_url"}
    return _digest(stable)


class Keys:
    """Names the calls of one example, so that the same call has the same name in every team.

    A key stands for all that an answer depends on: the engine and its options, the model, messages, sampling, the
    sample's number, and what seeds derive from. Who asks is not in it, nor in what team. A call that an example makes
    again, like in all of this, has a key of its own: it is another draw.

    Args:
        engines: fingerprints by model name; calls of a model that has none get no key.
        seed: of the study.
        example: the example's id.
    """

    def __init__(self, engines: Mapping[str, str], *, seed: int, example: str) -> None:
        self._engines = engines
        self._base = (seed, example)
        self._made: Counter[str] = Counter()

    def key(
        self,
        model: str,
        messages: Sequence[Message],
        *,
        temperature: float,
        max_tokens: int,
        sample: int,
        seed: int | None = None,
        response_format: Mapping[str, Any] | None = None,
    ) -> str | None:
        """The key of the call that is about to be made, 32 hexadecimal digits.

        Args:
            model, messages, temperature, max_tokens, sample: see ``ChatModel.chat``.
            seed: where a graph gives one of its own.
            response_format: where the answer is not any text.
        """
        engine = self._engines.get(model)
        if engine is None:
            return None
        parts = [engine, model, messages, float(temperature), max_tokens, sample, seed, *self._base]
        found = _digest(parts if response_format is None else [*parts, response_format])
        before = self._made[found]
        self._made[found] += 1
        return _digest([found, before]) if before else found


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@dataclass
class Notebook:
    """What was asked for one example.

    Attributes:
        keys: names the calls; None to name none, and to keep no text.
        calls: in the order in which they ended.
        missed: whether a call was asked for that no record has, where nothing can be sent.
    """

    keys: Keys | None = None
    calls: list[Call] = field(default_factory=list)
    missed: bool = False

    def in_order(self) -> tuple[Call, ...]:
        """The calls in the order of their start."""
        return tuple(sorted(self.calls, key=lambda call: (call.start_s, call.agent, call.sample)))


@dataclass(frozen=True, kw_only=True)
class Metered:
    """A model that writes down every call of one example, gives each draw its seed, and sends only what it must.

    Attributes:
        inner: is asked.
        notebook: takes the calls.
        base: what seeds derive from, the sample's number apart.
        clock: monotonic seconds.
        origin: when the example was submitted.
        recall: answers at once; None where every call is to be made.
    """

    inner: ChatModel
    notebook: Notebook
    base: tuple[object, ...]
    clock: Callable[[], float]
    origin: float
    recall: Recall | None = None

    @property
    def name(self) -> str:
        """The model's."""
        return self.inner.name

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
        """See ``ChatModel.chat``."""
        start = self.clock()
        keys = self.notebook.keys
        key = None
        if keys is not None:
            key = keys.key(
                self.name,
                messages,
                temperature=temperature,
                max_tokens=max_tokens,
                sample=sample,
                seed=seed,
                response_format=response_format,
            )
        if key is not None and self.recall is not None and (known := self.recall(key)) is not None:
            self.notebook.calls.append(_again(known, agent, sample, start - self.origin))
            return _reply(known)

        def note(latency_s: float, **found: Any) -> None:
            self.notebook.calls.append(
                Call(
                    agent=agent,
                    model=self.name,
                    sample=sample,
                    start_s=start - self.origin,
                    latency_s=latency_s,
                    span_id=f"{spans[-1].span_id:016x}" if spans and spans[-1].is_valid else None,
                    key=key,
                    **found,
                )
            )

        try:
            with noting_chat_spans() as spans:
                reply = await self.inner.chat(
                    messages,
                    agent=agent,
                    temperature=temperature,
                    max_tokens=max_tokens,
                    sample=sample,
                    seed=derive_seed(*self.base, sample) if seed is None else seed,
                    response_format=response_format,
                )
        except CallFailed as error:
            note(self.clock() - start, attempts=error.attempts, failure=error.kind)
            raise
        except asyncio.CancelledError:
            note(self.clock() - start, failure="cancelled")
            raise
        note(
            reply.latency_s,
            input_tokens=reply.input_tokens,
            output_tokens=reply.output_tokens,
            cached_tokens=reply.cached_tokens,
            attempts=reply.attempts,
            queue_s=reply.queue_s,
            ttft_s=reply.ttft_s,
            decode_s=reply.decode_s,
            text=reply.text if key is not None else None,
            finish_reason=reply.finish_reason if key is not None else None,
        )
        return reply


class Missed(Exception):
    """A call that no record has."""


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """A model that answers from records alone, each call taking as long as it took, by the clock of the running loop.

    Attributes:
        name: the model's.
        notebook: takes the calls; it needs keys.
        recall: finds them.
        origin: when the example was submitted, by that clock.
    """

    name: str
    notebook: Notebook
    recall: Recall
    origin: float = 0.0

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
        """See ``ChatModel.chat``.

        Raises:
            CallFailed: as the call did that was recorded.
            Missed: there is no record; the notebook says so too, should a graph think nothing of it.
        """
        clock = asyncio.get_running_loop().time
        start = clock()
        keys = self.notebook.keys
        assert keys is not None
        key = keys.key(
            self.name,
            messages,
            temperature=temperature,
            max_tokens=max_tokens,
            sample=sample,
            seed=seed,
            response_format=response_format,
        )
        known = self.recall(key) if key is not None else None
        if known is None:
            self.notebook.missed = True
            raise Missed
        noted = _again(known, agent, sample, start - self.origin)
        try:
            if known.failure == "cancelled":  # nobody knows when it would have ended
                await asyncio.get_running_loop().create_future()
            await asyncio.sleep(known.latency_s)
        except asyncio.CancelledError:
            cut = replace(noted, latency_s=clock() - start, failure="cancelled", text=None)
            self.notebook.calls.append(cut)
            raise
        self.notebook.calls.append(noted)
        if known.failure is not None:
            raise CallFailed(known.failure, attempts=known.attempts)
        return _reply(known)


@dataclass(frozen=True)
class Silent:
    """A model that answers at once and costs nothing, for warming up."""

    name: str

    async def chat(self, messages: Sequence[Message], **settings: object) -> Reply:
        """See ``ChatModel.chat``."""
        del messages, settings
        return Reply(text="-", input_tokens=None, output_tokens=None, cached_tokens=None, latency_s=0.0)


def _again(known: Call, agent: str, sample: int, start_s: float) -> Call:
    """The record of a call that was made before, as part of another example. The first record alone keeps the text."""
    text = None if known.reused else known.text
    return replace(known, agent=agent, sample=sample, start_s=start_s, text=text)


def _reply(call: Call) -> Reply:
    return Reply(
        text=call.text or "",
        input_tokens=call.input_tokens,
        output_tokens=call.output_tokens,
        cached_tokens=call.cached_tokens,
        latency_s=call.latency_s,
        attempts=call.attempts,
        finish_reason=call.finish_reason,
        queue_s=call.queue_s,
        ttft_s=call.ttft_s,
        decode_s=call.decode_s,
    )
