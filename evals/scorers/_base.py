"""The interface of scorers, and the comparison of texts that they share."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Scorer(Protocol):
    """Decides how good an answer is, and whether two answers are the same."""

    @property
    def name(self) -> str:
        """The name of the scorer in study files."""
        ...

    @property
    def version(self) -> str:
        """The version of the scorer. It must change when the same answer may get another score."""
        ...

    def score(self, answer: str, expected: Any) -> float:
        """Score an answer. The method must accept any text.

        Args:
            answer: The answer of the team.
            expected: The right answer from the data. When it is a list, each entry is a right answer.

        Returns:
            A number from 0 (wrong) to 1 (right).
        """
        ...

    def key(self, answer: str) -> str:
        """Convert an answer to the form in which votes are compared: answers with the same key are the same vote.

        Args:
            answer: The answer of an agent.
        """
        ...


def entries(expected: Any) -> Sequence[Any]:
    """The right answers as they are in the data.

    Args:
        expected: See ``Scorer.score``.
    """
    return expected if isinstance(expected, (list, tuple)) else [expected]


def accepted(expected: Any) -> list[str]:
    """The right answers as texts.

    Args:
        expected: See ``Scorer.score``.
    """
    return [written(entry) for entry in entries(expected)]


def written(right: Any) -> str:
    """A right answer as a text: an object as JSON.

    Args:
        right: One entry of what is expected.
    """
    return json.dumps(right, ensure_ascii=False) if isinstance(right, dict) else str(right)
