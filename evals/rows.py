"""Blocks as rows, one per example: what teams are compared by.

A search compares teams example by example, on numbers that can be modelled: shares as they are, and what is positive
with a long tail (seconds, joules, tokens) as its logarithm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from .block import Block
from .footprint import Footprint
from .objectives import objectives
from .stats.rows import Rows

Floats: TypeAlias = NDArray[np.float64]


def rows_of(block: Block, footprint: Footprint | None = None) -> Mapping[str, Floats]:
    """A block as the columns of all objectives, one entry per example.

    What is measured per block (joules, and what follows from them) is spread evenly over its examples.

    Returns:
        By the column's name; NaN where something is not known.
    """
    used = [column for each in objectives().values() for column in (each.column, *each.statistic.beside)]
    return {
        name: column.of_block(block, footprint) for name, column in {column.name: column for column in used}.items()
    }


def team_rows(blocks: Sequence[Block], footprint: Footprint | None = None) -> Rows:
    """The rows of one team's blocks in one phase, in their order; at least one.

    Raises:
        ValueError: no blocks.
    """
    if not blocks:
        raise ValueError("rows are made of blocks, at least one")
    parts = [rows_of(block, footprint) for block in blocks]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    columns = {name: column for name, column in joined.items() if not np.isnan(column).any()}
    return Rows(columns=columns, block_sizes=tuple(len(block.examples) for block in blocks))
