"""Rows made by hand, and random numbers for them."""

import numpy as np

from orkester.evals.stats.rows import Rows


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def rows(
    block_sizes: tuple[int, ...] = (), **columns: list[float] | np.ndarray[tuple[int], np.dtype[np.float64]]
) -> Rows:
    return Rows(columns={k: np.asarray(v, dtype=float) for k, v in columns.items()}, block_sizes=block_sizes)
