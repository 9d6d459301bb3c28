"""An agent: a role played by a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from orkester.serving.chat import ChatModel, Reply
from orkester.telemetry import agent_span

from .role import Role


@dataclass(frozen=True, kw_only=True)
class Agent:
    """A role on a model. Calling it asks the model once, inside an ``invoke_agent`` span.

    Attributes:
        role: how it works.
        model: is asked.
        task: the task's instruction; see ``Role.answers``.
        temperature: where the role has none of its own.
        max_tokens: where the role has none of its own.
    """

    role: Role
    model: ChatModel
    task: str = ""
    temperature: float = 0.0
    max_tokens: int = 64

    async def __call__(self, question: Any, *, drafts: Sequence[str] = (), sample: int = 0) -> Reply:
        """Ask.

        Args:
            question: text, or OpenAI content parts (images pass to vision models).
            drafts: what was drafted so far, the last one last; the role shows those that it sees.
            sample: tells apart draws that share all else.

        Raises:
            CallFailed: the call failed after its retries.
        """
        role = self.role
        with agent_span(role.name, model=self.model.name):
            return await self.model.chat(
                role.messages(question, drafts=drafts, task=self.task),
                agent=role.name,
                temperature=self.temperature if role.temperature is None else role.temperature,
                max_tokens=self.max_tokens if role.max_tokens is None else role.max_tokens,
                sample=sample,
                response_format=role.response_format,
            )
