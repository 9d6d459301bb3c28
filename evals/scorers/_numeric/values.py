"""Numbers that were read in a text, and how a number of digits and marks is read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from .exact import Digits, Exact, UnreadableError

_GROUPS: Final = {
    ",": re.compile(r"\d{1,3}(?:,\d{3})+|[1-9]\d?(?:,\d\d)*,\d{3}"),
    ".": re.compile(r"\d{1,3}(?:\.\d{3})+|[1-9]\d?(?:\.\d\d)*\.\d{3}"),
}


@dataclass(frozen=True)
class Locale:
    """How numbers are written.

    Attributes:
        mark: The decimal mark where a number can be read in two ways, such as ``1.234``.
        long_scale: Whether a billion is a million millions.
    """

    mark: str = "."
    long_scale: bool = False


@dataclass(frozen=True)
class Value:
    """A number with its percent sign.

    Attributes:
        number: The number.
        percent: 100 for percent, 1000 for per mille, otherwise 1. The number is not divided by it.
        rounded: The rounded number that stands after it: 2.33 in ``7/3 ≈ 2.33``.
    """

    number: Exact | Digits
    percent: int = 1
    rounded: Exact | Digits | None = None

    def exact(self) -> Exact | None:
        """The number to calculate with; None when it is too long."""
        if isinstance(self.number, Exact):
            return self.number
        return self.number.exact() if self.number.is_short else None

    def share(self) -> Exact | Digits:
        """The number divided by 100 when it is in percent."""
        exact = self.exact()
        if self.percent == 1 or exact is None:
            return exact or self.number
        try:
            return exact / Exact.of(self.percent)
        except UnreadableError:
            return self.number


@dataclass(frozen=True)
class Found:
    """A place in a text where a number, or something that looks like one, is written.

    Attributes:
        value: The number; None when there is no single one, as in ``3-5``, ``12:30``, ``2x + 1`` and ``12 + 30``.
        start: The index of the first token.
        end: The index after the last token.
        to_do: Whether it is a sum, a difference or a product that was left to be calculated.
        whole: Whether it is a number without a mark, a sign or a fraction.
    """

    value: Value | None
    start: int
    end: int
    to_do: bool = False
    whole: bool = False


def plain_number(text: str, mark: str) -> Digits | None:
    """Read a number of digits and marks, such as ``1,234.5``; None when the marks fit no way to write a number.

    Args:
        text: ASCII digits, spaces, apostrophes, underscores, dots and commas; maybe ``e`` and an exponent.
        mark: The decimal mark where both readings are possible.
    """
    mantissa, _, power = text.replace("E", "e").partition("e")
    if len(power) > 12:
        return None
    exponent = int(power) if power else 0
    if any(c in mantissa for c in " '_"):
        mantissa = mantissa.replace(" ", "").replace("'", "").replace("_", "")
        mark = "," if "," in mantissa else "."
    dots, commas = mantissa.count("."), mantissa.count(",")
    if dots and commas:
        mark = "." if mantissa.rfind(".") > mantissa.rfind(",") else ","
        if mantissa.count(mark) > 1:
            return None
    elif dots + commas == 1:
        used = "." if dots else ","
        if used != mark and (not _GROUPS[used].fullmatch(mantissa) or mantissa.startswith("0")):
            mark = used
    elif dots + commas > 1:
        mark = "," if dots else "."
    whole, _, fraction = mantissa.partition(mark)
    group = "," if mark == "." else "."
    if group in whole:
        if not _GROUPS[group].fullmatch(whole):
            return None
        whole = whole.replace(group, "")
    return Digits.of(whole, fraction, exponent) if group not in fraction else None
