"""The scorer ``f1``: the words that an answer and the expected text share."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from ._base import accepted
from ._tokens import tokens

_ARTICLES: Final = frozenset({"a", "an", "the"})


@dataclass(frozen=True)
class F1:
    """The harmonic mean of precision and recall of words, as for SQuAD (Rajpurkar et al. 2016, arXiv:1606.05250, 6.1).

    Words are those of ``contains``: case, punctuation between words and English articles do not count, and a number is
    one word. With several expected texts, the best one counts.
    """

    name: ClassVar[str] = "f1"
    version: ClassVar[str] = "1"
    takes_objects: ClassVar[bool] = False

    def score(self, answer: str, expected: Any) -> float:
        """The share from 0 to 1."""
        said = _words(answer)
        return max((_f1(said, _words(right)) for right in accepted(expected)), default=0.0)

    def key(self, answer: str) -> str:
        """The words in order."""
        return " ".join(_words(answer))


def _words(text: str) -> list[str]:
    words = tokens(text, plain_letters=False)
    return [word for word in words if word not in _ARTICLES] or words


def _f1(said: list[str], wanted: list[str]) -> float:
    shared = sum((Counter(said) & Counter(wanted)).values())
    return 2 * shared / (len(said) + len(wanted)) if shared else 0.0


scorer = F1
