"""What a model is to everything above it: something that answers a list of messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

#: One message of OpenAI's chat format: ``{"role": …, "content": text or a list of content parts}``.
Message: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One answer of a model.

    Attributes:
        text: what it said, surrounding white space removed.
        input_tokens: prompt tokens as the server counted them, cached ones included; None when it did not say.
        output_tokens: generated tokens; None when the server did not say.
        cached_tokens: prompt tokens read from the prefix cache; None when the server did not say.
        latency_s: from submission to the whole answer, waiting for retries included.
        attempts: 1 when the first try succeeded.
        finish_reason: as the server gave it, ``length`` when ``max_tokens`` cut the answer.
        queue_s: in the server's queue, before it began with the prompt; None when the server did not say.
        ttft_s: from then to the first token; None when the server did not say.
        decode_s: from the first token to the last; None when the server did not say.
    """

    text: str
    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    latency_s: float
    attempts: int = 1
    finish_reason: str | None = None
    queue_s: float | None = None
    ttft_s: float | None = None
    decode_s: float | None = None


class ChatModel(Protocol):
    """A model that can be asked."""

    @property
    def name(self) -> str:
        """The model's name in the study."""
        ...

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
        """Ask once.

        Args:
            messages: the conversation, in OpenAI's format.
            agent: who asks; ends up in records and spans.
            temperature: 0 is greedy.
            max_tokens: most tokens of the answer.
            sample: tells apart draws that share all else (the voters of a vote), so that seeds can differ.
            seed: for the sampler, where the engine takes one.
            response_format: form of the answer, in OpenAI's format; None for any text.

        Raises:
            CallFailed: the call failed after its retries.
        """
        ...
