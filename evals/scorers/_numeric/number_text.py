"""Texts with numbers, brought to one alphabet of digits, minus signs, marks and operators, and split into tokens."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

_DASHES = "‐‑‒–−﹣－➖˗⁻"
_TABLE: Final = str.maketrans(
    {
        **dict.fromkeys(_DASHES, "-"),
        **dict.fromkeys("×✕✖⨯·⋅∙", "*"),
        **dict.fromkeys("÷⁄∕", "/"),
        **dict.fromkeys("≅≃≒∼～", "≈"),
        **dict.fromkeys("→⇒⟹⟶➔➜", "="),
        **dict.fromkeys("≤≥≠⩽⩾", "<"),
        **dict.fromkeys("’‘′ʼ＇‛´", "'"),
        **dict.fromkeys("“”„‟＂«»‹›「」『』【】〔〕", '"'),
        **dict.fromkeys("。।｡", ". "),
        **dict.fromkeys("、،", ", "),
        **dict.fromkeys("\u200b\u200c\u200d\u200e\u200f\u2060\ufeff\u00ad\u061c\u2066\u2067\u2068\u2069", None),
        **dict.fromkeys(
            "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000", " "
        ),
        "∓": "±",
        "٪": "%",
        "﹪": "%",
        "٫": ".",
        "٬": ",",
        "\u2028": "\n",
        "\u2029": "\n",
        "\u0085": "\n",
        "\v": "\n",
        "\f": "\n",
        "\r": "\n",
    }
)
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_SUPERSCRIPT = re.compile("[⁺⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_SUBSCRIPT = re.compile("[₀₁₂₃₄₅₆₇₈₉]+")
_TO_DIGITS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-")
# An em dash is punctuation, except as a sign.
_EM_DASH_SIGN = re.compile(r"(?:(?<=^)|(?<=[\s=(:]))[—―](?=\d)")
_REPLACED = re.compile(
    r"""(?P<spaces>\\[,;:\ ]|\\(?:q?quad|thinspace|enspace)\b|&nbsp;|&\#160;|(?<=\d)~(?=\d))
    |(?P<nothing>\\!|\\(?:left|right|displaystyle|[bB]igg?[lr]?|limits|nolimits|textstyle)(?![a-zA-Z])|\\(?=[%$&#_]))
    |(?P<mark>\{[.,]\})
    |(?P<near>\\(?:approx|simeq|sim|cong)(?![a-zA-Z]))
    |(?P<unequal>\\(?:leq?|geq?|neq?|lt|gt|leqslant|geqslant|in)(?![a-zA-Z])|&[lg]t;)
    |(?P<both>\\(?:pm|mp)(?![a-zA-Z]))
    |(?P<equal>\\(?:[rR]ightarrow|Longrightarrow|to|implies|therefore|equiv|iff)(?![a-zA-Z]))
    |(?P<open>\\[(\[])|(?P<close>\\[)\]])
    |(?P<command>\\\\(?=[a-zA-Z]))
    |(?P<line>\\\\(?:\[[^\]\n]{0,12}\])?|<br\s?/?>|</?p>)
    |(?P<power><sup>(?P<exponent>[-+\d\s]{1,12})</sup>)
    |(?P<bold></?(?:b|strong)>)
    |(?P<tag></?[a-zA-Z][^<>\n]{0,80}>)
    |(?P<minus>&minus;)""",
    re.VERBOSE,
)
_REPLACEMENTS: Final = {
    "spaces": " ",
    "near": "≈",
    "unequal": "<",
    "both": "±",
    "equal": "=",
    "open": " $",
    "close": "$ ",
    "command": "\\",
    "line": "\n",
    "bold": "**",
    "tag": " ",
    "minus": "-",
}
_ANSWER_TAG = re.compile(r"</?\s?(?:final_?)?answer\s?>", re.IGNORECASE)
#: Stand for ``<answer>`` and ``</answer>``.
TAG_START: Final = "\x01"
TAG_END: Final = "\x02"


def one_alphabet(text: str) -> str:
    """Replace characters and LaTeX, HTML or Unicode forms that mean the same by one form.

    Args:
        text: Any text.
    """
    if not text.isascii():
        text = _EM_DASH_SIGN.sub("-", text)
        text = _SUPERSCRIPT.sub(lambda match: "^{" + match[0].translate(_TO_DIGITS) + "}", text)
        text = _NOT_ASCII.sub(_ascii, _SUBSCRIPT.sub("", text).translate(_TABLE))
    elif "\r" in text:
        text = text.replace("\r", "\n")
    if "<" in text:
        text = _ANSWER_TAG.sub(lambda match: TAG_END if "/" in match[0] else TAG_START, text)
    return _REPLACED.sub(_replacement, text) if any(c in text for c in "\\{<~&") else text


def _ascii(match: re.Match[str]) -> str:
    c = match[0]
    kind = unicodedata.category(c)
    if kind == "Nd":
        return str(unicodedata.decimal(c))
    if kind == "No":
        plain = unicodedata.normalize("NFKC", c)
        if "⁄" in plain:
            top, _, bottom = plain.partition("⁄")
            return rf"\frac{{{top}}}{{{bottom}}}"
        return plain if plain.isdecimal() else c
    if "\uff01" <= c <= "\uff5e":
        return chr(ord(c) - 0xFEE0)
    return c


def _replacement(match: re.Match[str]) -> str:
    kind = match.lastgroup
    if kind == "exponent" or match["power"]:
        return "^{" + match["exponent"].strip() + "}"
    if kind == "mark":
        return match[0][1]
    return _REPLACEMENTS.get(kind or "", "")


_CASED = "a-zA-ZÀ-ÖØ-öø-ɏͰ-ωА-яЁё"
_TOKEN = re.compile(
    rf"""(?P<line>\n\s*)
    |(?P<space>[ \t]+)
    |(?P<composite>\d{{1,4}}(?::\d{{1,4}}){{1,5}}(?![\d:])|\d{{4}}-\d{{1,2}}-\d{{1,2}}(?!\d)|\d{{1,2}}/\d{{1,2}}/\d{{2,4}}(?!\d))
    |(?P<coded>0(?:[xX][0-9a-fA-F]{{1,64}}|[bB][01]{{1,64}})(?![\w.]))
    |(?P<number>(?:\d{{1,3}}(?P<gap>[ '_])\d{{3}}(?:(?P=gap)\d{{3}}){{0,20}}(?!\d|(?P=gap)\d)(?:[.,]\d+)?
        |\d+(?:[.,]\d+)*|(?<![\w.])\.\d+)(?:[eE][-+]?\d+(?!\w))?)
    |(?P<command>\\[a-zA-Z]+|[√∛π∞])
    |(?P<currency>(?:US|AU|CA|HK|[AC])?\$|[€£¥￥₹₩₽₺₪฿¢]|(?:USD|EUR|GBP|SEK|NOK|DKK|CHF|JPY|INR|CNY|RMB|Rs\.?|kr)(?![{_CASED}]))
    |(?P<times>(?<=[\d)}}])[xX](?=[\d(\\]))
    |(?P<word>pi(?=-(?:\d|sqrt\b|pi\b))|[{_CASED}][{_CASED}\d_]*(?:-\d+(?!\w)|(?:['-][{_CASED}]+))*|[^\W\d_]+)
    |(?P<subscript>_\{{[^{{}}\n]{{0,20}}\}}|(?<=[a-zA-Z\d}}])_[a-zA-Z\d]+)
    |(?P<power>(?<=[\d)])\*\*(?=[-\d(])|\^)
    |(?P<dashes>--+)
    |(?P<link>:=|==|-+>|=+>|=)
    |(?P<stop>[.!?]+(?=[\s*"')\]}}$]|$))
    |(?P<bold>\*\*+|__+)
    |(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Token:
    """A part of a text.

    Attributes:
        kind: The name of the group of the pattern; ``other`` for a single character.
        text: The part itself.
        start: Where it begins in the text.
        spaced: Whether a space is before it.
        new_line: Whether it is the first of a line.
    """

    kind: str
    text: str
    start: int
    spaced: bool
    new_line: bool


def tokens_of(text: str) -> list[Token]:
    """Split a text of one alphabet into tokens; spaces and line ends become properties of the token after them.

    Args:
        text: What ``one_alphabet`` returned.
    """
    tokens = []
    spaced, new_line = False, True
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or "other"
        if kind == "gap":
            kind = "number"
        if kind == "space":
            spaced = True
        elif kind == "line":
            spaced = new_line = True
        else:
            tokens.append(Token(kind, match[0], match.start(), spaced, new_line))
            spaced = new_line = False
    return tokens


def words(text: str) -> frozenset[str]:
    """The words of a text.

    Args:
        text: Words with spaces between them.
    """
    return frozenset(text.split())


_UNITS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_VALUES = {**{word: n for n, word in enumerate(_UNITS)}, **{word: 20 + 10 * n for n, word in enumerate(_TENS)}}
_WORD = "(?:" + "|".join(sorted((*_VALUES, *_SCALES), key=len, reverse=True)) + ")"
_NUMBER_WORDS = re.compile(rf"(?<![\w-]){_WORD}(?:(?:[ \t]+and[ \t]+|[ \t-]+|,[ \t]+){_WORD})*(?![\w-])", re.IGNORECASE)
_ALONE = re.compile(r"\W*(?:(?:answer|it|that|the|is|are|was|equals|just|only|exactly)\W+)*$", re.IGNORECASE)


def spelled_out(text: str) -> str:
    """Replace English number words by digits: ``"forty-two apples"`` becomes ``"42 apples"``.

    ``one`` is also a pronoun, so it is replaced only where an answer begins.

    Args:
        text: A text without digits.
    """
    return _NUMBER_WORDS.sub(lambda match: _spelled(match, text), text)


def _spelled(match: re.Match[str], text: str) -> str:
    words = [word for word in re.split(r"[\s,-]+", match[0].casefold()) if word != "and"]
    if words == ["one"] and (
        not _ALONE.match(text[max(0, match.start() - 80) : match.start()])
        or re.match(r"\s+(?:of|who|that|which|can|must|should|by)\b", text[match.end() :], re.IGNORECASE)
    ):
        return match[0]
    total = current = 0
    smallest = 10**15
    last = 10**15
    for word in words:
        value = _VALUES.get(word)
        if value is not None:
            if value >= last or (last < 100 and not (last >= 20 and 0 < value < 10)):
                return match[0]
            current, last = current + value, max(value, 1)
        elif word == "hundred":
            if current > 99 or not current:
                return match[0]
            current, last = current * 100, 100
        else:
            scale = _SCALES[word]
            if scale >= smallest or not current:
                return match[0]
            total, current, smallest, last = total + current * scale, 0, scale, scale
    return str(total + current)
