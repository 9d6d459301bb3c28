"""Words, numbers and signs of a text, as the scorer ``contains`` compares them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

from ._text import same_signs

#: Letters that do not decompose, in their plain spelling.
_PLAIN: Final = str.maketrans(
    {
        "ø": "o",
        "ł": "l",
        "đ": "d",
        "ð": "d",
        "þ": "th",
        "ß": "ss",
        "æ": "ae",
        "œ": "oe",
        "ı": "i",
        "ħ": "h",
        "ŧ": "t",
        "ŋ": "n",
        "ĸ": "k",
        "ŀ": "l",
        "ɓ": "b",
        "ɗ": "d",
        "ɖ": "d",
        "ƒ": "f",
        "ɛ": "e",
        "ɔ": "o",
        "ə": "e",
        "ǝ": "e",
        "ɣ": "g",
        "ƙ": "k",
        "ƴ": "y",
        "ɨ": "i",
        "ʉ": "u",
        "ƶ": "z",
    }
)
# The canonical combining classes of marks that are not accents: nukta, kana voicing and virama make another letter, and
# class 0 means no mark, or a vowel sign.
_NO_ACCENT: Final = frozenset({0, 7, 8, 9})
_POWER: Final = re.compile("[⁺⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_POWER_DIGITS: Final = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-")
_THIN_SPACE: Final = re.compile(r"(?<=\d)[\u00a0\u202f\u2009](?=\d{3}(?!\d))")
_VULGAR: Final = re.compile("[¼-¾⅐-⅞↉]")
#: Scripts that put no space between words, and Hangul, which adds particles to words. Each of their letters is a token.
_UNSPACED: Final = re.compile(
    "[\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]"
)
#: Abbreviations such as U.S.A. and e.g.; a single letter with a full stop is none.
_DOTTED: Final = re.compile(r"(?<![\w.])[^\W\d_](?:\.[^\W\d_])+\.?(?!\w)")
_NUMBER: Final = re.compile(
    r"""(?:\d+[ ]\d+/\d+(?![\d/])                                     # a mixed number
      |\d{1,3}(?:[ ]0\d\d)+(?!\d)                                     # thousands, separated by spaces
      |\d*(?:[.,:/']\d+)*)                                            # 1,500.25, 1/2, 12:30, 1.2.3, .5
    (?:(?<=\d)e[-+]?\d+(?![\w.]))?(?:\^[-+]?\d+)?""",
    re.VERBOSE,
)
_GROUPED: Final = re.compile(r"\d{1,3}(?:([,' ])\d{3})(?:\1\d{3})*(?:\.\d+)?")
_INDIAN: Final = re.compile(r"\d{1,2}(?:,\d{2})+,\d{3}(?:\.\d+)?")
_BEFORE_SIGN: Final = frozenset(" \t\n\r([{<>=:;,|\"'*_~≈")
_AFTER_WORD: Final = re.compile(r"(?:\+\+|\#|\+)(?![\w+\#])|\^[-+]?\d+")
#: A star between words or numbers is an operator; others are emphasis.
_BETWEEN: Final = re.compile(r".?[^\W_]\*[^\W_].?|[^\W_] \* [^\W_]")
_SIGNS: Final = frozenset("<>=&@#+^%/°$")
_ARTICLES: Final = frozenset({"a", "an", "the"})


def tokens(text: str, *, plain_letters: bool) -> list[str]:
    """The words, numbers and signs of a text.

    A number is one token with all that belongs to its value: sign, decimals, groups of thousands, fraction, power,
    hours and minutes. So ``5`` is not a token of ``1.5``. In scripts without spaces between words each letter is a
    token.

    Args:
        text: Any text.
        plain_letters: Whether accents do not count and letters such as ø, ł and ß are written o, l and ss.
    """
    text = _spelled(text, plain_letters=plain_letters)
    found: list[str] = []
    position = 0
    while position < len(text):
        token, position = _next(text, position)
        if token:
            found += _numbers(token)
    return found


def without_article(words: Sequence[str]) -> Sequence[str]:
    """The tokens without leading English articles; the last token stays."""
    while len(words) > 1 and words[0] in _ARTICLES:
        words = words[1:]
    return words


def _spelled(text: str, *, plain_letters: bool) -> str:
    """The text in lower case, with one way to write each sign."""
    text = same_signs(text)
    if not text.isascii():
        text = _THIN_SPACE.sub("'", text)  # a narrow space between thousands would become a plain one
        text = _POWER.sub(lambda found: "^" + found[0].translate(_POWER_DIGITS), text)
        text = _VULGAR.sub(lambda found: " " + unicodedata.normalize("NFKC", found[0]).replace("\u2044", "/"), text)
    if plain_letters:
        text = unicodedata.normalize("NFKD", text.casefold())
        text = "".join(c for c in text if unicodedata.combining(c) in _NO_ACCENT).casefold().translate(_PLAIN)
        text = unicodedata.normalize("NFC", text)
    else:
        text = unicodedata.normalize("NFC", text.lower())
    if not text.isascii():
        text = "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in text)
    return _DOTTED.sub(lambda found: found[0].replace(".", ""), text)


def _next(text: str, start: int) -> tuple[str, int]:
    """The token at a position, empty for none, and the position behind it."""
    c = text[start]
    if c.isdecimal() or (c in "-." and _begins_number(text, start)):
        return _number(text, start)
    if _UNSPACED.match(c):
        end = start + 1
        while end < len(text) and _is_mark(text[end]) and not _UNSPACED.match(text[end]):
            end += 1
        return text[start:end], end
    if _is_word(c):
        return _word(text, start)
    is_sign = c in _SIGNS or (not c.isascii() and unicodedata.category(c)[0] == "S")
    is_operator = c == "*" and bool(_BETWEEN.fullmatch(text[max(0, start - 2) : start + 3]))
    return c if is_sign or is_operator else "", start + 1


def _word(text: str, start: int) -> tuple[str, int]:
    """A word with what makes it another one: can't, C++, C#, x^2."""
    end = _end_of_word(text, start)
    if text[end - 1] == "n" and text[end : end + 2] == "'t" and not text[end + 2 : end + 3].isalnum():
        end += 2
    elif suffix := _AFTER_WORD.match(text, end):
        end = suffix.end()
    return text[start:end], end


def _begins_number(text: str, start: int) -> bool:
    """Whether a minus or a point at this position belongs to the number behind it."""
    before = text[start - 1] if start else " "
    if text[start] == "-":
        behind = text[start + 1 : start + 2]
        has_number = behind.isdecimal() or (behind == "." and text[start + 2 : start + 3].isdecimal())
        return has_number and before in _BEFORE_SIGN
    return text[start + 1 : start + 2].isdecimal() and not before.isalnum() and before != "."


def _number(text: str, start: int) -> tuple[str, int]:
    sign = "-" if text[start] == "-" else ""
    found = _NUMBER.match(text, start + len(sign))
    assert found is not None
    end = found.end()
    if end < len(text) and _is_word(text[end]) and not _UNSPACED.match(text[end]):  # 5km, 2nd
        end = _end_of_word(text, end)
        return text[start:end], end
    return sign + _without_groups(found[0]), end


def _without_groups(number: str) -> str:
    if _GROUPED.fullmatch(number) or _INDIAN.fullmatch(number):
        return re.sub("[,' ]", "", number)
    return number


def _numbers(token: str) -> list[str]:
    """A list such as 1,2,3 is several numbers; with one comma it may be a decimal number."""
    if token.count(",") > 1 and token[-1].isdecimal():
        return token.split(",")
    return [token]


def _end_of_word(text: str, start: int) -> int:
    end = start + 1
    while end < len(text) and _is_word(text[end]) and not _UNSPACED.match(text[end]):
        end += 1
    return end


def _is_word(c: str) -> bool:
    return c.isalnum() or _is_mark(c)


def _is_mark(c: str) -> bool:
    return not c.isascii() and unicodedata.category(c)[0] == "M"
