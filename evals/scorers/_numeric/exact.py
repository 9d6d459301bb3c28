"""Exact values: rational numbers, roots of them, and multiples of π, so that ``2√3`` is ``√12`` without rounding."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from fractions import Fraction
from functools import reduce
from typing import Final, TypeAlias

#: Large enough for any answer. Roots, π and comparisons with a tolerance are rounded, to 60 digits.
ARITHMETIC: Final = Context(prec=60, Emax=MAX_EMAX, Emin=MIN_EMIN)

# The bases of a product of powers with their exponents. The base 0 stands for π.
Powers: TypeAlias = tuple[tuple[int, Fraction], ...]

_PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459")
_PI_BASE = 0
_MAX_BITS = 2048
_MAX_TERMS = 6
# With these, all numbers below a million are factored.
_PRIMES = [n for n in range(2, 1000) if all(n % d for d in range(2, math.isqrt(n) + 1))]
# More digits than this are kept as text and never calculated with.
_MAX_DIGITS = 600


class UnreadableError(ValueError):
    """The value is not a real number, or it is too large or too involved to calculate with."""


@dataclass(frozen=True)
class Digits:
    """A decimal number of any length: ``digits × 10^exponent``. The digits have no zeros at either end.

    Attributes:
        negative: Whether the number is below 0.
        digits: The digits; empty for 0.
        exponent: The power of ten.
    """

    negative: bool
    digits: str
    exponent: int

    @classmethod
    def of(cls, whole: str, fraction: str = "", exponent: int = 0, *, negative: bool = False) -> Digits:
        """Make a number from its digits before and after the decimal mark."""
        digits = (whole + fraction).lstrip("0")
        stripped = digits.rstrip("0")
        if not stripped:
            return cls(negative=False, digits="", exponent=0)
        return cls(negative, stripped, exponent - len(fraction) + len(digits) - len(stripped))

    @property
    def is_short(self) -> bool:
        """Whether the number can be calculated with."""
        return len(self.digits) + abs(self.exponent) <= _MAX_DIGITS

    def text(self, mark: str) -> str:
        """The number with the given decimal mark. Equal numbers give the same text."""
        if not self.digits:
            return "0"
        sign = "-" if self.negative else ""
        if self.exponent >= 0:
            whole = self.exponent <= 40
            return sign + self.digits + ("0" * self.exponent if whole else f"e{self.exponent}")
        point = len(self.digits) + self.exponent
        if point > 0:
            return f"{sign}{self.digits[:point]}{mark}{self.digits[point:]}"
        return sign + (f"0{mark}{'0' * -point}{self.digits}" if point > -20 else f"{self.digits}e{self.exponent}")

    def decimal(self) -> Decimal:
        """The number as a ``Decimal``, with all digits."""
        return Decimal(f"{'-' if self.negative else ''}{self.digits or '0'}e{self.exponent}")

    def exact(self) -> Exact:
        """The number to calculate with.

        Raises:
            UnreadableError: The number is too long.
        """
        if not self.is_short:
            raise UnreadableError
        value = Fraction(int(self.digits or "0")) * Fraction(10) ** self.exponent
        return Exact.of(-value if self.negative else value)


@dataclass(frozen=True)
class Exact:
    """A sum of products, such as ``1 + 2 × 3^(1/2)``.

    Attributes:
        terms: The rational factor of each product of powers; none is 0.
    """

    terms: Mapping[Powers, Fraction]

    @classmethod
    def of(cls, value: Fraction | int) -> Exact:
        """Make a value from a rational number."""
        return cls({(): Fraction(value)} if value else {})

    @classmethod
    def pi(cls) -> Exact:
        """The number π."""
        return cls({((_PI_BASE, Fraction(1)),): Fraction(1)})

    @property
    def rational(self) -> Fraction | None:
        """The value, when it is rational."""
        if not self.terms:
            return Fraction(0)
        return self.terms.get(()) if len(self.terms) == 1 else None

    def __add__(self, other: Exact) -> Exact:
        """Add two values."""
        terms = dict(self.terms)
        for powers, factor in other.terms.items():
            terms[powers] = terms.get(powers, Fraction(0)) + factor
        return _checked(terms)

    def __neg__(self) -> Exact:
        """The value with the other sign."""
        return Exact({powers: -factor for powers, factor in self.terms.items()})

    def __mul__(self, other: Exact) -> Exact:
        """Multiply two values."""
        terms: dict[Powers, Fraction] = {}
        for one, a in self.terms.items():
            for two, b in other.terms.items():
                carried, powers = _product(one, two)
                terms[powers] = terms.get(powers, Fraction(0)) + a * b * carried
        return _checked(terms)

    def __truediv__(self, other: Exact) -> Exact:
        """Divide two values.

        Raises:
            UnreadableError: The divisor is 0, or a sum of more than two terms.
        """
        if len(other.terms) == 1:
            ((powers, factor),) = other.terms.items()
            carried, inverse = _product(tuple((base, -exponent) for base, exponent in powers), ())
            return self * Exact({inverse: carried / factor})
        if len(other.terms) == 2:
            first, second = ((Exact({powers: factor})) for powers, factor in other.terms.items())
            conjugate = first + -second
            divisor = other * conjugate
            if len(divisor.terms) == 1:
                return self * conjugate / divisor
        raise UnreadableError

    def power(self, exponent: Fraction) -> Exact:
        """Raise the value to a rational power; the real root is taken.

        Raises:
            UnreadableError: The result is not real, or too large.
        """
        if exponent.denominator > 12 or abs(exponent.numerator) > _MAX_BITS or (not self.terms and exponent <= 0):
            raise UnreadableError
        if not self.terms:
            return self
        if len(self.terms) > 1:
            if exponent.denominator > 1 or not 0 < exponent <= 6:
                raise UnreadableError
            return reduce(lambda one, _: one * self, range(exponent.numerator - 1), self)
        ((powers, factor),) = self.terms.items()
        sign = 1
        if factor < 0:
            if exponent.denominator % 2 == 0:
                raise UnreadableError
            sign = -1 if exponent.numerator % 2 else 1
        result = [(base, power * exponent) for base, power in powers]
        carried = Fraction(sign)
        for base, power in _factors(abs(factor), exponent):
            result.append((base, power))
        whole, rest = _product(tuple(result), ())
        return _checked({rest: carried * whole})

    def decimal(self) -> Decimal:
        """The value, rounded to 60 digits."""
        total = Decimal(0)
        for powers, factor in self.terms.items():
            term = ARITHMETIC.divide(Decimal(factor.numerator), Decimal(factor.denominator))
            for base, exponent in powers:
                root = ARITHMETIC.divide(Decimal(exponent.numerator), Decimal(exponent.denominator))
                term = ARITHMETIC.multiply(term, ARITHMETIC.power(_PI if base == _PI_BASE else Decimal(base), root))
            total = ARITHMETIC.add(total, term)
        return total

    def text(self, mark: str) -> str:
        """The value with the given decimal mark. Equal values give the same text."""
        if not self.terms:
            return "0"
        parts = []
        for powers, factor in sorted(self.terms.items()):
            names = [_power_text(base, exponent) for base, exponent in powers]
            if not names or abs(factor) != 1:
                names.insert(0, _fraction_text(abs(factor), mark))
            parts.append(("-" if factor < 0 else "+") + "*".join(names))
        return "".join(parts).removeprefix("+")


def _checked(terms: Mapping[Powers, Fraction]) -> Exact:
    kept = {powers: factor for powers, factor in terms.items() if factor}
    if len(kept) > _MAX_TERMS or any(
        factor.numerator.bit_length() > _MAX_BITS or factor.denominator.bit_length() > _MAX_BITS
        for factor in kept.values()
    ):
        raise UnreadableError
    return Exact(kept)


def _product(one: Powers, two: Powers) -> tuple[Fraction, Powers]:
    """The whole powers of a product as a number, and the rest, with exponents from 0 to 1 except for π."""
    exponents: dict[int, Fraction] = {}
    for base, exponent in (*one, *two):
        exponents[base] = exponents.get(base, Fraction(0)) + exponent
    carried = Fraction(1)
    rest = []
    for base, exponent in sorted(exponents.items()):
        whole = 0 if base == _PI_BASE else math.floor(exponent)
        if abs(whole) * base.bit_length() > 2 * _MAX_BITS:
            raise UnreadableError
        carried *= Fraction(base) ** whole if whole else 1
        if exponent != whole:
            rest.append((base, exponent - whole))
    return carried, tuple(rest)


def _factors(value: Fraction, exponent: Fraction) -> list[tuple[int, Fraction]]:
    """The bases and exponents of a power of a positive number."""
    if exponent.denominator == 1:  # no root: factors are of no use
        return [(n, e) for n, e in ((value.numerator, exponent), (value.denominator, -exponent)) if n > 1]
    found: list[tuple[int, Fraction]] = []
    for number, sign in ((value.numerator, 1), (value.denominator, -1)):
        rest = number
        for prime in _PRIMES:
            if prime * prime > rest:
                break
            times = 0
            while rest % prime == 0:
                rest //= prime
                times += 1
            if times:
                found.append((prime, sign * times * exponent))
        if rest > 1:
            root = math.isqrt(rest)
            found.append((root, sign * 2 * exponent) if root * root == rest else (rest, sign * exponent))
    return found


def _power_text(base: int, exponent: Fraction) -> str:
    name = "pi" if base == _PI_BASE else str(base)
    return name if exponent == 1 else f"{name}^({exponent})"


def _fraction_text(value: Fraction, mark: str) -> str:
    twos = (value.denominator & -value.denominator).bit_length() - 1
    rest, fives = value.denominator >> twos, 0
    while rest % 5 == 0:
        rest //= 5
        fives += 1
    if rest > 1:
        return f"{value.numerator}/{value.denominator}"
    places = max(twos, fives)
    return Digits.of(str(value.numerator * 10**places // value.denominator), "", -places).text(mark)
