"""The interface of a routing policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable


@dataclass(frozen=True, kw_only=True)
class RoutingRequest:
    """The information that a routing policy decides from.

    Attributes:
        question: Text, or OpenAI content parts.
        choices: The names to choose from, the cheapest first; at least one.
        drafts: The answers that agents have given to the question so far.
    """

    question: Any
    choices: Sequence[str]
    drafts: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Route:
    """A decision.

    Attributes:
        choice: One of the request's choices.
        reason: The reason in a few words, for people who read traces.
    """

    choice: str
    reason: str


@runtime_checkable
class RoutingPolicy(Protocol):
    """Decides which model or agent gets a question. The same request always gets the same decision."""

    def route(self, request: RoutingRequest) -> Route:
        """Choose the model or agent that gets a question.

        Args:
            request: The question and the choices.

        Returns:
            One of the request's choices, with the reason.
        """
        ...
