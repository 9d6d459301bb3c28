"""The scorer ``choice``: an answer is right when it picks the expected letter."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, ClassVar

from ._base import accepted, plain_text

# The patterns are tried in this order, the most reliable first: "answer: B" or "answer is (B)", "(B)", a letter at the
# start of the text, and any capital letter that stands alone. When a pattern matches more than once, the last match
# counts, except at the start. "a" and "I" are words, too, so their patterns are stricter than those of other letters.
_END = r"(?=[\])*,;:!?]|\.(?!\w)|[ \t]*$)"
_AFTER_ANSWER = re.compile(
    r"\b(?i:answer)\b\s*+(?i:is\b)?+\s*+[:=]?+[\s*]*+(?i:(?:option|choice)\s++)?[(\[]?([A-HJ-Z]\b|[A-Za-z]"
    + _END
    + ")",
    re.MULTILINE,
)
_BRACKETED = re.compile(r"[(\[]([A-Za-z])[)\]]")
_FIRST = re.compile(r"[\s*]*([A-Za-z]" + _END + r"|[B-HJ-Zb-hj-z](?=\s)|A(?=\s+(?:is|because|since)\b))", re.MULTILINE)
_ALONE = re.compile(r"(?<![\w'’])([A-Z])(?![\w'’])")
_NOT_A_WORD = re.compile(r"(?<![\w'’])(A(?!\s+[a-z])|[B-HJ-Z])(?![\w'’])")


@dataclass(frozen=True)
class Choice:
    """Reads a letter in its usual forms: ``B``, ``(B)``, ``B.``, ``Answer: B``."""

    name: ClassVar[str] = "choice"
    version: ClassVar[str] = "1"

    def score(self, answer: str, expected: Any) -> float:
        """1 when the letter is one of the expected letters."""
        letter = _letter(answer)
        return float(letter is not None and letter in {_letter(right) for right in accepted(expected)})

    def key(self, answer: str) -> str:
        """The letter; the plain text when there is no letter."""
        return _letter(answer) or plain_text(answer)


def _letter(text: str) -> str | None:
    for pattern in (_AFTER_ANSWER, _BRACKETED):
        if letters := pattern.findall(text):
            return str(letters[-1]).upper()
    if first := _FIRST.match(text):
        return first[1].upper()
    alone = _NOT_A_WORD.findall(text) or _ALONE.findall(text)
    return str(alone[-1]) if alone else None


scorer = Choice
