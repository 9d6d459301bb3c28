"""The scorer ``numeric``: an answer is right when its last number is the expected number."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from typing import Any, ClassVar

from ._base import accepted, plain_text

_NUMBER = re.compile(
    r"""(?<!\w)(?<!\d\.)[-+−]?
    (?:(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|(?<![\d.])\.\d+)
    (?:[eE][-+]?\d{1,3})?""",
    re.VERBOSE,
)
# Large enough for any answer. Only the comparison with a tolerance is rounded, to 60 digits.
_ARITHMETIC = Context(prec=60, Emax=MAX_EMAX, Emin=MIN_EMIN)


@dataclass(frozen=True)
class Numeric:
    """Compares numbers; thousands may be separated by commas.

    Attributes:
        tolerance: The largest relative difference from the expected number with which an answer is right.
    """

    tolerance: float = 0.0
    name: ClassVar[str] = "numeric"
    version: ClassVar[str] = "1"

    def __post_init__(self) -> None:
        if not isinstance(self.tolerance, (int, float)) or not 0 <= self.tolerance < 1:
            raise ValueError(f"0 <= tolerance < 1 must hold, but got {self.tolerance!r}")

    def score(self, answer: str, expected: Any) -> float:
        """1 when the last number of the answer is the last number of an expected text, within the tolerance."""
        number = _last_number(answer)
        rights = [right for text in accepted(expected) if (right := _last_number(text)) is not None]
        if number is None:
            return 0.0
        return float(any(number == right or self._is_near(number, right) for right in rights))

    def key(self, answer: str) -> str:
        """The number; the plain text when there is no number."""
        number = _last_number(answer)
        return plain_text(answer) if number is None else _plain_number(number)

    def _is_near(self, number: Decimal, right: Decimal) -> bool:
        gap = _ARITHMETIC.subtract(number, right).copy_abs()
        return gap <= _ARITHMETIC.multiply(right.copy_abs(), Decimal(str(self.tolerance)))


def _last_number(text: str) -> Decimal | None:
    numbers = _NUMBER.findall(text)
    return Decimal(numbers[-1].replace(",", "").replace("−", "-")) if numbers else None


def _plain_number(number: Decimal) -> str:
    """A number as text, with all digits. Equal numbers give the same text. (``Decimal.normalize`` would round.)"""
    digits = format(number, "f")
    if "." in digits:
        digits = digits.rstrip("0").rstrip(".")
    return "0" if number == 0 else digits


scorer = Numeric
