"""The interface of a model: it answers a list of messages. All rooms above serving/ use models in this way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

#: One message of OpenAI's chat format: ``{"role": …, "content": text or a list of content parts}``.
Message: TypeAlias = Mapping[str, Any]
#: Whether a reply begins with a thought: ``""`` if it does not, ``answered`` if an answer follows the thought, and
#: ``unanswered`` if none does, usually because ``max_tokens`` ended the thought.
Thought: TypeAlias = Literal["", "answered", "unanswered"]


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One answer of a model.

    Attributes:
        text: The text of the answer, without the thought before it, left-over stop tokens and white space around it;
            see ``serving.thinking``. It is empty if ``max_tokens`` ended the reply before the answer.
        input_tokens: The number of prompt tokens, cached ones included; None if the server does not report it.
        output_tokens: The number of generated tokens, those of the thought included; None if the server does not
            report it.
        cached_tokens: The number of prompt tokens read from the prefix cache; None if the server does not report it.
        latency_s: The seconds from the call to the whole answer, with retries and the waits before them.
        attempts: The number of attempts; 1 if the first one succeeded.
        finish_reason: The server's reason for the end of the answer: ``length`` if ``max_tokens`` cut it off.
        queue_s: The seconds in the server's queue, before work on the prompt began; None if the server does not
            report it.
        ttft_s: The seconds from the end of the queue to the first token; None if the server does not report it.
        decode_s: The seconds from the first token to the last; None if the server does not report it.
        raw_text: The text before something was cut from it; None if nothing was cut.
        thought: Whether the reply begins with a thought, and whether an answer follows it.
        thought_tokens: The number of tokens of the thought; 0 without a thought, None if it is not known.
        thought_estimated: Whether ``thought_tokens`` is an estimate from the share of the thought in the characters.
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
    raw_text: str | None = None
    thought: Thought = ""
    thought_tokens: int | None = 0
    thought_estimated: bool = False


class ChatModel(Protocol):
    """A model that answers chat messages."""

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
        """Ask the model once.

        Args:
            messages: The conversation in OpenAI's format.
            agent: The name of the agent that asks, for records and spans.
            temperature: The sampling temperature; 0 is greedy.
            max_tokens: The most tokens of the answer.
            sample: The number of the draw. It distinguishes calls that are otherwise equal (the voters of a vote), so
                that each gets its own seed.
            seed: The seed for sampling, if the engine takes one.
            response_format: The form of the answer in OpenAI's format; None for any text.

        Returns:
            The model's answer.

        Raises:
            CallFailed: The call failed after its retries.
        """
        ...
