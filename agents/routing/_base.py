"""The interfaces of routing policies."""

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


@dataclass(frozen=True, kw_only=True)
class RoutingRecord:
    """One answer from which a learning policy learns.

    Attributes:
        question: Text, or OpenAI content parts.
        choice: The name of the model that answered alone.
        score: The score of its answer, 0 to 1.
        energy_j: The joules of its calls; None when they are not known.
    """

    question: Any
    choice: str
    score: float
    energy_j: float | None = None


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


@runtime_checkable
class LearningPolicy(RoutingPolicy, Protocol):
    """A routing policy that learns from answers which choice is right for which question.

    Attributes:
        examples: The largest number of the search's examples that it learns from.
    """

    examples: int

    def fitted(self, records: Sequence[RoutingRecord]) -> RoutingPolicy:
        """Learn from answers to examples of the search.

        The search measures the fitted policy on the questions that it was fitted on. So it must decide about each of
        them as if it had never seen that question: by cross-fitting, for example.

        Args:
            records: The scored answers of each choice, all choices on the same questions.

        Returns:
            The fitted policy. The same records in the same order give the same policy.
        """
        ...


def text_of(question: Any) -> str:
    """The text of a question.

    Args:
        question: Text, or OpenAI content parts.

    Returns:
        The text, or the texts of all text parts, a line each.
    """
    if isinstance(question, str):
        return question
    if isinstance(question, Sequence):
        texts = [part["text"] for part in question if isinstance(part, dict) and isinstance(part.get("text"), str)]
        return "\n".join(texts)
    return str(question)
