"""Draws of the Bayesian bootstrap: statistics under random weights of the examples, or of whole blocks.

The source is Rubin, "The Bayesian Bootstrap", Annals of Statistics 9, 1981. Who compares teams gives them the same
weights, so that they are compared on the same examples in each draw.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .intervals import Floats
from .whole_blocks import block_means


@dataclass(frozen=True, kw_only=True, eq=False)
class Weights:
    """Random weights of what one team was measured on.

    Attributes:
        examples: (draws, examples), standard exponential.
        blocks: (draws, blocks), the same for blocks.
        stretch: (draws,), turns normal draws of a mean of blocks into those of Student's t.
        rng: for what a statistic draws besides.
    """

    examples: Floats
    blocks: Floats
    stretch: Floats
    rng: np.random.Generator


def drawn_share(values: Floats, weights: Weights) -> Floats:
    """Draws of the mean of values in [0, 1], with Jeffreys' prior: half an example right and half one wrong.

    Args:
        values: (examples,).
        weights: of the same examples.
    """
    half = weights.rng.standard_gamma(0.5, size=(2, len(weights.examples)))
    found: Floats = (weights.examples @ values + half[0]) / (weights.examples.sum(axis=1) + half[0] + half[1])
    return found


def drawn_mean(values: Floats, weights: Weights) -> Floats:
    """Draws of the mean of (examples,) values."""
    return _mean(values, np.ones(len(values)), weights.examples, 1.0)


def drawn_mean_of_blocks(values: Floats, sizes: Sequence[int], weights: Weights) -> Floats:
    """Draws of the mean of what was metered by block and is never below 0; of one block no spread is known.

    Args:
        values: (examples,), the same number within a block.
        sizes: examples of each block.
        weights: of the same blocks.
    """
    lengths = np.asarray(sizes, dtype=np.float64)
    return np.maximum(0.0, _mean(block_means(values, sizes), lengths, weights.blocks, weights.stretch))


def drawn_quantile(values: Floats, q: float, weights: Weights) -> Floats:
    """Draws of the ``q`` quantile of (examples,) values."""
    order = np.argsort(values, kind="stable")
    rising = np.cumsum(weights.examples[:, order], axis=1)
    place = np.count_nonzero(rising < q * rising[:, -1:], axis=1)
    found: Floats = values[order][np.minimum(place, len(values) - 1)]
    return found


def _mean(values: Floats, sizes: Floats, weights: Floats, stretch: Floats | float) -> Floats:
    n = len(values)
    mean = float((values * sizes).sum() / sizes.sum())
    found: Floats = weights @ (values * sizes) / (weights @ sizes)
    # The weights' variance is (n - 1) / (n + 1) of what the mean of n has.
    return mean + (found - mean) * stretch * math.sqrt((n + 1) / max(1, n - 1))
