"""The columns of objectives: a quantity may be measured by example, by call, or by block."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from orkester.evals.footprint import Footprint
from orkester.evals.records.block import Block, Call, ExampleResult
from orkester.evals.records.counts import is_counted, sum_known

from ._base import Floats, Totals


@dataclass(frozen=True, kw_only=True)
class PerExample:
    """A quantity that every example has. This is a ``Column``.

    Attributes:
        name: See ``Column``.
        is_count: See ``Column``.
        of: Returns the number of an example.
    """

    name: str
    of: Callable[[ExampleResult], float]
    is_count: bool = False
    by_block: ClassVar[bool] = False

    def of_block(self, block: Block, footprint: Footprint | None) -> Floats:
        """See ``Column``."""
        del footprint
        return np.array([self.of(example) for example in block.examples], dtype=np.float64)

    def values(self, blocks: Sequence[Block]) -> Sequence[float]:
        """See ``Column``; always known."""
        return [self.of(example) for block in blocks for example in block.examples]

    def totals(self, blocks: Sequence[Block], footprint: Footprint | None) -> Totals:
        """See ``Column``; always known."""
        del footprint
        return _totals(blocks, self.values)


@dataclass(frozen=True, kw_only=True)
class PerCall:
    """A count that servers give for each call, added up over the calls of an example. This is a ``Column``.

    When the count of one answered call is missing, the sum would be too small, so the quantity is unavailable. A failed
    call may lack a count: it adds nothing to the estimate, but teams cannot be compared on its example.

    Attributes:
        name: See ``Column``.
        of: Returns the count of a call; None when the server did not give it.
    """

    name: str
    of: Callable[[Call], int | None]
    is_count: ClassVar[bool] = True
    by_block: ClassVar[bool] = False

    def of_block(self, block: Block, footprint: Footprint | None) -> Floats:
        """See ``Column``."""
        del footprint
        counts = [[self.of(call) for call in example.calls] for example in block.examples]
        sums = [sum(np.nan if count is None else count for count in example_counts) for example_counts in counts]
        return np.array(sums, dtype=np.float64)

    def values(self, blocks: Sequence[Block]) -> Sequence[float] | None:
        """See ``Column``."""
        examples = [example for block in blocks for example in block.examples]
        if not is_counted([call for example in examples for call in example.calls], self.of):
            return None
        return [float(sum_known([self.of(call) for call in example.calls])) for example in examples]

    def totals(self, blocks: Sequence[Block], footprint: Footprint | None) -> Totals | None:
        """See ``Column``."""
        del footprint
        return None if self.values(blocks) is None else _totals(blocks, self.values)


def _totals(blocks: Sequence[Block], values: Callable[[Sequence[Block]], Sequence[float] | None]) -> Totals:
    return Totals(
        totals=[sum(values([block]) or ()) for block in blocks], examples=[len(block.examples) for block in blocks]
    )


def _same_unit(error_j: float, footprint: Footprint | None) -> float:
    del footprint
    return error_j


@dataclass(frozen=True, kw_only=True)
class PerBlock:
    """A quantity that is metered by block: joules, and quantities computed from joules. This is a ``Column``.

    Attributes:
        name: See ``Column``.
        total: Returns the total of a block; None where it is not known.
        error: Converts the possible error of the meter from joules to the unit of the totals.
        convert: Converts the unit of the totals to that of the column. It must be a multiplication, and needs a
            footprint. None when both units are the same.
    """

    name: str
    total: Callable[[Block, Footprint | None], float | None]
    error: Callable[[float, Footprint | None], float] = _same_unit
    convert: Callable[[float, Footprint], float] | None = None
    is_count: ClassVar[bool] = False
    by_block: ClassVar[bool] = True

    def of_block(self, block: Block, footprint: Footprint | None) -> Floats:
        """See ``Column``. The block's total is divided evenly among its examples."""
        n = len(block.examples)
        total = self.total(block, footprint)
        if self.convert is not None and total is not None:
            total = None if footprint is None else self.convert(total, footprint)
        return np.full(n, np.nan if total is None else total / n)

    def values(self, blocks: Sequence[Block]) -> None:
        """See ``Column``. There are no numbers for single examples."""
        del blocks

    def totals(self, blocks: Sequence[Block], footprint: Footprint | None) -> Totals | None:
        """See ``Column``. None when the total of one block is not known, because the sum would be too small."""
        totals = [total for block in blocks if (total := self.total(block, footprint)) is not None]
        convert = self.convert
        if len(totals) < len(blocks) or (convert is not None and footprint is None):
            return None
        return Totals(
            totals=totals,
            examples=[len(block.examples) for block in blocks],
            error=self.error(sum(block.energy_error_j for block in blocks), footprint),
            convert=None if convert is None or footprint is None else lambda amount: convert(amount, footprint),
        )


#: The task's score of each example, 0 to 1.
SCORE: Final = PerExample(name="score", of=lambda example: example.score)
