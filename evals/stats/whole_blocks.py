"""What is metered by block: only whole blocks tell of its spread."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from .intervals import Floats, student_t, student_tail

#: Student's t of two, three, … blocks is less alike from look to look than Pocock's sums are: over eight looks it erred
#: in up to 7 % of simulated cases where 5 % were meant. With its p that many times as large it errs in 3 to 5.5 %.
_FEW_BLOCKS: Final = 1.5


def block_means(values: Floats, sizes: Sequence[int]) -> Floats:
    """(blocks,) means of (examples,) values.

    Args:
        values: as many as the sizes add up to, or more.
        sizes: examples of each block, at least one block.
    """
    lengths = np.asarray(sizes, dtype=np.float64)
    starts = np.concatenate(([0], np.cumsum(sizes)[:-1]))
    found: Floats = np.add.reduceat(values[: int(sum(sizes))], starts) / lengths
    return found


def blocks_p(more: Floats, less: Floats, sizes: Sequence[int]) -> float:
    """p-value of the claim that ``more`` is larger: paired t of the log ratios of whole blocks that both have.

    Args:
        more, less: (n,), the same examples.
        sizes: examples of each block; those that reach beyond the examples are left out.
    """
    whole = [size for size, end in zip(sizes, np.cumsum(sizes), strict=True) if end <= len(more)]
    if len(whole) < 2:
        return 1.0
    means = [block_means(values, whole) for values in (more, less)]
    if means[0].min() <= 0 or means[1].min() <= 0:
        return 1.0
    ratios = np.log(means[0]) - np.log(means[1])
    spread = float(ratios.std(ddof=1))
    mean = float(ratios.mean())
    if spread <= 1e-12 * abs(mean) or spread == 0:  # a spread of nothing is no measurement of it
        return 1.0
    return min(1.0, _FEW_BLOCKS * student_tail(mean / spread * math.sqrt(len(ratios)), len(ratios) - 1))


def blocks_lower(values: Floats, sizes: Sequence[int], level: float) -> float:
    """Lower bound of the mean of (examples,) values, wrong with probability ``level``; 0 where there is no spread."""
    if len(sizes) < 2:
        return 0.0
    means = block_means(values, sizes)
    if means.min() <= 0:
        return 0.0
    logs = np.log(means)
    half = student_t(1 - level, len(logs) - 1) * float(logs.std(ddof=1)) / math.sqrt(len(logs))
    return math.exp(float(logs.mean()) - half)
