"""What an objective is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from orkester.evals.agent_shares import AgentShare
from orkester.evals.block import Block
from orkester.evals.footprint import Footprint
from orkester.evals.stats.draws import Weights
from orkester.evals.stats.rows import Rows

Floats: TypeAlias = NDArray[np.float64]
Direction: TypeAlias = Literal["maximize", "minimize"]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number with what it stands on.

    Attributes:
        value: the point estimate.
        low, high: ends of the 95 % interval; each None where too little was seen for it. p95 often has a low alone.
        n: examples it stands on.
    """

    value: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True, kw_only=True)
class Totals:
    """A column added up by block.

    Attributes:
        totals: of each block.
        examples: how many each block has.
        error: how far off the meter may be in all blocks together, either way, in the unit of the totals.
        convert: from the unit of the totals to that of the objective, by multiplication.
    """

    totals: Sequence[float]
    examples: Sequence[int]
    error: float = 0.0
    convert: Callable[[float], float] | None = None


class Column(Protocol):
    """How an objective is measured: one number for each example.

    Attributes:
        name: columns of the same name are the same column.
        counted: whether it holds whole numbers by nature: teams that agree in every shared example are taken as equal.
        by_block: whether it is metered by block and spread evenly over its examples: then only whole blocks tell of its
            spread, and ``values`` are not asked for.
    """

    @property
    def name(self) -> str: ...
    @property
    def counted(self) -> bool: ...
    @property
    def by_block(self) -> bool: ...

    def of_block(self, block: Block, footprint: Footprint | None) -> Floats:
        """The block's part of the column, a number for each example; NaN where it is not known."""
        ...

    def values(self, blocks: Sequence[Block]) -> Sequence[float] | None:
        """A number for each example of all blocks, for the estimate; None where it could not be measured."""
        ...

    def totals(self, blocks: Sequence[Block], footprint: Footprint | None) -> Totals | None:
        """The same added up by block; None where it could not be measured."""
        ...


class Statistic(Protocol):
    """What an objective makes of its column: the value, its interval, its tests and its draws.

    Attributes:
        share: whether it lies in [0, 1]; if not, it is positive and modelled as a logarithm.
        plain: whether it is the mean of the column, so that effects of teams and of examples add up to it.
        spread: variance of its estimate, as a multiple of the mean's from as many rows of a normal distribution.
        effort: what its paired test takes, beside those of other statistics; cheap tests go first.
        of_blocks: whether it can be made of what is metered by block.
        beside: further columns that it is made of.
    """

    @property
    def share(self) -> bool: ...
    @property
    def plain(self) -> bool: ...
    @property
    def spread(self) -> float: ...
    @property
    def effort(self) -> int: ...
    @property
    def of_blocks(self) -> bool: ...
    @property
    def beside(self) -> Sequence[Column]: ...

    def value(self, column: Column, columns: Mapping[str, Floats]) -> float:
        """The value of one team's columns; infinite where it has none."""
        ...

    def estimate(self, column: Column, blocks: Sequence[Block], footprint: Footprint | None) -> Estimate | None:
        """The value with its interval; None where it could not be measured."""
        ...

    def paired_p(
        self, column: Column, candidate: Rows, member: Rows, direction: Direction, margin: float, enough: float
    ) -> float:
        """p-value of the claim that the member is better; both have all columns."""
        ...

    def optimistic(self, column: Column, rows: Rows, direction: Direction, level: float) -> float | None:
        """The best that the value may still be, wrong with probability ``level``; None where there is no such bound."""
        ...

    def drawn(self, column: Column, rows: Rows, weights: Weights) -> Floats:
        """The value under each draw of random weights, (draws,)."""
        ...

    def examples_needed(self, level: float) -> int:
        """Shared examples, all in the member's favour, before anything can be shown at that level."""
        ...


class Prediction(Enum):
    """How an objective of a team that was never run follows from the calls that the team would make."""

    CALLS = "how many they are"
    LONGEST_PATH_S = "their seconds, where calls side by side take as long as the longest"
    SUM_J = "their joules, all added up"


@dataclass(frozen=True, kw_only=True)
class Objective:
    """A measurable quantity.

    Attributes:
        name: as in study files.
        unit: of its numbers; empty for shares and counts.
        direction: what a study usually wants.
        meaning: in a sentence.
        column: how it is measured.
        statistic: what is made of the column.
        prediction: how it follows from the calls of a team that was never run; None where it does not.
        of_joules: whether it follows from joules, so that it is unavailable where they are and never compared across
            methods.
        scales_with_joules: whether twice the joules make twice of it, so that it shares the error of a power model.
        remedy: what to do where it was not measured.
        lack: says what a footprint must have so that it can be measured and has not, empty when nothing is missing;
            None when it needs no footprint.
        basis: says what of a footprint it stands on, given also how numbers are written; None when it stands on none.
        of_agent: an agent's part of it, where agents have parts that add up; None where they do not.
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
    remedy: str = "ask with another quantity"
    lack: Callable[[Footprint], str] | None = None
    basis: Callable[[Footprint, Callable[[float], str]], str] | None = None
    of_agent: Callable[[AgentShare], float | None] | None = None

    def __post_init__(self) -> None:
        if self.column.by_block and not self.statistic.of_blocks:
            raise ValueError(f"{self.name} needs a number for each example, but {self.column.name} is metered by block")
        if self.statistic.share and self.unit:
            raise ValueError(f"a share has no unit, but {self.name} has {self.unit!r}")

    @property
    def share(self) -> bool:
        """Whether it lies in [0, 1]; if not, it is positive and modelled as a logarithm."""
        return self.statistic.share

    @property
    def columns(self) -> Sequence[str]:
        """Names of all columns that it is made of, its own first."""
        return [self.column.name, *(column.name for column in self.statistic.beside)]

    @property
    def label(self) -> str:
        """The name in words."""
        return self.name.replace("_", " ")

    def value(self, columns: Mapping[str, Floats]) -> float:
        """The point estimate from one team's columns, by name; infinite where it has none."""
        return self.statistic.value(self.column, columns)

    def estimate(self, blocks: Sequence[Block], footprint: Footprint | None) -> Estimate | None:
        """The value of one team's blocks in one phase, with its 95 % interval.

        Args:
            blocks: at least one.
            footprint: what joules mean where they were used.

        Returns:
            None where it could not be measured.
        """
        return self.statistic.estimate(self.column, blocks, footprint)

    def paired_p(
        self, candidate: Rows, member: Rows, direction: Direction, *, margin: float = 0.0, enough: float = 1.0
    ) -> float | None:
        """p-value of the claim that the member is better, on the examples that both have seen.

        Args:
            candidate, member: the same examples in the same order, the shorter one a beginning of the longer.
            direction: which is better.
            margin: by how much the member may be worse and still count as better: an amount for shares, a fraction for
                the rest.
            enough: above it the exact number is of no interest.

        Returns:
            1 where one of the two does not have it; None when both have the same counts, which decides nothing.
        """
        name = self.column.name
        if name not in candidate.columns or name not in member.columns:
            return 1.0
        n = min(candidate.n, member.n)
        if self.column.counted and np.array_equal(candidate.columns[name][:n], member.columns[name][:n]):
            return None
        if not set(self.columns) <= candidate.columns.keys() & member.columns.keys():
            return 1.0
        return self.statistic.paired_p(self.column, candidate, member, direction, margin, enough)

    def optimistic(self, rows: Rows, direction: Direction, level: float) -> float | None:
        """The best that it may still be, wrong with probability ``level``; None where there is no such bound."""
        if not self.known(rows) or (direction == "maximize" and not self.share):
            return None
        return self.statistic.optimistic(self.column, rows, direction, level)

    def drawn(self, rows: Rows, weights: Weights) -> Floats:
        """Its value under each draw of random weights of the examples, (draws,)."""
        return self.statistic.drawn(self.column, rows, weights)

    def known(self, rows: Rows) -> bool:
        """Whether the rows have all that it is made of."""
        return set(self.columns) <= rows.columns.keys()
