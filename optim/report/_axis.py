"""Axes: their range, their ticks, and where a value is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ._figure import text_width

#: An axis is logarithmic if the largest value is at least so many times the smallest.
_LOGARITHMIC_FROM = 20.0
_SIZE = 11.0  # of the texts of ticks
_ROOM = 0.05  # at both ends, in parts of the length
#: The view may leave out this part of the values at each end, what is farther from the others than this part of their
#: range, and only if the view gets shorter by at least this part.
_FEW, _FAR, _WORTH = 0.05, 0.25, 0.2
_LEAST_FOR_OUTLIERS = 8  # values


@dataclass(frozen=True, kw_only=True)
class Axis:
    """An axis.

    Attributes:
        title: With the unit.
        low, high: The values at its ends. ``low`` may be the larger one: the axis is then turned around.
        logarithmic: Whether equal distances are equal factors.
        ticks: Values with their texts; chosen from the range if None.
    """

    title: str
    low: float
    high: float
    logarithmic: bool = False
    ticks: Sequence[tuple[float, str]] | None = None

    def part(self, value: float) -> float:
        """Where a value is: 0 at the low end, 1 at the high end."""
        if self.logarithmic:
            if value <= 0:
                return -math.inf
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def labelled(self, length: float, *, upright: bool = False) -> list[tuple[float, str]]:
        """The ticks with texts that do not touch each other on a length in pixels."""
        if self.ticks is not None:
            return list(self.ticks)
        if self.logarithmic:
            fine, coarse = (logarithmic_ticks(self.low, self.high, digits) for digits in ((1, 2, 5), (1,)))
            all_fit = len(self._apart(fine, length, upright)) == len(fine)
            return self._apart(fine if all_fit or len(coarse) < 2 else coarse, length, upright)
        most = 8 if upright else 7
        for wanted in range(most, 1, -1):
            ticks = _linear_ticks(self.low, self.high, wanted)
            if len(self._apart(ticks, length, upright)) == len(ticks):
                return ticks
        return self._apart(_linear_ticks(self.low, self.high, 2), length, upright)

    def _apart(self, ticks: Sequence[tuple[float, str]], length: float, upright: bool) -> list[tuple[float, str]]:
        """The ticks within the range, without those whose text would touch the one before."""
        kept: list[tuple[float, str]] = []
        end = -math.inf
        for value, text in ticks:
            at, half = self.part(value) * length, (_SIZE if upright else text_width(text, _SIZE)) / 2
            if -0.5 <= at <= length + 0.5 and at - half >= end + 6:
                kept.append((value, text))
                end = at + half
        return kept


def axis(title: str, values: Sequence[float], *, ends: Sequence[float] = (), whole: Sequence[float] = ()) -> Axis:
    """An axis whose range shows the values but is not squeezed by outliers among them. Infinite values are beyond it.

    Args:
        title: With the unit.
        values: Values, one for each mark.
        ends: Ends of intervals: they widen the range by half at most.
        whole: Values that have to be in the range, whatever the others are.
    """
    values, ends, whole = ([value for value in some if math.isfinite(value)] for some in (values, ends, whole))
    low, high = _range(values, whole) if [*values, *whole] else (0.0, 1.0)
    logarithmic = low > 0 and high / low > _LOGARITHMIC_FROM
    there, back = (math.log, math.exp) if logarithmic else (float, float)
    low, high = there(low), there(high)
    most = (high - low) / 2 or math.inf
    outer = [there(end) for end in ends if end > 0 or not logarithmic]
    low, high = (
        max(min([low, *outer]), low - most),
        min(max([high, *outer]), high + most),
    )
    room = _ROOM * (high - low) or 0.5 * abs(low) or 0.5
    return Axis(title=title, low=back(low - room), high=back(high + room), logarithmic=logarithmic)


def from_zero(title: str, ends: Sequence[float], most: float = math.inf) -> Axis:
    """An axis from zero to the largest value, with some room, but not beyond ``most``."""
    return Axis(title=title, low=0.0, high=min(most, (1 + _ROOM) * max(ends, default=0.0)) or 1.0)


def logarithmic_ticks(low: float, high: float, digits: Sequence[int]) -> list[tuple[float, str]]:
    """Ticks at powers of ten times each of these digits."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [digit * 10.0**decade for decade in decades for digit in digits]
    return [(tick, _written(tick)) for tick in ticks if low <= tick <= high]


def _linear_ticks(low: float, high: float, most: int) -> list[tuple[float, str]]:
    """Round values, at most so many."""
    least = abs(high - low) / most
    unit = 10.0 ** math.floor(math.log10(least))
    step = next(digit * unit for digit in (1, 2, 5, 10) if digit * unit >= least)
    first, last = math.ceil(min(low, high) / step - 1e-9), math.floor(max(low, high) / step + 1e-9)
    return [(i * step, _written(round(i * step, 12))) for i in range(first, last + 1)]


def _written(value: float) -> str:
    if value and not 1e-4 <= abs(value) < 1e7:
        return f"{value:.6g}"
    return f"{value:,.10g}"


def _range(values: Sequence[float], whole: Sequence[float]) -> tuple[float, float]:
    """The range of the values that have to be in it, and of the others without outliers."""
    every = sorted([*values, *whole])
    low, high = every[0], every[-1]
    if len(values) < _LEAST_FOR_OUTLIERS:
        return low, high
    there = math.log if low > 0 else float
    few = math.ceil(_FEW * len(values))
    most = sorted([*sorted(values)[few:-few], *whole])
    start, stop = there(most[0]), there(most[-1])
    far = _FAR * (stop - start)
    start, stop = max(there(low), start - far), min(there(high), stop + far)
    inner = [value for value in every if start <= there(value) <= stop]
    if there(inner[-1]) - there(inner[0]) > (1 - _WORTH) * (there(high) - there(low)):
        return low, high
    return inner[0], inner[-1]
