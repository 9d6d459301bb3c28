"""The parts of an objective: a column (how it is measured) and a statistic (what is computed from the column)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from orkester.evals.footprint import Footprint
from orkester.evals.records.agent_shares import AgentShare
from orkester.evals.records.block import Block
from orkester.evals.stats.draws import Weights
from orkester.evals.stats.rows import Rows

Floats: TypeAlias = NDArray[np.float64]
Direction: TypeAlias = Literal["maximize", "minimize"]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """An estimate of an objective with its interval.

    Attributes:
        value: The point estimate, in the objective's unit.
        low: The lower end of the 95 % interval; None where there are too few examples for it.
        high: The upper end; None where there are too few examples for it, as is often so for a 95th percentile.
        n: Number of examples that the estimate is made from.
    """

    value: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True, kw_only=True)
class Totals:
    """The sums of a column over the examples of each block.

    Attributes:
        totals: The sum for each block.
        examples: The number of examples of each block.
        error: How far the meter may be off in all blocks together, in either direction, in the unit of the totals.
        convert: Converts the unit of the totals to that of the objective. It must be a multiplication.
    """

    totals: Sequence[float]
    examples: Sequence[int]
    error: float = 0.0
    convert: Callable[[float], float] | None = None


class Column(Protocol):
    """How an objective is measured: one number for each example.

    Attributes:
        name: Columns with the same name must be the same column.
        is_count: Whether the numbers are counts (whole numbers). Two teams with the same counts in all shared examples
            are then equal.
        by_block: Whether the column is metered by block and spread evenly over the block's examples. Then only whole
            blocks say how much it varies, and ``values`` is never called.
    """

    @property
    def name(self) -> str: ...
    @property
    def is_count(self) -> bool: ...
    @property
    def by_block(self) -> bool: ...

    def of_block(self, block: Block, footprint: Footprint | None) -> Floats:
        """The column of one block.

        Args:
            block: The block.
            footprint: The emissions and costs of a joule; None when the study does not give them.

        Returns:
            A number for each example, of shape (examples,); NaN where it is not known.
        """
        ...

    def values(self, blocks: Sequence[Block]) -> Sequence[float] | None:
        """The column of several blocks of one team, for the estimate.

        Args:
            blocks: The blocks.

        Returns:
            A number for each example of all blocks; None where it could not be measured.
        """
        ...

    def totals(self, blocks: Sequence[Block], footprint: Footprint | None) -> Totals | None:
        """The sums of the column over the examples of each block.

        Args:
            blocks: The blocks of one team.
            footprint: The emissions and costs of a joule; None when the study does not give them.

        Returns:
            The sums; None where the column could not be measured.
        """
        ...


class Statistic(Protocol):
    """What an objective computes from its column: the value, its interval, its paired test and random draws of it.

    Attributes:
        share: Whether the value lies in [0, 1]. If not, it is positive, and models use its logarithm.
        is_mean: Whether the value is the mean of the column, so that effects of teams and of examples add up to it.
        variance_ratio: The variance of the estimate, as a multiple of the variance of a mean of as many normally
            distributed rows.
        effort: How much work the paired test is, compared with other statistics. Cheap tests are made first.
        supports_blocks: Whether the value can be computed from columns that are metered by block.
        extra_columns: Further columns that the value is computed from.
    """

    @property
    def share(self) -> bool: ...
    @property
    def is_mean(self) -> bool: ...
    @property
    def variance_ratio(self) -> float: ...
    @property
    def effort(self) -> int: ...
    @property
    def supports_blocks(self) -> bool: ...
    @property
    def extra_columns(self) -> Sequence[Column]: ...

    def value(self, column: Column, columns: Mapping[str, Floats]) -> float:
        """The value of one team.

        Args:
            column: The objective's column.
            columns: The team's columns by name, each of shape (examples,).

        Returns:
            The value; infinite where there is none, for example joules per success when no example succeeded.
        """
        ...

    def estimate(self, column: Column, blocks: Sequence[Block], footprint: Footprint | None) -> Estimate | None:
        """The value with its interval.

        Args:
            column: The objective's column.
            blocks: The blocks of one team in one phase, at least one.
            footprint: The emissions and costs of a joule; None when the study does not give them.

        Returns:
            None where it could not be measured.
        """
        ...

    def paired_p(
        self, column: Column, candidate: Rows, member: Rows, direction: Direction, margin: float, exact_up_to: float
    ) -> float:
        """The p-value of the claim that the member is better than the candidate.

        Args:
            column: The objective's column.
            candidate: Rows of one team, with all columns that the statistic needs.
            member: Rows of the other team, with the same columns.
            direction: Which value is better.
            margin: See ``Objective.paired_p``.
            exact_up_to: See ``Objective.paired_p``.
        """
        ...

    def optimistic_bound(self, column: Column, rows: Rows, direction: Direction, level: float) -> float | None:
        """A bound on the true value: the team is not better than this, except with probability ``level``.

        Args:
            column: The objective's column.
            rows: Rows of one team.
            direction: Which value is better.
            level: The probability that the bound is wrong.

        Returns:
            The bound; None where there is no such bound.
        """
        ...

    def draws(self, column: Column, rows: Rows, weights: Weights) -> Floats:
        """The value when the examples get random weights.

        Args:
            column: The objective's column.
            rows: Rows of one team.
            weights: The draws of weights.

        Returns:
            A value for each draw, of shape (draws,).
        """
        ...

    def examples_needed(self, level: float) -> int:
        """The smallest number of shared examples with which a paired test can reach a p-value of ``level``.

        Args:
            level: The p-value.
        """
        ...


class Prediction(Enum):
    """How an objective is predicted for a team that was never run, from the calls that the team would make."""

    CALLS = "the number of calls"
    LONGEST_PATH_S = "the seconds of the calls; calls that run in parallel take as long as the longest of them"
    SUM_J = "the sum of the calls' joules"


@dataclass(frozen=True, kw_only=True)
class Objective:
    """A quantity that a study can optimise or limit.

    Attributes:
        name: The name in study files.
        unit: The unit of its numbers; empty for shares and counts.
        direction: The direction that a study usually wants.
        meaning: What the quantity is, in a sentence.
        column: How the quantity is measured.
        statistic: What is computed from the column.
        prediction: How the quantity is predicted for a team that was never run; None where it cannot be.
        of_joules: Whether the quantity follows from joules. Then it is unavailable where joules are, and it is never
            compared across methods of measurement.
        scales_with_joules: Whether twice the joules make twice the quantity, so that it has the error of the power
            model.
        remedy: What a user can do where the quantity was not measured.
        lack: Returns what a footprint lacks that the quantity needs, or an empty text when nothing is missing. None
            when the quantity needs no footprint.
        basis: Returns the part of a footprint that the quantity depends on, as text; its second argument writes
            numbers. None when the quantity depends on no footprint.
        of_agent: Returns an agent's part of the quantity. None when the parts of agents do not add up to it.

    Raises:
        ValueError: The column and the statistic do not go together.
    """

    name: str
    unit: str = ""
    direction: Direction = "minimize"
    meaning: str
    column: Column
    statistic: Statistic
    prediction: Prediction | None = None
    of_joules: bool = False
    scales_with_joules: bool = False
    remedy: str = "take another objective"
    lack: Callable[[Footprint], str] | None = None
    basis: Callable[[Footprint, Callable[[float], str]], str] | None = None
    of_agent: Callable[[AgentShare], float | None] | None = None

    def __post_init__(self) -> None:
        if self.column.by_block and not self.statistic.supports_blocks:
            raise ValueError(f"{self.name} needs a number for each example, but {self.column.name} is metered by block")
        if self.statistic.share and self.unit:
            raise ValueError(f"a share has no unit, but {self.name} has {self.unit!r}")

    @property
    def share(self) -> bool:
        """Whether the value lies in [0, 1]. If not, it is positive, and models use its logarithm."""
        return self.statistic.share

    @property
    def columns(self) -> Sequence[str]:
        """The names of all columns that the value is computed from, the objective's own first."""
        return [self.column.name, *(column.name for column in self.statistic.extra_columns)]

    @property
    def label(self) -> str:
        """The name in words."""
        return self.name.replace("_", " ")

    def value(self, columns: Mapping[str, Floats]) -> float:
        """The point estimate for one team.

        Args:
            columns: The team's columns by name, each of shape (examples,).

        Returns:
            The value; infinite where there is none.
        """
        return self.statistic.value(self.column, columns)

    def estimate(self, blocks: Sequence[Block], footprint: Footprint | None) -> Estimate | None:
        """The value for one team in one phase, with its 95 % interval.

        Args:
            blocks: The team's blocks, at least one.
            footprint: The emissions and costs of a joule; None when the study does not give them.

        Returns:
            None where it could not be measured.
        """
        return self.statistic.estimate(self.column, blocks, footprint)

    def paired_p(
        self, candidate: Rows, member: Rows, direction: Direction, *, margin: float = 0.0, exact_up_to: float = 1.0
    ) -> float | None:
        """The p-value of the claim that the member is better, on the examples that both teams have seen.

        Args:
            candidate: Rows of one team.
            member: Rows of the other team on the same examples in the same order; one of the two may have more of them.
            direction: Which value is better.
            margin: By how much the member may be worse and still count as better: an amount for shares, a fraction for
                other values.
            exact_up_to: A p-value above it need not be exact, which saves work.

        Returns:
            The p-value; 1 where one of the teams lacks the columns. None when both teams have the same counts, because
            then neither is better.
        """
        name = self.column.name
        if name not in candidate.columns or name not in member.columns:
            return 1.0
        n = min(candidate.n, member.n)
        if self.column.is_count and np.array_equal(candidate.columns[name][:n], member.columns[name][:n]):
            return None
        if not set(self.columns) <= candidate.columns.keys() & member.columns.keys():
            return 1.0
        return self.statistic.paired_p(self.column, candidate, member, direction, margin, exact_up_to)

    def optimistic_bound(self, rows: Rows, direction: Direction, level: float) -> float | None:
        """A bound on the true value: the team is not better than this, except with probability ``level``.

        Args:
            rows: Rows of one team.
            direction: Which value is better.
            level: The probability that the bound is wrong.

        Returns:
            The bound; None where there is no such bound.
        """
        if not self.known(rows) or (direction == "maximize" and not self.share):
            return None
        return self.statistic.optimistic_bound(self.column, rows, direction, level)

    def draws(self, rows: Rows, weights: Weights) -> Floats:
        """The value when the examples get random weights.

        Args:
            rows: Rows of one team.
            weights: The draws of weights.

        Returns:
            A value for each draw, of shape (draws,).
        """
        return self.statistic.draws(self.column, rows, weights)

    def known(self, rows: Rows) -> bool:
        """Whether the rows have all columns that the value is computed from.

        Args:
            rows: Rows of one team.
        """
        return set(self.columns) <= rows.columns.keys()
