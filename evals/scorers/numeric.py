"""The scorer ``numeric``: an answer is right when the number that it gives has the expected value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar

from ._numeric.exact import ARITHMETIC, Digits, Exact
from ._numeric.number_text import words
from ._numeric.numbers import read_number
from ._numeric.values import Locale, Value
from ._text import exact_text

# Languages that write a decimal comma, and those in which a billion is a million millions.
_DECIMAL_COMMA = words(
    "af az be bg bs ca cs da de el es et eu fi fr gl hr hu hy id is it ka kk lt lv mk nb nl nn no pl pt ro ru sk sl sq "
    "sr sv tr uk vi"
)
_DECIMAL_POINT_REGIONS = frozenset({"de-ch", "de-li", "es-mx", "es-us", "fr-ch", "it-ch"})
_LONG_SCALE = words("cs da de es fi fr hr hu nb nl nn no pl sk sl sr sv")
_DECIMAL_POINT = words("ar bn cy en fa ga gu he hi ja km kn ko lo ml mn mr ms mt my ne pa si sw ta te th tl ur zh")


@dataclass(frozen=True)
class Numeric:
    """Compares the values of numbers, however they are written: ``3/2``, ``1.5`` and ``\\frac{3}{2}`` are equal.

    Attributes:
        tolerance: The largest relative difference from the expected number with which an answer is right.
        locale: A language, such as ``de`` or ``de-CH``. It decides what can be read in two ways: ``1.234`` is a little
            more than one with ``en``, and a thousand with ``de``.
    """

    tolerance: float = 0.0
    locale: str = "en"
    name: ClassVar[str] = "numeric"
    version: ClassVar[str] = "2"
    takes_objects: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not isinstance(self.tolerance, (int, float)) or not 0 <= self.tolerance < 1:
            raise ValueError(f"0 <= tolerance < 1 must hold, but got {self.tolerance!r}")
        language = _language(self.locale)
        if language not in _DECIMAL_COMMA and language not in _DECIMAL_POINT:
            raise ValueError(f"locale must be a language, such as en, de or de-CH, but it is {self.locale!r}")

    def score(self, answer: str, expected: Any) -> float:
        """1 when the number of the answer is the number of an expected text, within the tolerance."""
        value = read_number(answer, self._locale)
        if value is None:
            return 0.0
        return float(any(self._is_right(value, right) for right in self._rights(expected)))

    def key(self, answer: str) -> str:
        """The number without its percent sign; the form of ``exact`` when there is no number."""
        value = read_number(answer, self._locale)
        if value is None:
            plain = exact_text(answer)
            value = read_number(plain, self._locale)
            if value is None:
                return plain
        number = value.number
        return number.text(self._locale.mark)

    @property
    def _locale(self) -> Locale:
        tag = self.locale.replace("_", "-").casefold()
        language = _language(self.locale)
        comma = language in _DECIMAL_COMMA and tag not in _DECIMAL_POINT_REGIONS
        return Locale("," if comma else ".", long_scale=language in _LONG_SCALE)

    def _rights(self, expected: Any) -> Iterator[Value]:
        for entry in expected if isinstance(expected, (list, tuple)) else [expected]:
            # Numbers of a data file have a decimal point in every language.
            locale = self._locale if isinstance(entry, str) else Locale()
            if (value := read_number(str(entry), locale)) is not None:
                yield value

    def _is_right(self, value: Value, right: Value) -> bool:
        if self._is_equal(value.number, right.number):
            return True
        if value.rounded is not None and self._is_equal(value.rounded, right.number):
            return True
        return value.percent != right.percent and self._is_equal(value.share(), right.share())

    def _is_equal(self, number: Exact | Digits, right: Exact | Digits) -> bool:
        if number == right:
            return True
        both_digits = isinstance(number, Digits) and isinstance(right, Digits)
        if not both_digits and Value(number).share() == Value(right).share():
            return True
        return bool(self.tolerance) and self._is_near(number.decimal(), right.decimal())

    def _is_near(self, number: Decimal, right: Decimal) -> bool:
        gap = ARITHMETIC.subtract(number, right).copy_abs()
        return gap <= ARITHMETIC.multiply(right.copy_abs(), Decimal(str(self.tolerance)))


def _language(locale: object) -> str:
    return locale.replace("_", "-").casefold().split("-")[0] if isinstance(locale, str) else ""


scorer = Numeric
