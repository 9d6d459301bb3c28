"""Intervals: Wilson's for shares, order statistics for quantiles, Hall's or the bootstrap for means.

All intervals are two-sided with the stated confidence. The bootstrap's random numbers derive from the data, so the same
records always give the same interval.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.special import bdtr, betainc, ndtr, ndtri, stdtr, stdtrit

CONFIDENCE = 0.95
RESAMPLES = 2000
#: The smallest number of blocks from which an interval can be computed.
MIN_BLOCKS = 3

Floats = npt.NDArray[np.float64]


def wilson(successes: int, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Wilson's interval of a share ("Probable Inference", JASA 22, 1927). It is valid for 0 and n successes, too.

    ``scipy.stats.binomtest`` has it too, but takes half a second to import and 200 µs per interval.

    Args:
        successes: The number of successes.
        n: The number of trials.
        confidence: The confidence of the interval.

    Returns:
        The ends of the interval.

    Raises:
        ValueError: successes is not between 0 and n, or n is below 1.
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"0 <= successes <= n and n >= 1 must hold, but got successes={successes}, n={n}")
    z = float(ndtri(0.5 + confidence / 2))
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # For 0 and n successes, the bound is exactly 0 or 1; it must not be rounded to less or more.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return low, high


def bootstrap_mean(values: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float] | None:
    """The interval of a mean by the expanded percentile bootstrap.

    Args:
        values: The values.
        confidence: The confidence of the interval.

    Returns:
        The ends of the interval; None for fewer than two values.
    """
    data = np.asarray(values, dtype=np.float64)
    if len(data) < 2:
        return None
    means = data[_resamples(data, len(data))].mean(axis=1)
    return _percentiles(means, _expanded(confidence, len(data)))


def mean_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float] | None:
    """The interval of the mean of a skewed quantity such as seconds or joules.

    It uses Student's t with Hall's cubic transformation, which removes skewness ("On the Removal of Skewness by
    Transformation", JRSS B 54, 1992), inverted in closed form. For 20 to 124 lognormal values with σ = 1, the interval
    contains the mean in 92 to 93 % of simulated cases; that of the expanded bootstrap contains it in 88 to 91 %. For
    less skewed values, both contain it in 93 to 96 %.

    Args:
        values: The values.
        confidence: The confidence of the interval.

    Returns:
        The ends of the interval; None for fewer than three values.
    """
    data = np.asarray(values, dtype=np.float64)
    n = len(data)
    if n < 3:
        return None
    # A report computes tens of thousands of intervals, and numpy's own mean and std take several times as long.
    mean = float(np.add.reduce(data)) / n
    deviations = data - mean
    spread = math.sqrt(float(np.add.reduce(deviations * deviations)) / (n - 1))
    if spread <= 1e-12 * abs(mean) or spread == 0:
        return mean, mean
    skewness = float(np.add.reduce((deviations / spread) ** 3)) / n
    t = student_t(0.5 + confidence / 2, n - 1)
    low, high = (mean - spread * _skewed(sign * t, skewness, n) for sign in (1, -1))
    return low, high


def _skewed(t: float, skewness: float, n: int) -> float:
    """The standardised error that Hall's transformation maps to ``t``."""
    without_skewness = t / math.sqrt(n)
    if abs(skewness) < 1e-6:
        return without_skewness
    inner = 1 + skewness * (without_skewness - skewness / (6 * n))
    return 3 / skewness * (float(np.cbrt(inner)) - 1)


def quantile(values: Sequence[float], q: float) -> float:
    """The quantile of values, with linear interpolation. ``numpy.quantile`` takes ten times as long for few values.

    Args:
        values: At least one value.
        q: The quantile, between 0 and 1.
    """
    ordered = sorted(values)
    position = q * (len(ordered) - 1)
    below = math.floor(position)
    return _between(ordered[below], ordered[min(below + 1, len(ordered) - 1)], position - below)


def _between(low: float, high: float, share: float) -> float:
    """The point at a share of the way from ``low`` to ``high``. Rounding never moves it beyond the ends."""
    return low + (high - low) * share if share < 0.5 else high - (high - low) * (1 - share)


def quantile_interval(
    values: Sequence[float], q: float, confidence: float = CONFIDENCE
) -> tuple[float | None, float | None]:
    """The interval of a quantile by order statistics, for any distribution.

    It uses exact binomial ranks and interpolates between them (Nyblom, "Note on Interpolated Order Statistics",
    Statistics and Probability Letters 14, 1992), so that its confidence is neither lower nor higher than stated. The
    bootstrap is less reliable: its interval contains the median of 20 values in 92 % of cases, the p95 of 20 values in
    65 % and the p95 of 124 values in 92 %.

    Args:
        values: The values.
        q: The quantile, between 0 and 1.
        confidence: The confidence of the interval.

    Returns:
        The ends of the interval. An end is None when it lies beyond all values: the upper end of a p95 needs at least
        72 values, both ends of a median need at least 6.

    Raises:
        ValueError: q is not between 0 and 1.
    """
    if not 0 < q < 1:
        raise ValueError(f"0 < q < 1 must hold, but got {q}")
    rising = np.sort(np.asarray(values, dtype=np.float64))
    tail = (1 - confidence) / 2
    above = _lower_end(-rising[::-1], 1 - q, tail)
    return _lower_end(rising, q, tail), None if above is None else -above


def _lower_end(rising: Floats, q: float, tail: float) -> float | None:
    n = len(rising)
    rank, share = _rank(n, q, tail)
    if rank < 1:
        return None
    if rank >= n:
        return float(rising[-1])
    return _between(float(rising[rank - 1]), float(rising[rank]), share)


@lru_cache(maxsize=4096)
def _rank(n: int, q: float, tail: float) -> tuple[int, float]:
    """The highest rank of ``n`` whose error is at most ``tail``, and the share of the way to the next rank."""
    # error[r]: the probability that the r-th smallest value is above the quantile: fewer than r values are below it.
    error = np.concatenate(([0.0], bdtr(np.arange(n + 1), n, q)))
    rank = int(np.searchsorted(error, tail, side="right")) - 1
    if not 1 <= rank < n:
        return rank, 0.0
    below, above = float(tail - error[rank]), float(error[rank + 1] - tail)
    return rank, below / (below + above * rank * (1 - q) / ((n - rank) * q))


def ratio_interval(
    totals: Sequence[float], counts: Sequence[int], confidence: float = CONFIDENCE
) -> tuple[float, float] | None:
    """The interval of Σ totals ÷ Σ counts over whole blocks, by Student's t of the linearised ratio.

    The source is Cochran, Sampling Techniques, 3rd edition, 1977, section 6.4. A bootstrap cannot go beyond the
    measured values: with three blocks, its 95 % interval contains the ratio in 75 % of cases, and this one in 95 %.

    Args:
        totals: The total of each block, for example joules, at least 0.
        counts: The number of examples of each block.
        confidence: The confidence of the interval.

    Returns:
        The ends of the interval, at least 0; None for fewer than ``MIN_BLOCKS`` blocks.

    Raises:
        ValueError: The numbers of totals and counts differ.
    """
    if len(totals) != len(counts):
        raise ValueError(
            f"the number of totals must equal the number of counts, but they are {len(totals)} and {len(counts)}"
        )
    blocks = len(totals)
    if blocks < MIN_BLOCKS:
        return None
    sums, sizes = np.asarray(totals, dtype=np.float64), np.asarray(counts, dtype=np.float64)
    ratio = float(sums.sum() / sizes.sum())
    spread = math.sqrt(float(((sums - ratio * sizes) ** 2).sum()) / (blocks - 1))
    half = student_t(0.5 + confidence / 2, blocks - 1) * spread / (math.sqrt(blocks) * float(sizes.mean()))
    return max(0.0, ratio - half), ratio + half


def student_tail(t: float, freedom: int) -> float:
    """The probability that Student's t exceeds ``t``.

    Args:
        t: A value of Student's t.
        freedom: The degrees of freedom.

    Raises:
        ValueError: freedom is below 1.
    """
    if freedom < 1:
        raise ValueError(f"freedom >= 1 must hold, but got {freedom}")
    squared = t * t
    if squared < freedom:  # near 0, stdtr subtracts two almost equal numbers and loses half of its digits
        inside = float(betainc(0.5, freedom / 2, squared / (freedom + squared)))
        return 0.5 - math.copysign(inside / 2, t)
    return float(stdtr(freedom, -t))


def student_t(p: float, freedom: int) -> float:
    """The quantile of Student's t.

    Args:
        p: The probability of a value below the quantile.
        freedom: The degrees of freedom.

    Raises:
        ValueError: p is not between 0 and 1, or freedom is below 1.
    """
    if not 0 < p < 1 or freedom < 1:
        raise ValueError(f"0 < p < 1 and freedom >= 1 must hold, but got p={p}, freedom={freedom}")
    return float(stdtrit(freedom, p))


def _expanded(confidence: float, n: int) -> float:
    """The share of draws outside one end of the expanded percentile interval.

    The percentile interval is too narrow for small n. Hesterberg ("What Teachers Should Know About the Bootstrap", The
    American Statistician 69, 2015, section 5.2) expands it to the width of Student's t.
    """
    t = student_t(0.5 + confidence / 2, n - 1)
    return float(ndtr(-math.sqrt(n / (n - 1)) * t))


def _resamples(data: Floats, n: int) -> npt.NDArray[np.int64]:
    rng = np.random.default_rng(zlib.crc32(data.tobytes()))
    return rng.integers(0, n, size=(RESAMPLES, n))


def _percentiles(draws: Floats, tail: float) -> tuple[float, float]:
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)
