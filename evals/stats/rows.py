"""What a team left behind, as columns: the numbers that tests and draws work on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .intervals import Floats


@dataclass(frozen=True, kw_only=True)
class Rows:
    """What a team left behind, example by example, in the order of the data.

    Attributes:
        columns: each of length n, by name; what is not known of every example is absent.
        block_sizes: examples of each block, in order, when joules were metered by block: columns of joules then hold
            each block's joules per example, and only blocks tell of their spread. Empty when joules are by example.
    """

    columns: Mapping[str, Floats]
    block_sizes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        lengths = {name: len(column) for name, column in self.columns.items()}
        if len(set(lengths.values())) != 1 or not self.n:
            raise ValueError(f"columns must be there and equally long, but got {lengths or 'none'}")
        if self.block_sizes and sum(self.block_sizes) != self.n:
            raise ValueError(f"the blocks must hold {self.n} examples, but got {self.block_sizes}")

    @property
    def n(self) -> int:
        """Examples."""
        return len(next(iter(self.columns.values())))
