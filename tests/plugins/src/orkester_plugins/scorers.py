"""A scorer with an option."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from orkester.evals.scorers import exact_text


@dataclass(frozen=True)
class Prefix:
    """Right when the answer begins as what was expected does.

    Args:
        length: How many characters are compared.
    """

    name: ClassVar[str] = "prefix"
    version: ClassVar[str] = "1"
    length: int = 20

    def score(self, answer: str, expected: Any) -> float:
        """1 where the beginnings are equal."""
        rights = expected if isinstance(expected, list) else [expected]
        return float(any(self.key(answer) == self.key(str(right)) for right in rights))

    def key(self, answer: str) -> str:
        """The beginning, as it is compared."""
        return exact_text(exact_text(answer)[: self.length])
