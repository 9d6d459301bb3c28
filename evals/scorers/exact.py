"""The scorer ``exact``: an answer is right when it equals the expected text. Case, accents and the like are ignored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from ._base import accepted, plain_text


@dataclass(frozen=True)
class Exact:
    """Compares texts with case, accents, punctuation, articles and spacing removed."""

    name: ClassVar[str] = "exact"
    version: ClassVar[str] = "1"

    def score(self, answer: str, expected: Any) -> float:
        """1 when the answer is one of the expected texts."""
        return float(plain_text(answer) in {plain_text(right) for right in accepted(expected)})

    def key(self, answer: str) -> str:
        """The plain text."""
        return plain_text(answer)


scorer = Exact
