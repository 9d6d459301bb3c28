"""Forms of texts that scorers compare."""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal
from typing import Any, Final

# Characters that are not seen: soft hyphen, zero-width space and joiners, direction marks, byte order mark, variation
# selectors. The zero-width joiner stays between pictures, where it makes another picture.
_UNSEEN: Final = re.compile(
    "[\u00ad\u034f\u061c\u180e\u200b\u200c\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufe00-\ufe0f\ufeff]"
    "|(?<![\u2190-\u2bff\U0001f000-\U0001faff\ufe0f])\u200d|\u200d(?![\u2190-\u2bff\U0001f000-\U0001faff])"
)
_SAME_SIGN: Final = str.maketrans(
    {
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe63\uff0d\u2043", "-"),
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u02bc\u02bb\u02b9\u2032\u00b4\uff07", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u00ab\u00bb\u2033\uff02", '"'),
        "\u2026": "...",
        "\u2215": "/",
        "\u2044": "/",
    }
)
#: Full-width and half-width forms, and ligatures of Latin letters. Other compatible characters mean something: "10²".
_WIDTHS: Final = re.compile("[\uff01-\uffee\u3000\ufb00-\ufb06]+")
#: A back quote that stands for an apostrophe.
_BACK_QUOTE: Final = re.compile(r"(?<=\w)`(?=\w)")
_SPACE: Final = re.compile(r"\s+")
_AROUND_OPERATORS: Final = re.compile(r"\s*([<>=≤≥≠≈×÷*/^]|(?<=[^\s+])\+(?=\s|\w))\s*")
_MARKS: Final = ("***", "___", "**", "__", "*", "_", "``", "`", "$$", "$", "~~")
_QUOTES: Final = (('"', '"'), ("'", "'"), ("「", "」"), ("『", "』"), ("‹", "›"), ("《", "》"))
_ENDS: Final = ".!?,;:。！？、，；：،؟۔।॥"
_STARTS: Final = "¿¡"
_BULLET: Final = re.compile(r"[-*•‣·–—]\s+(?=\D)")
_PLAIN_NUMBER: Final = re.compile(r"[-+]?\d{1,400}(?:\.\d{1,400})?(?:e[-+]?\d{1,3})?")


def same_signs(text: str) -> str:
    """Write what looks or means the same in one way: Unicode composition, width, dashes, quotes, unseen characters.

    Args:
        text: Any text.
    """
    text = _BACK_QUOTE.sub("'", text)
    if text.isascii():
        return text
    text = _WIDTHS.sub(lambda found: unicodedata.normalize("NFKC", found[0]), text)
    return unicodedata.normalize("NFC", _UNSEEN.sub("", text)).translate(_SAME_SIGN)


def exact_text(text: str) -> str:
    """Normalise the form of a text and never its meaning.

    Case, Unicode composition, width of characters, kinds of dashes and quotes, space, marks of emphasis, quotes and
    round brackets around the whole text, and punctuation at its ends do not count. Accents, signs, punctuation within
    the text and articles count.

    Args:
        text: Any text.

    Returns:
        The form. Texts with the same form are the same answer. The form of a form is the form itself.
    """
    text = _SPACE.sub(" ", same_signs(text)).strip()
    text = unicodedata.normalize("NFC", text.lower())
    before = None
    while text != before:
        before = text
        text = _without_ends(_AROUND_OPERATORS.sub(r"\1", text).strip()) or before
    return text


def _without_ends(text: str) -> str:
    """One step of taking away what stands around a text; empty if nothing would be left."""
    for mark in _MARKS:
        inner = text[len(mark) : -len(mark)]
        if len(text) > 2 * len(mark) and text.startswith(mark) and text.endswith(mark) and mark[0] not in inner:
            return inner.strip()
    for left, right in _QUOTES:
        inner = text[1:-1]
        if len(text) > 2 and text[0] == left and text[-1] == right and left not in inner and right not in inner:
            return inner.strip()
    if len(text) > 2 and text[0] == "(" and text[-1] == ")" and not any(c in "(),;" for c in text[1:-1]):
        return text[1:-1].strip()
    if bullet := _BULLET.match(text):
        return text[bullet.end() :]
    if text[:1] in _STARTS:
        return text[1:].strip()
    return _without_end(text)


def _without_end(text: str) -> str:
    """Take away the punctuation at the end. The sign of a factorial stays."""
    end = len(text)
    while end and (text[end - 1] in _ENDS or text[end - 1] == " "):
        if text[end - 1] == "!" and _is_factorial(text[: end - 1]):
            break
        end -= 1
    return text[:end]


def _is_factorial(text: str) -> bool:
    return bool(re.search(r"(?:\d|\)|(?<!\w)[^\W\d_])!*$", text))


def number_of(form: str) -> Decimal | None:
    """The value of a form that is a plain decimal number; None for any other text."""
    return Decimal(form) if _PLAIN_NUMBER.fullmatch(form) else None


def is_json_number(value: Any) -> bool:
    """Whether a value from a data file is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)
