"""Draws of the Bayesian bootstrap: statistics under random weights of the examples, or of whole blocks.

The source is Rubin, "The Bayesian Bootstrap", Annals of Statistics 9, 1981. To compare teams, use the same weights for
all of them: they are then compared on the same examples in each draw.
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
    """Random weights of the examples and blocks of one team.

    Attributes:
        examples: Weights of the examples, of shape (draws, examples), with a standard exponential distribution.
        blocks: Weights of the blocks, of shape (draws, blocks), with the same distribution.
        stretch: Factors of shape (draws,), which turn normal draws of a mean of blocks into draws of Student's t.
        rng: The random numbers for other draws that a statistic needs.
    """

    examples: Floats
    blocks: Floats
    stretch: Floats
    rng: np.random.Generator


def share_draws(values: Floats, weights: Weights) -> Floats:
    """Draw means of values in [0, 1], with Jeffreys' prior: half an example that is right, and half one that is wrong.

    Args:
        values: The values, of shape (examples,).
        weights: The weights of the same examples.

    Returns:
        The means, of shape (draws,).
    """
    prior = weights.rng.standard_gamma(0.5, size=(2, len(weights.examples)))
    means: Floats = (weights.examples @ values + prior[0]) / (weights.examples.sum(axis=1) + prior[0] + prior[1])
    return means


def mean_draws(values: Floats, weights: Weights) -> Floats:
    """Draw means of values.

    Args:
        values: The values, of shape (examples,).
        weights: The weights of the same examples.

    Returns:
        The means, of shape (draws,).
    """
    return _mean(values, np.ones(len(values)), weights.examples, 1.0)


def block_mean_draws(values: Floats, sizes: Sequence[int], weights: Weights) -> Floats:
    """Draw means of values that were metered by block and are not negative. With one block, all draws are equal.

    Args:
        values: The values, of shape (examples,). All examples of a block have the same value.
        sizes: The number of examples of each block.
        weights: The weights of the same blocks.

    Returns:
        The means, of shape (draws,).
    """
    lengths = np.asarray(sizes, dtype=np.float64)
    return np.maximum(0.0, _mean(block_means(values, sizes), lengths, weights.blocks, weights.stretch))


def quantile_draws(values: Floats, q: float, weights: Weights) -> Floats:
    """Draw quantiles of values.

    Args:
        values: The values, of shape (examples,).
        q: The quantile, between 0 and 1.
        weights: The weights of the same examples.

    Returns:
        The quantiles, of shape (draws,).
    """
    order = np.argsort(values, kind="stable")
    cumulative = np.cumsum(weights.examples[:, order], axis=1)
    position = np.count_nonzero(cumulative < q * cumulative[:, -1:], axis=1)
    quantiles: Floats = values[order][np.minimum(position, len(values) - 1)]
    return quantiles


def _mean(values: Floats, sizes: Floats, weights: Floats, stretch: Floats | float) -> Floats:
    n = len(values)
    mean = float((values * sizes).sum() / sizes.sum())
    draws: Floats = weights @ (values * sizes) / (weights @ sizes)
    # The variance of these draws is (n - 1) / (n + 1) times the variance of the mean of n values; this corrects it.
    return mean + (draws - mean) * stretch * math.sqrt((n + 1) / max(1, n - 1))
