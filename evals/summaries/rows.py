"""Blocks as rows of numbers, one row per example, by which teams are compared.

A search compares teams example by example, on numbers that a statistical model can use: shares as they are, and the
logarithms of positive quantities with a long tail (seconds, joules, tokens).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..footprint import Footprint
from ..objectives import objectives
from ..records.block import Block
from ..stats.rows import Rows

Floats: TypeAlias = NDArray[np.float64]


def rows_of(block: Block, footprint: Footprint | None = None) -> Mapping[str, Floats]:
    """Convert a block to the columns of all objectives.

    Quantities that are measured per block (joules, and what is computed from them) are divided evenly among its
    examples.

    Args:
        block: The block.
        footprint: Emissions and costs of a joule; see ``measure``.

    Returns:
        The columns by name, each of shape ``(examples,)``; NaN where a value is not known.
    """
    columns = [column for each in objectives().values() for column in (each.column, *each.statistic.extra_columns)]
    return {
        name: column.of_block(block, footprint) for name, column in {column.name: column for column in columns}.items()
    }


def team_rows(blocks: Sequence[Block], footprint: Footprint | None = None) -> Rows:
    """The rows of one team in one phase. Columns with an unknown value are left out.

    Args:
        blocks: The blocks of the team in the phase, at least one. The rows have their order.
        footprint: Emissions and costs of a joule; see ``measure``.

    Raises:
        ValueError: There are no blocks.
    """
    if not blocks:
        raise ValueError("rows need at least one block")
    parts = [rows_of(block, footprint) for block in blocks]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    columns = {name: column for name, column in joined.items() if not np.isnan(column).any()}
    return Rows(columns=columns, block_sizes=tuple(len(block.examples) for block in blocks))
