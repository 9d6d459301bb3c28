"""The scorer ``regex``: an answer is right when a pattern finds the expected text in it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, ClassVar

from ._base import accepted
from ._text import exact_text


@dataclass(frozen=True)
class Regex:
    """Compares the last match of a pattern that is not empty, in the same way as the scorer ``exact``.

    Attributes:
        pattern: A regular expression with at most one group. When it has a group, the text of the group is compared.
    """

    pattern: str
    name: ClassVar[str] = "regex"
    version: ClassVar[str] = "2"
    takes_objects: ClassVar[bool] = False

    def __post_init__(self) -> None:
        try:
            groups = re.compile(self.pattern).groups
        except re.error as error:
            raise ValueError(f"the pattern is not a regular expression: {error}") from error
        if groups > 1:
            raise ValueError(f"the pattern must have at most one group, but it has {groups}")

    def score(self, answer: str, expected: Any) -> float:
        """1 when the match is one of the expected texts; 0 when nothing matches."""
        match = self._find(answer)
        return float(match is not None and match in {exact_text(right) for right in accepted(expected)})

    def key(self, answer: str) -> str:
        """The form of the match. All answers without a match are the same vote."""
        return self._find(answer) or ""

    def _find(self, answer: str) -> str | None:
        matches = [text for text in re.findall(self.pattern, answer) if text.strip()]
        return exact_text(matches[-1]) if matches else None


scorer = Regex
