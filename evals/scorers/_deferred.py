"""The interface of scorers that take long: they run programs or ask a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from orkester.serving.chat import ChatModel, Reply


@dataclass(frozen=True, kw_only=True)
class Answered:
    """An answer that is to be scored.

    Attributes:
        question: The question: text, or a list of OpenAI content parts.
        answer: The answer of the team.
        expected: The right answer from the data; see ``Scorer.score``.
    """

    question: Any
    answer: str
    expected: Any


@dataclass(frozen=True, kw_only=True)
class Score:
    """The score of an answer.

    Attributes:
        value: A number from 0 (wrong) to 1 (right).
        detail: How the score came about, as JSON values by name. It is kept in the record of the example.
        replies: The replies of the models that were asked for it.
    """

    value: float
    detail: Mapping[str, Any] = field(default_factory=dict)
    replies: Sequence[Reply] = ()


@runtime_checkable
class DeferredScorer(Protocol):
    """Decides how good an answer is, and takes long for it.

    It is asked after the measurement window is closed, so that no team pays for it. It is asked once in a run for each
    example and answer.
    """

    @property
    def name(self) -> str:
        """The name of the scorer in study files."""
        ...

    @property
    def version(self) -> str:
        """The version of the scorer. It must change when the same answer may get another score."""
        ...

    @property
    def models(self) -> Sequence[str]:
        """The names of the models of the study that it asks; empty for none."""
        ...

    @property
    def calls_per_answer(self) -> int:
        """The number of model calls for one answer."""
        ...

    @property
    def at_once(self) -> int | None:
        """How many answers may be scored at the same time; None for the study's ``measure.concurrency``."""
        ...

    def fault(self, expected: Any) -> str:
        """Why no answer could be right with this expected answer, for people; empty if one can.

        Args:
            expected: The right answer from the data; see ``Scorer.score``.
        """
        ...

    async def evaluate(self, answered: Answered, models: Mapping[str, ChatModel]) -> Score:
        """Score an answer. The method must accept any text.

        Args:
            answered: The answer, with its question and the right answer.
            models: The models of ``models``, by name. They get no solved examples of the task in their prompts.

        Raises:
            CallFailed: A model did not answer. The answer is then scored again later, or the run ends.
        """
        ...

    def key(self, answer: str) -> str:
        """See ``Scorer.key``."""
        ...
