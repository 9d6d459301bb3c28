"""The statistics of objectives: the mean, a share, a quantile, and an amount per success.

| statistic | test that a member is better; ``orkester.evals.stats.weighting`` explains the added worst example |
|---|---|
| share | McNemar with mid-p for 0 and 1, else weighted differences; worst example: a difference of a whole score |
| quantile | both teams' weighted quantiles; worst example: no time against infinite time |
| mean | weighted differences; worst example: 0 against the largest value |
| mean of a column metered by block | Student's t of the log ratios of whole blocks |
| amount per success | both the amount and the share of successes |
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from orkester.evals.footprint import Footprint
from orkester.evals.records.block import Block
from orkester.evals.stats.draws import Weights, block_mean_draws, mean_draws, quantile_draws, share_draws
from orkester.evals.stats.intervals import (
    bootstrap_mean,
    mean_interval,
    quantile,
    quantile_interval,
    ratio_interval,
    wilson,
)
from orkester.evals.stats.rows import Rows
from orkester.evals.stats.weighting import (
    mean_lower,
    mean_upper,
    paired_quantile_p,
    quantile_lower,
    share_p,
    weighted_mean_p,
)
from orkester.evals.stats.whole_blocks import blocks_lower, blocks_p

from ._base import Column, Direction, Estimate, Floats, Totals
from ._columns import SCORE

#: An example with a score above this counts as a success.
_SUCCESS = 0.5


def share_estimate(values: Sequence[float]) -> Estimate:
    """The mean of values in [0, 1], with its 95 % interval.

    Args:
        values: The values, at least one.

    Returns:
        The mean. The interval is Wilson's when all values are 0 or 1, else that of the bootstrap.
    """
    n = len(values)
    if all(value in {0.0, 1.0} for value in values):
        successes = int(sum(values))
        low, high = wilson(successes, n)
        return Estimate(value=successes / n, low=low, high=high, n=n)
    ends = bootstrap_mean(values) or (None, None)
    return Estimate(value=sum(values) / n, low=ends[0], high=ends[1], n=n)


@dataclass(frozen=True)
class Share:
    """The mean of a column whose values lie in [0, 1]. This is a ``Statistic``."""

    share: ClassVar[bool] = True
    is_mean: ClassVar[bool] = True
    variance_ratio: ClassVar[float] = 1.0
    effort: ClassVar[int] = 0
    supports_blocks: ClassVar[bool] = False
    extra_columns: ClassVar[Sequence[Column]] = ()

    def value(self, column: Column, columns: Mapping[str, Floats]) -> float:
        """See ``Statistic``."""
        return float(columns[column.name].mean())

    def estimate(self, column: Column, blocks: Sequence[Block], footprint: Footprint | None) -> Estimate | None:
        """See ``Statistic``."""
        del footprint
        values = column.values(blocks)
        if values is None:
            return None
        return share_estimate(values)

    def paired_p(
        self, column: Column, candidate: Rows, member: Rows, direction: Direction, margin: float, exact_up_to: float
    ) -> float:
        """See ``Statistic``."""
        del exact_up_to
        more, less = _sides(column, candidate, member, direction)
        n = min(candidate.n, member.n)
        return share_p(more[:n] - less[:n], margin)

    def optimistic_bound(self, column: Column, rows: Rows, direction: Direction, level: float) -> float:
        """See ``Statistic``."""
        values = rows.columns[column.name]
        return mean_upper(values, level) if direction == "maximize" else 1 - mean_upper(1 - values, level)

    def draws(self, column: Column, rows: Rows, weights: Weights) -> Floats:
        """See ``Statistic``."""
        return share_draws(rows.columns[column.name], weights)

    def examples_needed(self, level: float) -> int:
        """See ``Statistic``."""
        return _examples_needed(0.5, level)


@dataclass(frozen=True)
class Mean:
    """The mean of a positive column without an upper limit, such as seconds or joules. This is a ``Statistic``."""

    share: ClassVar[bool] = False
    is_mean: ClassVar[bool] = True
    variance_ratio: ClassVar[float] = 1.0
    effort: ClassVar[int] = 0
    supports_blocks: ClassVar[bool] = True
    extra_columns: ClassVar[Sequence[Column]] = ()

    def value(self, column: Column, columns: Mapping[str, Floats]) -> float:
        """See ``Statistic``."""
        return float(columns[column.name].mean())

    def estimate(self, column: Column, blocks: Sequence[Block], footprint: Footprint | None) -> Estimate | None:
        """See ``Statistic``. The interval is Student's t: corrected for skewness, or of a ratio over blocks."""
        if column.by_block:
            totals = column.totals(blocks, footprint)
            return None if totals is None else _ratio(totals, totals.examples)
        values = column.values(blocks)
        if values is None:
            return None
        low, high = mean_interval(values) or (None, None)
        low = None if low is None else max(0.0, low)
        return Estimate(value=sum(values) / len(values), low=low, high=high, n=len(values))

    def paired_p(
        self, column: Column, candidate: Rows, member: Rows, direction: Direction, margin: float, exact_up_to: float
    ) -> float:
        """See ``Statistic``. The largest value may come from an example that the other team was not measured on."""
        del exact_up_to
        more, less = _sides(column, candidate, member, direction)
        more = more[: min(candidate.n, member.n)] * (1 + margin)
        shared = less[: len(more)]
        sizes = candidate.block_sizes or member.block_sizes
        if column.by_block and sizes:
            return blocks_p(more, shared, sizes)
        return weighted_mean_p(more - shared, -float(less.max()))

    def optimistic_bound(self, column: Column, rows: Rows, direction: Direction, level: float) -> float:
        """See ``Statistic``. There is a bound only for ``minimize``."""
        del direction
        values = rows.columns[column.name]
        if column.by_block and rows.block_sizes:
            return blocks_lower(values, rows.block_sizes, level)
        return mean_lower(values, level)

    def draws(self, column: Column, rows: Rows, weights: Weights) -> Floats:
        """See ``Statistic``."""
        values = rows.columns[column.name]
        if column.by_block and rows.block_sizes:
            return block_mean_draws(values, rows.block_sizes, weights)
        return mean_draws(values, weights)

    def examples_needed(self, level: float) -> int:
        """See ``Statistic``."""
        return _examples_needed(0.5, level)


@dataclass(frozen=True)
class Quantile:
    """A quantile of a positive column that is measured by example. This is a ``Statistic``.

    Attributes:
        q: The quantile, between 0 and 1; 0.5 is the median.
        variance_ratio: See ``Statistic``. 1.57 for a median and 4.47 for a p95 (Kendall and Stuart, The Advanced Theory
            of Statistics, vol. 1, section 14.10).
    """

    q: float
    variance_ratio: float
    share: ClassVar[bool] = False
    is_mean: ClassVar[bool] = False
    effort: ClassVar[int] = 2
    supports_blocks: ClassVar[bool] = False
    extra_columns: ClassVar[Sequence[Column]] = ()

    def value(self, column: Column, columns: Mapping[str, Floats]) -> float:
        """See ``Statistic``."""
        values = columns[column.name]
        return float(np.median(values) if self.q == 0.5 else np.quantile(values, self.q))

    def estimate(self, column: Column, blocks: Sequence[Block], footprint: Footprint | None) -> Estimate | None:
        """See ``Statistic``. The interval is made from order statistics."""
        del footprint
        values = column.values(blocks)
        if values is None:
            return None
        low, high = quantile_interval(values, self.q)
        return Estimate(value=quantile(values, self.q), low=low, high=high, n=len(values))

    def paired_p(
        self, column: Column, candidate: Rows, member: Rows, direction: Direction, margin: float, exact_up_to: float
    ) -> float:
        """See ``Statistic``."""
        more, less = _sides(column, candidate, member, direction)
        n = min(candidate.n, member.n)
        return paired_quantile_p(more[:n] * (1 + margin), less[:n], self.q, exact_up_to=exact_up_to)

    def optimistic_bound(self, column: Column, rows: Rows, direction: Direction, level: float) -> float:
        """See ``Statistic``. There is a bound only for ``minimize``."""
        del direction
        return quantile_lower(rows.columns[column.name], self.q, level)

    def draws(self, column: Column, rows: Rows, weights: Weights) -> Floats:
        """See ``Statistic``."""
        return quantile_draws(rows.columns[column.name], self.q, weights)

    def examples_needed(self, level: float) -> int:
        """See ``Statistic``."""
        return _examples_needed(self.q, level)


@dataclass(frozen=True)
class PerSuccess:
    """The sum of a column, divided by the number of successful examples. This is a ``Statistic``."""

    share: ClassVar[bool] = False
    is_mean: ClassVar[bool] = False
    variance_ratio: ClassVar[float] = 2.0
    effort: ClassVar[int] = 1
    supports_blocks: ClassVar[bool] = True
    extra_columns: ClassVar[Sequence[Column]] = (SCORE,)

    def value(self, column: Column, columns: Mapping[str, Floats]) -> float:
        """See ``Statistic``. The value is infinite when no example succeeded."""
        succeeded = _succeeded(columns)
        return float(columns[column.name].sum() / succeeded.sum()) if succeeded.any() else np.inf

    def estimate(self, column: Column, blocks: Sequence[Block], footprint: Footprint | None) -> Estimate | None:
        """See ``Statistic``. The interval is Student's t of a ratio over blocks."""
        totals = column.totals(blocks, footprint)
        successes = [sum(SCORE.of(example) > _SUCCESS for example in block.examples) for block in blocks]
        if totals is None or not any(successes):
            return None
        # When a block has no success, a resample may consist of such blocks only, so there is no upper limit.
        return _ratio(totals, successes, bounded=all(successes))

    def paired_p(
        self, column: Column, candidate: Rows, member: Rows, direction: Direction, margin: float, exact_up_to: float
    ) -> float:
        """See ``Statistic``. The test must show a larger amount, and that the candidate has no more successes."""
        if direction == "maximize":
            return 1.0
        n = min(candidate.n, member.n)
        of_successes = share_p(_succeeded(member.columns)[:n] - _succeeded(candidate.columns)[:n], 0.0)
        if of_successes > exact_up_to:
            return of_successes
        return max(of_successes, Mean().paired_p(column, candidate, member, direction, margin, exact_up_to))

    def optimistic_bound(self, column: Column, rows: Rows, direction: Direction, level: float) -> float:
        """See ``Statistic``. There is a bound only for ``minimize``."""
        amount = Mean().optimistic_bound(column, rows, direction, level / 2)
        return amount / mean_upper(_succeeded(rows.columns), level / 2)

    def draws(self, column: Column, rows: Rows, weights: Weights) -> Floats:
        """See ``Statistic``."""
        amount = Mean().draws(column, rows, weights)
        return amount / share_draws(_succeeded(rows.columns), weights)

    def examples_needed(self, level: float) -> int:
        """See ``Statistic``."""
        return _examples_needed(0.5, level)


def _sides(column: Column, candidate: Rows, member: Rows, direction: Direction) -> tuple[Floats, Floats]:
    """The column that must be shown to be larger, and the other: for ``minimize``, the candidate's is the larger."""
    of_candidate, of_member = candidate.columns[column.name], member.columns[column.name]
    return (of_candidate, of_member) if direction == "minimize" else (of_member, of_candidate)


def _succeeded(columns: Mapping[str, Floats]) -> Floats:
    return np.where(columns[SCORE.name] > _SUCCESS, 1.0, 0.0)


def _examples_needed(q: float, level: float) -> int:
    return max(1, math.ceil(math.log(level) / math.log(q)))


def _ratio(sums: Totals, counts: Sequence[int], *, bounded: bool = True) -> Estimate:
    """Σ totals ÷ Σ counts. The interval is widened by the possible error of the meter, which blocks do not show."""
    count = sum(counts)
    ends = ratio_interval(sums.totals, counts) if bounded else None
    low, high = (max(0.0, ends[0] - sums.error / count), ends[1] + sums.error / count) if ends else (None, None)
    estimate = Estimate(value=sum(sums.totals) / count, low=low, high=high, n=sum(sums.examples))
    return estimate if sums.convert is None else _converted(estimate, sums.convert)


def _converted(estimate: Estimate, convert: Callable[[float], float]) -> Estimate:
    """The estimate in another unit. The conversion is a multiplication, so the ends are converted in the same way."""
    low, high = (None if end is None else convert(end) for end in (estimate.low, estimate.high))
    return replace(estimate, value=convert(estimate.value), low=low, high=high)
