"""Right when the answer picks the expected letter."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, ClassVar

from ._base import accepted, plain_text

# From the surest sign to the least: "answer: B" or "answer is (B)", "(B)", a letter that begins the text, and last any
# capital letter that stands alone. Of several matches the last counts, except at the beginning. "a" and "I" are words
# too, so they need more around them than the others.
_END = r"(?=[\])*,;:!?]|\.(?!\w)|[ \t]*$)"
_SAID = re.compile(
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
        said = _letter(answer)
        return float(said is not None and said in {_letter(right) for right in accepted(expected)})

    def key(self, answer: str) -> str:
        """The letter; the plain text where there is none."""
        return _letter(answer) or plain_text(answer)


def _letter(text: str) -> str | None:
    for pattern in (_SAID, _BRACKETED):
        if found := pattern.findall(text):
            return str(found[-1]).upper()
    if first := _FIRST.match(text):
        return first[1].upper()
    alone = _NOT_A_WORD.findall(text) or _ALONE.findall(text)
    return str(alone[-1]) if alone else None


scorer = Choice
