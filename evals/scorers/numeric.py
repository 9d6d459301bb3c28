"""Right when the last number in the answer is the expected one."""

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
# Room for any answer; only tolerances are rounded, to more digits than anyone states.
_ARITHMETIC = Context(prec=60, Emax=MAX_EMAX, Emin=MIN_EMIN)


@dataclass(frozen=True)
class Numeric:
    """Compares numbers; thousands may be separated by commas.

    Attributes:
        tolerance: largest relative difference from the expected number that is still right.
    """

    tolerance: float = 0.0
    name: ClassVar[str] = "numeric"
    version: ClassVar[str] = "1"

    def __post_init__(self) -> None:
        if not isinstance(self.tolerance, (int, float)) or not 0 <= self.tolerance < 1:
            raise ValueError(f"0 <= tolerance < 1 must hold, but got {self.tolerance!r}")

    def score(self, answer: str, expected: Any) -> float:
        """1 when the last number of the answer is the last number of an expected text, within the tolerance."""
        said = _last_number(answer)
        rights = [number for text in accepted(expected) if (number := _last_number(text)) is not None]
        if said is None:
            return 0.0
        return float(any(said == right or self._near(said, right) for right in rights))

    def key(self, answer: str) -> str:
        """The number; the plain text where there is none."""
        number = _last_number(answer)
        return plain_text(answer) if number is None else _plain_number(number)

    def _near(self, said: Decimal, right: Decimal) -> bool:
        gap = _ARITHMETIC.subtract(said, right).copy_abs()
        return gap <= _ARITHMETIC.multiply(right.copy_abs(), Decimal(str(self.tolerance)))


def _last_number(text: str) -> Decimal | None:
    found = _NUMBER.findall(text)
    return Decimal(found[-1].replace(",", "").replace("−", "-")) if found else None


def _plain_number(number: Decimal) -> str:
    """The same text for equal numbers, every digit kept (``normalize`` would round)."""
    digits = format(number, "f")
    if "." in digits:
        digits = digits.rstrip("0").rstrip(".")
    return "0" if number == 0 else digits


scorer = Numeric
