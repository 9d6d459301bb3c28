"""An agent: a role played by a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orkester.serving.chat import ChatModel, Message, Reply
from orkester.telemetry import agent_span


@dataclass(frozen=True, kw_only=True)
class Role:
    """A prompt with sampling settings.

    Attributes:
        name: the agent's name in records, spans and drawings.
        instruction: system message; none when empty, for models that know no such thing.
        temperature: 0 is greedy.
        max_tokens: most tokens of one answer.
    """

    name: str
    instruction: str = ""
    temperature: float = 0.0
    max_tokens: int = 64


@dataclass(frozen=True)
class Agent:
    """A role on a model. Calling it asks the model once, inside an ``invoke_agent`` span."""

    role: Role
    model: ChatModel

    async def __call__(self, content: str | Sequence[object], *, sample: int = 0) -> Reply:
        """Ask.

        Args:
            content: text, or OpenAI content parts (images pass to vision models).
            sample: tells apart draws that share all else.

        Raises:
            CallFailed: the call failed after its retries.
        """
        messages: list[Message] = [{"role": "user", "content": content}]
        if self.role.instruction:
            messages.insert(0, {"role": "system", "content": self.role.instruction})
        with agent_span(self.role.name, model=self.model.name):
            return await self.model.chat(
                messages,
                agent=self.role.name,
                temperature=self.role.temperature,
                max_tokens=self.role.max_tokens,
                sample=sample,
            )
