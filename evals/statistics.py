"""Intervals: Wilson's for shares, the bootstrap for the rest.

All intervals are two-sided with the stated confidence. The bootstrap's random numbers derive from the data, so the same
records always give the same interval.
"""

from __future__ import annotations

import math
import statistics
import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

CONFIDENCE = 0.95
RESAMPLES = 2000
#: Fewer blocks than this say nothing of their own spread.
MIN_BLOCKS = 3

Floats = npt.NDArray[np.float64]


def wilson(successes: int, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Interval of a share (Wilson, "Probable Inference", JASA 22, 1927). Sound at 0 and at n, where others have none.

    Raises:
        ValueError: unless 0 <= successes <= n and n >= 1.
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"0 <= successes <= n and n >= 1 must hold, but got successes={successes}, n={n}")
    z = statistics.NormalDist().inv_cdf(0.5 + confidence / 2)
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # At the ends the bound is the share itself; rounding must not push it past.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return low, high


def bootstrap_mean(values: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float] | None:
    """Interval of a mean: expanded percentile bootstrap; None for fewer than two values."""
    data = np.asarray(values, dtype=np.float64)
    if len(data) < 2:
        return None
    means = data[_resamples(data, len(data))].mean(axis=1)
    return _percentiles(means, _expanded(confidence, len(data)))


def bootstrap_quantile(values: Sequence[float], q: float, confidence: float = CONFIDENCE) -> tuple[float, float] | None:
    """Interval of the ``q`` quantile: percentile bootstrap; None for fewer than two values.

    Far into the tail (p95 of forty values) it rests on the one or two largest and is too narrow above.
    """
    data = np.asarray(values, dtype=np.float64)
    if len(data) < 2:
        return None
    drawn = np.quantile(data[_resamples(data, len(data))], q, axis=1)
    return _percentiles(drawn, (1 - confidence) / 2)


def bootstrap_blocks(
    totals: Sequence[float], counts: Sequence[int], confidence: float = CONFIDENCE
) -> tuple[float, float] | None:
    """Interval of Σ totals ÷ Σ counts, whole blocks resampled: what is measured per block varies per block.

    Args:
        totals: joules of each block.
        counts: examples of each block, same length.

    Returns:
        None for fewer than ``MIN_BLOCKS`` blocks.
    """
    if len(totals) != len(counts):
        raise ValueError(f"as many totals as counts are needed, but got {len(totals)} and {len(counts)}")
    if len(totals) < MIN_BLOCKS:
        return None
    sums, sizes = np.asarray(totals, dtype=np.float64), np.asarray(counts, dtype=np.float64)
    drawn = _resamples(sums, len(sums))
    return _percentiles(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1), _expanded(confidence, len(sums)))


def student_t(p: float, freedom: int) -> float:
    """Quantile of Student's t by the Cornish–Fisher expansion (Abramowitz and Stegun, 26.7.5).

    Good to 1 % from three degrees of freedom on at p = 0.975; two degrees are given exactly.
    """
    if freedom == 1:
        return math.tan(math.pi * (p - 0.5))
    if freedom == 2:
        return (2 * p - 1) * math.sqrt(2 / (4 * p * (1 - p)))
    z = statistics.NormalDist().inv_cdf(p)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + math.fsum(term / freedom ** (i + 1) for i, term in enumerate(terms))


def _expanded(confidence: float, n: int) -> float:
    """Tail share of the expanded percentile interval.

    The plain percentile interval is too narrow for small n; Hesterberg ("What Teachers Should Know About the
    Bootstrap", The American Statistician 69, 2015, section 5.2) widens it to what Student's t would give.
    """
    t = student_t(0.5 + confidence / 2, n - 1)
    return statistics.NormalDist().cdf(-math.sqrt(n / (n - 1)) * t)


def _resamples(data: Floats, n: int) -> npt.NDArray[np.int64]:
    rng = np.random.default_rng(zlib.crc32(data.tobytes()))
    return rng.integers(0, n, size=(RESAMPLES, n))


def _percentiles(drawn: Floats, tail: float) -> tuple[float, float]:
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return float(low), float(high)
