"""The interface of scorers, and the comparison of texts that they share."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

# An article must be followed by a word: the last word of "Hepatitis A" is not an article.
_ARTICLES = re.compile(r"(?<!\S)(?:a|an|the)(?=\s+\S)")
# A hyphen that is not a minus sign: it is not followed by a digit, or it follows another character.
_HYPHENS = re.compile(r"-(?!\d)|(?<=\S)-")
# The canonical combining classes of marks that are not accents: nukta, kana voicing and virama make another letter, and
# class 0 means no mark, or a vowel sign.
_NO_ACCENT = frozenset({0, 7, 8, 9})


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


def plain_text(text: str) -> str:
    """Remove case, accents, punctuation, articles and extra spaces: ``"The São Paulo."`` becomes ``"sao paulo"``.

    A number keeps its sign, and a text that has only punctuation keeps it.

    Args:
        text: Any text.
    """
    folded = unicodedata.normalize("NFKD", text.casefold())
    letters = "".join(c for c in folded if unicodedata.combining(c) in _NO_ACCENT).casefold()
    words = "".join(c if _is_word_character(c) else " " for c in letters.replace("−", "-"))
    return " ".join(_ARTICLES.sub(" ", _HYPHENS.sub(" ", words)).split() or letters.split())


def _is_word_character(c: str) -> bool:
    return c.isalnum() or c == "-" or unicodedata.category(c).startswith("M")


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
    return [str(entry) for entry in entries(expected)]
