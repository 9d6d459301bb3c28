"""The scorer ``contains``: an answer is right when it contains the expected text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from ._base import entries
from ._text import exact_text, is_json_number
from ._tokens import tokens, without_article


@dataclass(frozen=True)
class Contains:
    """Looks for whole words and whole numbers; see docs/scorers.md.

    An answer that names several candidates is right when one of them is: limit ``max_tokens``, or use ``extract``.

    Attributes:
        plain_letters: Whether accents do not count, and letters such as ø, ł and ß match o, l and ss.
    """

    plain_letters: bool = True
    name: ClassVar[str] = "contains"
    version: ClassVar[str] = "2"
    takes_objects: ClassVar[bool] = False

    def score(self, answer: str, expected: Any) -> float:
        """1 when one of the expected texts is in the answer as whole words and numbers."""
        words = self._tokens(answer)
        return float(any(self._is_in(text, words, answer) for right in entries(expected) for text in _texts(right)))

    def key(self, answer: str) -> str:
        """The words, numbers and signs, without a leading article."""
        return " ".join(without_article(self._tokens(answer))) or exact_text(answer)

    def _tokens(self, text: str) -> list[str]:
        return tokens(text, plain_letters=self.plain_letters)

    def _is_in(self, right: str, words: Sequence[str], answer: str) -> bool:
        wanted = without_article(self._tokens(right))
        if not wanted:  # nothing but punctuation
            return bool(right.strip()) and exact_text(right) == exact_text(answer)
        return _is_part(wanted, words)


def _texts(right: Any) -> Sequence[str]:
    """An expected number that is whole may be written with and without decimals."""
    if is_json_number(right) and isinstance(right, float) and right.is_integer() and abs(right) < 1e15:
        return str(right), str(int(right))
    return (str(right),)


def _is_part(part: Sequence[str], words: Sequence[str]) -> bool:
    first, count = part[0], len(part)
    return any(words[i] == first and list(words[i : i + count]) == list(part) for i in range(len(words) - count + 1))


scorer = Contains
