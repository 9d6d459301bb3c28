"""The scorer ``contains``: an answer is right when it contains the expected text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from ._base import accepted, plain_text


@dataclass(frozen=True)
class Contains:
    """Looks for whole words, with case, accents, punctuation and articles removed.

    An answer that names several candidates is right when one of them is: limit ``max_tokens``, or use ``extract``.
    """

    name: ClassVar[str] = "contains"
    version: ClassVar[str] = "1"

    def score(self, answer: str, expected: Any) -> float:
        """1 when one of the expected texts is in the answer as whole words."""
        text = f" {plain_text(answer)} "
        return float(any(right and f" {right} " in text for right in map(plain_text, accepted(expected))))

    def key(self, answer: str) -> str:
        """The plain text."""
        return plain_text(answer)


scorer = Contains
