"""What every scorer offers."""

from __future__ import annotations

import re
import unicodedata
from typing import Any, Protocol, runtime_checkable

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_OTHER = re.compile(r"[^\w]+")


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
    """Case, accents, punctuation, articles and spacing removed: ``"The São Paulo."`` is ``"sao paulo"``."""
    folded = unicodedata.normalize("NFKD", text.casefold())
    letters = "".join(c for c in folded if not unicodedata.combining(c)).casefold()
    return " ".join(_ARTICLES.sub(" ", _OTHER.sub(" ", letters)).split())


def accepted(expected: Any) -> list[str]:
    """What is right, as texts."""
    return [str(entry) for entry in expected] if isinstance(expected, (list, tuple)) else [str(expected)]
