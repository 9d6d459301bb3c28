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
    """A role played by a model. A call of the agent makes one call of the model, inside an ``invoke_agent`` span.

    Attributes:
        role: The role that the agent plays.
        model: The model that answers this agent's calls.
        task: The task's instruction; see ``Role.answers``.
        temperature: The sampling temperature if the role does not set one.
        max_tokens: The most tokens of one reply if the role does not set a limit.
    """

    role: Role
    model: ChatModel
    task: str = ""
    temperature: float = 0.0
    max_tokens: int = 64

    async def __call__(self, question: Any, *, drafts: Sequence[str] = (), sample: int = 0) -> Reply:
        """Ask the model once.

        Args:
            question: Text, or OpenAI content parts (images are passed on to vision models).
            drafts: All drafts so far, the newest one last. The role selects the drafts that it sees.
            sample: The number of the draw, which distinguishes calls that are otherwise equal.

        Returns:
            The model's reply.

        Raises:
            CallFailed: The call failed after its retries.
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
