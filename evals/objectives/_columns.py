"""How objectives are measured: by example, by call, or by block."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from orkester.evals.block import Block, Call, ExampleResult
from orkester.evals.counts import is_counted, sum_known
from orkester.evals.footprint import Footprint

from ._base import Floats, Totals


@dataclass(frozen=True, kw_only=True)
class PerExample:
    """A number that every example has. A ``Column``.

    Attributes:
        name: see ``Column``.
        counted: see ``Column``.
        of: the number.
    """

    name: str
    of: Callable[[ExampleResult], float]
    counted: bool = False
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
        return _added_up(blocks, self.values)


@dataclass(frozen=True, kw_only=True)
class PerCall:
    """What servers count of each call, added up over the calls of an example. A ``Column``.

    One answer that was not counted would make a sum too small, so there is none then. A call that failed need not be
    counted: it adds nothing to an estimate, but leaves its example without a number to compare teams by.

    Attributes:
        name: see ``Column``.
        of: the count; None when the server did not say.
    """

    name: str
    of: Callable[[Call], int | None]
    counted: ClassVar[bool] = True
    by_block: ClassVar[bool] = False

    def of_block(self, block: Block, footprint: Footprint | None) -> Floats:
        """See ``Column``."""
        del footprint
        counts = [[self.of(call) for call in example.calls] for example in block.examples]
        sums = [sum(np.nan if count is None else count for count in of_example) for of_example in counts]
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
        return None if self.values(blocks) is None else _added_up(blocks, self.values)


def _added_up(blocks: Sequence[Block], values: Callable[[Sequence[Block]], Sequence[float] | None]) -> Totals:
    return Totals(
        totals=[sum(values([block]) or ()) for block in blocks], examples=[len(block.examples) for block in blocks]
    )


def _as_metered(error_j: float, footprint: Footprint | None) -> float:
    del footprint
    return error_j


@dataclass(frozen=True, kw_only=True)
class PerBlock:
    """What is metered by block: joules, and what follows from them. A ``Column``.

    Attributes:
        name: see ``Column``.
        total: of a block; None where it is not known.
        error: from the joules by which the meter may be off to the unit of the totals.
        convert: from the unit of the totals to that of the column, by multiplication; it needs a footprint. None where
            they are the same.
    """

    name: str
    total: Callable[[Block, Footprint | None], float | None]
    error: Callable[[float, Footprint | None], float] = _as_metered
    convert: Callable[[float, Footprint], float] | None = None
    counted: ClassVar[bool] = False
    by_block: ClassVar[bool] = True

    def of_block(self, block: Block, footprint: Footprint | None) -> Floats:
        """See ``Column``: the block's total, spread evenly over its examples."""
        n = len(block.examples)
        total = self.total(block, footprint)
        if self.convert is not None and total is not None:
            total = None if footprint is None else self.convert(total, footprint)
        return np.full(n, np.nan if total is None else total / n)

    def values(self, blocks: Sequence[Block]) -> None:
        """See ``Column``: no example has a number of its own."""
        del blocks

    def totals(self, blocks: Sequence[Block], footprint: Footprint | None) -> Totals | None:
        """See ``Column``; None unless every block knows its total, since a sum of some is too small."""
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
