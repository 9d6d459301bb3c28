"""Right when what a pattern finds in the answer is the expected text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, ClassVar

from ._base import accepted, plain_text


@dataclass(frozen=True)
class Regex:
    """Compares the pattern's group (the whole match where it has none) like ``exact``; the last match that is
    not empty counts.

    Attributes:
        pattern: a regular expression with at most one group.
    """

    pattern: str
    name: ClassVar[str] = "regex"
    version: ClassVar[str] = "1"

    def __post_init__(self) -> None:
        try:
            groups = re.compile(self.pattern).groups
        except re.error as error:
            raise ValueError(f"the pattern is not a regular expression: {error}") from error
        if groups > 1:
            raise ValueError(f"the pattern must have at most one group, but has {groups}")

    def score(self, answer: str, expected: Any) -> float:
        """1 when the match is one of the expected texts; 0 when nothing matches."""
        found = self._find(answer)
        return float(found is not None and found in {plain_text(right) for right in accepted(expected)})

    def key(self, answer: str) -> str:
        """The match as it is compared; answers without one are all the same vote."""
        return self._find(answer) or ""

    def _find(self, answer: str) -> str | None:
        found = [text for text in re.findall(self.pattern, answer) if text.strip()]
        return plain_text(found[-1]) if found else None


scorer = Regex
