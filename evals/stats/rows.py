"""The measured numbers of a team as columns, on which tests and draws work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .intervals import Floats


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The measured numbers of a team, one row per example, in the order of the data.

    Attributes:
        columns: The columns by name, each of shape (examples,). A column with an unknown value is left out.
        block_sizes: The number of examples of each block, in order, when joules were metered by block. A column of
            joules then has the joules per example of each block, and its spread must be computed from blocks. Empty
            when joules are known by example.
    """

    columns: Mapping[str, Floats]
    block_sizes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        lengths = {name: len(column) for name, column in self.columns.items()}
        if len(set(lengths.values())) != 1 or not self.n:
            raise ValueError(f"rows need columns, all of the same length above 0, but got {lengths or 'no columns'}")
        if self.block_sizes and sum(self.block_sizes) != self.n:
            raise ValueError(f"the blocks must have {self.n} examples in total, but their sizes are {self.block_sizes}")

    @property
    def n(self) -> int:
        """The number of examples."""
        return len(next(iter(self.columns.values())))
