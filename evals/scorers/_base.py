"""What every scorer offers."""

from __future__ import annotations

import re
import unicodedata
from typing import Any, Protocol, runtime_checkable

# An article has a word after it: the last word of "Hepatitis A" is none.
_ARTICLES = re.compile(r"(?<!\S)(?:a|an|the)(?=\s+\S)")
# A hyphen that is no sign: not before a digit, or behind something.
_HYPHENS = re.compile(r"-(?!\d)|(?<=\S)-")
# Canonical combining classes of marks that make another letter (nukta, kana voicing, virama), not an accent; 0 is no
# mark, or a vowel sign.
_NO_ACCENT = frozenset({0, 7, 8, 9})


@runtime_checkable
class Scorer(Protocol):
    """Says how good an answer is, and when two answers are the same."""

    @property
    def name(self) -> str:
        """As in study files."""
        ...

    @property
    def version(self) -> str:
        """Changes when the same answer may get another score."""
        ...

    def score(self, answer: str, expected: Any) -> float:
        """From 0 (wrong) to 1 (right), for any text.

        Args:
            answer: what the team said.
            expected: from the data; a list means that any of its entries is right.
        """
        ...

    def key(self, answer: str) -> str:
        """The form in which votes are compared: answers with the same key are the same vote."""
        ...


def plain_text(text: str) -> str:
    """Case, accents, punctuation, articles and spacing removed: ``"The São Paulo."`` is ``"sao paulo"``.

    A number keeps its sign, and a text that is nothing but punctuation stays as it is.
    """
    folded = unicodedata.normalize("NFKD", text.casefold())
    letters = "".join(c for c in folded if unicodedata.combining(c) in _NO_ACCENT).casefold()
    words = "".join(c if _of_word(c) else " " for c in letters.replace("−", "-"))
    return " ".join(_ARTICLES.sub(" ", _HYPHENS.sub(" ", words)).split() or letters.split())


def _of_word(c: str) -> bool:
    return c.isalnum() or c == "-" or unicodedata.category(c).startswith("M")


def accepted(expected: Any) -> list[str]:
    """What is right, as texts."""
    return [str(entry) for entry in expected] if isinstance(expected, (list, tuple)) else [str(expected)]
