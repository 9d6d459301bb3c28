"""The model calls of one example: each gets a seed and a key, is recorded, and may be answered from a record."""

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
from orkester.serving.thinking import split_thought, with_answer_only
from orkester.telemetry import collect_chat_spans

from ..records.block import Call

#: Returns the recorded call with a key, including its text; None when no such call is recorded. The call is marked
#: ``reused`` when it was recorded in another block.
Recall: TypeAlias = Callable[[str], Call | None]


def derive_seed(*parts: object) -> int:
    """Derive the seed of one draw from everything that identifies the draw.

    Args:
        parts: For example the study's seed, the phase, the example's id and the number of the sample.

    Returns:
        A number from 0 to 2**31 - 1, which every engine accepts.
    """
    text = ":".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def engine_fingerprint(facts: Mapping[str, object]) -> str:
    """Identify an engine by its facts, without the facts that change at every start.

    The address of an endpoint that someone else runs is part of the fingerprint: another address is another engine.

    Args:
        facts: The facts of the engine, as in ``Block.engines``.

    Returns:
        32 hexadecimal digits.
    """
    stable = {name: value for name, value in facts.items() if name not in VOLATILE or name == "base_url"}
    return _digest(stable)


class Keys:
    """Gives each call of one example a key, so that the same call has the same key in every team.

    A key depends on everything that an answer depends on: the engine and its options, the model, the messages, the
    sampling settings, the number of the sample, and the values from which seeds derive. It does not depend on the agent
    or the team. When an example makes the same call a second time, the second call gets another key, because it is
    another draw.

    Args:
        engines: The fingerprints of the engines, by model name. Calls of a model without a fingerprint get no key.
        seed: The study's seed.
        example: The id of the example.
    """

    def __init__(self, engines: Mapping[str, str], *, seed: int, example: str) -> None:
        self._engines = engines
        self._base = (seed, example)
        self._uses: Counter[str] = Counter()

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
        """Make the key of the next call.

        Args:
            model: The name of the model in the study.
            messages, temperature, max_tokens, sample: See ``ChatModel.chat``.
            seed: The seed that the graph gave; None when it gave none.
            response_format: The format that the answer must have; None for free text.

        Returns:
            32 hexadecimal digits; None when the model has no fingerprint.
        """
        engine = self._engines.get(model)
        if engine is None:
            return None
        parts = [engine, model, messages, float(temperature), max_tokens, sample, seed, *self._base]
        key = _digest(parts if response_format is None else [*parts, response_format])
        earlier_uses = self._uses[key]
        self._uses[key] += 1
        return _digest([key, earlier_uses]) if earlier_uses else key


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@dataclass
class CallLog:
    """The model calls of one example.

    Attributes:
        keys: Gives each call its key. None to record neither keys nor texts.
        calls: The calls in the order in which they ended.
        missed: Whether a call was needed that is not in the records, during a replay that can send no calls.
    """

    keys: Keys | None = None
    calls: list[Call] = field(default_factory=list)
    missed: bool = False

    def in_order(self) -> tuple[Call, ...]:
        """The calls in the order of their start."""
        return tuple(sorted(self.calls, key=lambda call: (call.start_s, call.agent, call.sample)))


@dataclass(frozen=True, kw_only=True)
class RecordingModel:
    """A model that records every call of one example, gives each draw its seed, and sends no call that is recorded.

    Attributes:
        inner: The model that the calls are sent to.
        call_log: The list that the calls are added to.
        base: The values from which seeds derive, without the number of the sample.
        clock: Returns monotonic seconds.
        origin: The time of submission of the example, by ``clock``.
        recall: Returns a recorded call, which is then not sent. None to send every call.
    """

    inner: ChatModel
    call_log: CallLog
    base: tuple[object, ...]
    clock: Callable[[], float]
    origin: float
    recall: Recall | None = None

    @property
    def name(self) -> str:
        """The name of the model."""
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
        keys = self.call_log.keys
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
        if key is not None and self.recall is not None and (recorded := self.recall(key)) is not None:
            self.call_log.calls.append(_for_example(recorded, agent, sample, start - self.origin))
            return _reply(recorded)

        def record(latency_s: float, **fields: Any) -> None:
            self.call_log.calls.append(
                Call(
                    agent=agent,
                    model=self.name,
                    sample=sample,
                    start_s=start - self.origin,
                    latency_s=latency_s,
                    span_id=f"{spans[-1].span_id:016x}" if spans and spans[-1].is_valid else None,
                    key=key,
                    **fields,
                )
            )

        try:
            with collect_chat_spans() as spans:
                reply = await self.inner.chat(
                    messages,
                    agent=agent,
                    temperature=temperature,
                    max_tokens=max_tokens,
                    sample=sample,
                    seed=derive_seed(*self.base, sample) if seed is None else seed,
                    response_format=response_format,
                )
            reply = with_answer_only(reply)  # a replay cuts the recorded text, too, so that both give the same answer
        except CallFailed as error:
            message = error.detail or None
            record(self.clock() - start, attempts=error.attempts, failure=error.kind, failure_message=message)
            raise
        except asyncio.CancelledError:
            record(self.clock() - start, failure="cancelled")
            raise
        record(
            reply.latency_s,
            input_tokens=reply.input_tokens,
            output_tokens=reply.output_tokens,
            cached_tokens=reply.cached_tokens,
            attempts=reply.attempts,
            queue_s=reply.queue_s,
            ttft_s=reply.ttft_s,
            decode_s=reply.decode_s,
            text=_raw_text(reply) if key is not None else None,
            finish_reason=reply.finish_reason,
            thought=reply.thought,
            thought_tokens=reply.thought_tokens,
            thought_estimated=reply.thought_estimated,
        )
        return reply


class CallNotRecorded(Exception):
    """A replay needs a call that is not in the records."""


@dataclass(frozen=True, kw_only=True)
class ReplayModel:
    """A model that answers from records only.

    Each call takes as long as the recorded one, by the clock of the running event loop.

    Attributes:
        name: The name of the model.
        call_log: The list that the calls are added to. It must have keys.
        recall: Returns the recorded calls.
        origin: The time of submission of the example, by the clock of the loop.
    """

    name: str
    call_log: CallLog
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
            CallFailed: The recorded call failed.
            CallNotRecorded: The call is not recorded. ``call_log.missed`` is then true, too, because a graph may catch
                the error.
        """
        clock = asyncio.get_running_loop().time
        start = clock()
        keys = self.call_log.keys
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
        recorded = self.recall(key) if key is not None else None
        if recorded is None:
            self.call_log.missed = True
            raise CallNotRecorded
        call = _for_example(recorded, agent, sample, start - self.origin)
        try:
            if recorded.failure == "cancelled":  # its end is not known, so it never ends here
                await asyncio.get_running_loop().create_future()
            await asyncio.sleep(recorded.latency_s)
        except asyncio.CancelledError:
            cancelled = replace(call, latency_s=clock() - start, failure="cancelled", text=None)
            self.call_log.calls.append(cancelled)
            raise
        self.call_log.calls.append(call)
        if recorded.failure is not None:
            raise CallFailed(recorded.failure, recorded.failure_message or "", recorded.attempts)
        return _reply(recorded)


@dataclass(frozen=True)
class WarmUpModel:
    """A model that answers at once and sends nothing, to run a graph for the first time outside of a measurement.

    Attributes:
        name: The name of the model.
    """

    name: str

    async def chat(self, messages: Sequence[Message], **settings: object) -> Reply:
        """See ``ChatModel.chat``."""
        del messages, settings
        return Reply(text="-", input_tokens=None, output_tokens=None, cached_tokens=None, latency_s=0.0)


def _for_example(recorded: Call, agent: str, sample: int, start_s: float) -> Call:
    """A recorded call as part of the example that uses it. Only the first record of a call keeps the text."""
    text = None if recorded.reused else recorded.text
    return replace(recorded, agent=agent, sample=sample, start_s=start_s, text=text)


def _raw_text(reply: Reply) -> str:
    return reply.text if reply.raw_text is None else reply.raw_text


def _reply(call: Call) -> Reply:
    return Reply(
        text=split_thought(call.text or "").answer,
        input_tokens=call.input_tokens,
        output_tokens=call.output_tokens,
        cached_tokens=call.cached_tokens,
        latency_s=call.latency_s,
        attempts=call.attempts,
        finish_reason=call.finish_reason,
        queue_s=call.queue_s,
        ttft_s=call.ttft_s,
        decode_s=call.decode_s,
        raw_text=call.text,
        thought=call.thought,
        thought_tokens=call.thought_tokens,
        thought_estimated=call.thought_estimated,
    )
