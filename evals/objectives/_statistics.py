"""What objectives make of their columns: the mean, a share, a quantile, or an amount for each success.

| statistic | test that a member is better; for its one made-up example see ``orkester.evals.stats.weighting`` |
|---|---|
| share | McNemar with mid-p for 0 and 1, else weighted differences, one of a whole score made up |
| quantile | both teams' weighted quantiles; made up: no time against an endless one |
| mean | weighted differences; made up: nothing against the largest seen |
| mean of what is metered by block | Student's t of the log ratios of whole blocks |
| amount for each success | both the amount and the share of successes |
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from orkester.evals.block import Block
from orkester.evals.footprint import Footprint
from orkester.evals.stats.draws import Weights, drawn_mean, drawn_mean_of_blocks, drawn_quantile, drawn_share
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

#: An example with a score over this was answered right.
_RIGHT = 0.5


@dataclass(frozen=True)
class Share:
    """The mean of what lies in [0, 1]. A ``Statistic``."""

    share: ClassVar[bool] = True
    plain: ClassVar[bool] = True
    spread: ClassVar[float] = 1.0
    effort: ClassVar[int] = 0
    of_blocks: ClassVar[bool] = False
    beside: ClassVar[Sequence[Column]] = ()

    def value(self, column: Column, columns: Mapping[str, Floats]) -> float:
        """See ``Statistic``."""
        return float(columns[column.name].mean())

    def estimate(self, column: Column, blocks: Sequence[Block], footprint: Footprint | None) -> Estimate | None:
        """See ``Statistic``: Wilson's interval where all are 0 or 1, else the bootstrap's."""
        del footprint
        values = column.values(blocks)
        if values is None:
            return None
        n = len(values)
        if all(value in {0.0, 1.0} for value in values):
            successes = int(sum(values))
            low, high = wilson(successes, n)
            return Estimate(value=successes / n, low=low, high=high, n=n)
        ends = bootstrap_mean(values) or (None, None)
        return Estimate(value=sum(values) / n, low=ends[0], high=ends[1], n=n)

    def paired_p(
        self, column: Column, candidate: Rows, member: Rows, direction: Direction, margin: float, enough: float
    ) -> float:
        """See ``Statistic``."""
        del enough
        more, less = _sides(column, candidate, member, direction)
        n = min(candidate.n, member.n)
        return share_p(more[:n] - less[:n], margin)

    def optimistic(self, column: Column, rows: Rows, direction: Direction, level: float) -> float:
        """See ``Statistic``."""
        values = rows.columns[column.name]
        return mean_upper(values, level) if direction == "maximize" else 1 - mean_upper(1 - values, level)

    def drawn(self, column: Column, rows: Rows, weights: Weights) -> Floats:
        """See ``Statistic``."""
        return drawn_share(rows.columns[column.name], weights)

    def examples_needed(self, level: float) -> int:
        """See ``Statistic``."""
        return _examples_needed(0.5, level)


@dataclass(frozen=True)
class Mean:
    """The mean of what has no upper end and a long tail. A ``Statistic``."""

    share: ClassVar[bool] = False
    plain: ClassVar[bool] = True
    spread: ClassVar[float] = 1.0
    effort: ClassVar[int] = 0
    of_blocks: ClassVar[bool] = True
    beside: ClassVar[Sequence[Column]] = ()

    def value(self, column: Column, columns: Mapping[str, Floats]) -> float:
        """See ``Statistic``."""
        return float(columns[column.name].mean())

    def estimate(self, column: Column, blocks: Sequence[Block], footprint: Footprint | None) -> Estimate | None:
        """See ``Statistic``: Student's t without skewness over examples, or that of a ratio over blocks."""
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
        self, column: Column, candidate: Rows, member: Rows, direction: Direction, margin: float, enough: float
    ) -> float:
        """See ``Statistic``. The better team's largest may lie beyond the shared examples: it is then better known."""
        del enough
        more, less = _sides(column, candidate, member, direction)
        more = more[: min(candidate.n, member.n)] * (1 + margin)
        shared = less[: len(more)]
        sizes = candidate.block_sizes or member.block_sizes
        if column.by_block and sizes:
            return blocks_p(more, shared, sizes)
        return weighted_mean_p(more - shared, -float(less.max()))

    def optimistic(self, column: Column, rows: Rows, direction: Direction, level: float) -> float:
        """See ``Statistic``; there is one for ``minimize`` alone."""
        del direction
        values = rows.columns[column.name]
        if column.by_block and rows.block_sizes:
            return blocks_lower(values, rows.block_sizes, level)
        return mean_lower(values, level)

    def drawn(self, column: Column, rows: Rows, weights: Weights) -> Floats:
        """See ``Statistic``."""
        values = rows.columns[column.name]
        if column.by_block and rows.block_sizes:
            return drawn_mean_of_blocks(values, rows.block_sizes, weights)
        return drawn_mean(values, weights)

    def examples_needed(self, level: float) -> int:
        """See ``Statistic``."""
        return _examples_needed(0.5, level)


@dataclass(frozen=True)
class Quantile:
    """A quantile of what is positive, by example. A ``Statistic``.

    Attributes:
        q: which, between 0 and 1.
        spread: 1.57 for a median and 4.47 for a p95 (Kendall and Stuart, The Advanced Theory of Statistics, vol. 1,
            section 14.10).
    """

    q: float
    spread: float
    share: ClassVar[bool] = False
    plain: ClassVar[bool] = False
    effort: ClassVar[int] = 2
    of_blocks: ClassVar[bool] = False
    beside: ClassVar[Sequence[Column]] = ()

    def value(self, column: Column, columns: Mapping[str, Floats]) -> float:
        """See ``Statistic``."""
        values = columns[column.name]
        return float(np.median(values) if self.q == 0.5 else np.quantile(values, self.q))

    def estimate(self, column: Column, blocks: Sequence[Block], footprint: Footprint | None) -> Estimate | None:
        """See ``Statistic``: exact ranks."""
        del footprint
        values = column.values(blocks)
        if values is None:
            return None
        low, high = quantile_interval(values, self.q)
        return Estimate(value=quantile(values, self.q), low=low, high=high, n=len(values))

    def paired_p(
        self, column: Column, candidate: Rows, member: Rows, direction: Direction, margin: float, enough: float
    ) -> float:
        """See ``Statistic``."""
        more, less = _sides(column, candidate, member, direction)
        n = min(candidate.n, member.n)
        return paired_quantile_p(more[:n] * (1 + margin), less[:n], self.q, enough=enough)

    def optimistic(self, column: Column, rows: Rows, direction: Direction, level: float) -> float:
        """See ``Statistic``; there is one for ``minimize`` alone."""
        del direction
        return quantile_lower(rows.columns[column.name], self.q, level)

    def drawn(self, column: Column, rows: Rows, weights: Weights) -> Floats:
        """See ``Statistic``."""
        return drawn_quantile(rows.columns[column.name], self.q, weights)

    def examples_needed(self, level: float) -> int:
        """See ``Statistic``."""
        return _examples_needed(self.q, level)


@dataclass(frozen=True)
class PerSuccess:
    """The column's sum, divided by the number of examples that were answered right. A ``Statistic``."""

    share: ClassVar[bool] = False
    plain: ClassVar[bool] = False
    spread: ClassVar[float] = 2.0
    effort: ClassVar[int] = 1
    of_blocks: ClassVar[bool] = True
    beside: ClassVar[Sequence[Column]] = (SCORE,)

    def value(self, column: Column, columns: Mapping[str, Floats]) -> float:
        """See ``Statistic``; infinite where nothing was answered right."""
        succeeded = _succeeded(columns)
        return float(columns[column.name].sum() / succeeded.sum()) if succeeded.any() else np.inf

    def estimate(self, column: Column, blocks: Sequence[Block], footprint: Footprint | None) -> Estimate | None:
        """See ``Statistic``: Student's t of a ratio over blocks."""
        totals = column.totals(blocks, footprint)
        successes = [sum(SCORE.of(example) > _RIGHT for example in block.examples) for block in blocks]
        if totals is None or not any(successes):
            return None
        # Where a block has none, so may all blocks that are drawn, and the quotient has no upper end.
        return _ratio(totals, successes, bounded=all(successes))

    def paired_p(
        self, column: Column, candidate: Rows, member: Rows, direction: Direction, margin: float, enough: float
    ) -> float:
        """See ``Statistic``: a larger amount with no more successes is more for each success, an intersection test."""
        if direction == "maximize":
            return 1.0
        n = min(candidate.n, member.n)
        of_successes = share_p(_succeeded(member.columns)[:n] - _succeeded(candidate.columns)[:n], 0.0)
        if of_successes > enough:
            return of_successes
        return max(of_successes, Mean().paired_p(column, candidate, member, direction, margin, enough))

    def optimistic(self, column: Column, rows: Rows, direction: Direction, level: float) -> float:
        """See ``Statistic``; there is one for ``minimize`` alone."""
        amount = Mean().optimistic(column, rows, direction, level / 2)
        return amount / mean_upper(_succeeded(rows.columns), level / 2)

    def drawn(self, column: Column, rows: Rows, weights: Weights) -> Floats:
        """See ``Statistic``."""
        amount = Mean().drawn(column, rows, weights)
        return amount / drawn_share(_succeeded(rows.columns), weights)

    def examples_needed(self, level: float) -> int:
        """See ``Statistic``."""
        return _examples_needed(0.5, level)


def _sides(column: Column, candidate: Rows, member: Rows, direction: Direction) -> tuple[Floats, Floats]:
    """What must be shown to be larger, and than what: the candidate's time, the member's score."""
    theirs, ours = candidate.columns[column.name], member.columns[column.name]
    return (theirs, ours) if direction == "minimize" else (ours, theirs)


def _succeeded(columns: Mapping[str, Floats]) -> Floats:
    return np.where(columns[SCORE.name] > _RIGHT, 1.0, 0.0)


def _examples_needed(q: float, level: float) -> int:
    return max(1, math.ceil(math.log(level) / math.log(q)))


def _ratio(of: Totals, counts: Sequence[int], *, bounded: bool = True) -> Estimate:
    """Σ totals ÷ Σ counts; its interval is widened by what the meter itself may be off, which blocks do not show."""
    whole = sum(counts)
    ends = ratio_interval(of.totals, counts) if bounded else None
    low, high = (max(0.0, ends[0] - of.error / whole), ends[1] + of.error / whole) if ends else (None, None)
    found = Estimate(value=sum(of.totals) / whole, low=low, high=high, n=sum(of.examples))
    return found if of.convert is None else _converted(found, of.convert)


def _converted(found: Estimate, convert: Callable[[float], float]) -> Estimate:
    """In another unit: by multiplication, so the interval is the same one."""
    low, high = (None if end is None else convert(end) for end in (found.low, found.high))
    return replace(found, value=convert(found.value), low=low, high=high)
