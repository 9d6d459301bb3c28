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
#: Fewer blocks than this say nothing of their own spread.
MIN_BLOCKS = 3

Floats = npt.NDArray[np.float64]


def wilson(successes: int, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Interval of a share (Wilson, "Probable Inference", JASA 22, 1927). Sound at 0 and at n, where others have none.

    ``scipy.stats.binomtest`` has it too, but takes half a second to import and 200 µs for each.

    Raises:
        ValueError: unless 0 <= successes <= n and n >= 1.
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"0 <= successes <= n and n >= 1 must hold, but got successes={successes}, n={n}")
    z = float(ndtri(0.5 + confidence / 2))
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


def mean_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float] | None:
    """Interval of the mean of a skewed quantity such as seconds or joules; None for fewer than three values.

    Student's t with its skewness taken out by Hall's cubic transformation ("On the Removal of Skewness by
    Transformation", JRSS B 54, 1992), inverted in closed form. Of lognormal values with σ = 1, twenty to 124, it
    covers the mean in 92 to 93 % of simulated cases and the expanded bootstrap in 88 to 91 %; of milder ones both keep
    93 to 96 %.
    """
    data = np.asarray(values, dtype=np.float64)
    n = len(data)
    if n < 3:
        return None
    # Reports have tens of thousands of these: numpy's own mean and std take several times as long.
    mean = float(np.add.reduce(data)) / n
    off = data - mean
    spread = math.sqrt(float(np.add.reduce(off * off)) / (n - 1))
    if spread <= 1e-12 * abs(mean) or spread == 0:
        return mean, mean
    skewness = float(np.add.reduce((off / spread) ** 3)) / n
    t = student_t(0.5 + confidence / 2, n - 1)
    low, high = (mean - spread * _skewed(sign * t, skewness, n) for sign in (1, -1))
    return low, high


def _skewed(t: float, skewness: float, n: int) -> float:
    """The standardised error that Hall's transformation turns into ``t``."""
    plain = t / math.sqrt(n)
    if abs(skewness) < 1e-6:
        return plain
    inner = 1 + skewness * (plain - skewness / (6 * n))
    return 3 / skewness * (float(np.cbrt(inner)) - 1)


def quantile(values: Sequence[float], q: float) -> float:
    """Linear between the two nearest of at least one value, as numpy has it, which takes ten times as long for few."""
    rising = sorted(values)
    place = q * (len(rising) - 1)
    below = math.floor(place)
    return _between(rising[below], rising[min(below + 1, len(rising) - 1)], place - below)


def _between(low: float, high: float, share: float) -> float:
    """The point that lies at a share of the way from ``low`` to ``high``; rounding never takes it beyond the ends."""
    return low + (high - low) * share if share < 0.5 else high - (high - low) * (1 - share)


def quantile_interval(
    values: Sequence[float], q: float, confidence: float = CONFIDENCE
) -> tuple[float | None, float | None]:
    """Interval of the ``q`` quantile by order statistics, whatever the distribution.

    Exact binomial ranks, between which Nyblom interpolates ("Note on Interpolated Order Statistics", Statistics and
    Probability Letters 14, 1992), so that it neither errs more nor is wider than it says. The bootstrap of a median of
    twenty covers 92 %, that of a p95 of twenty 65 % and of 124 92 %.

    Returns:
        An end is None where it lies beyond everything seen: above, for p95, below 72 values; for a median below 6.

    Raises:
        ValueError: unless 0 < q < 1.
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
    """The last of ``n`` ranks that errs no more often than ``tail``, and how far on to the next one it may go."""
    # errs[r]: how often the r-th smallest is over the quantile, that is fewer than r values are below it.
    errs = np.concatenate(([0.0], bdtr(np.arange(n + 1), n, q)))
    rank = int(np.searchsorted(errs, tail, side="right")) - 1
    if not 1 <= rank < n:
        return rank, 0.0
    below, above = float(tail - errs[rank]), float(errs[rank + 1] - tail)
    return rank, below / (below + above * rank * (1 - q) / ((n - rank) * q))


def ratio_interval(
    totals: Sequence[float], counts: Sequence[int], confidence: float = CONFIDENCE
) -> tuple[float, float] | None:
    """Interval of Σ totals ÷ Σ counts over whole blocks: Student's t of the linearised ratio.

    The source is Cochran, Sampling Techniques, 3rd edition, 1977, section 6.4. A bootstrap cannot leave the range of
    what was seen: of three blocks it covers 75 % where 95 % are meant, this 95 %.

    Args:
        totals: joules of each block, none below 0; the lower end is not below 0 either.
        counts: examples of each block, same length.

    Returns:
        None for fewer than ``MIN_BLOCKS`` blocks.
    """
    if len(totals) != len(counts):
        raise ValueError(f"as many totals as counts are needed, but got {len(totals)} and {len(counts)}")
    blocks = len(totals)
    if blocks < MIN_BLOCKS:
        return None
    sums, sizes = np.asarray(totals, dtype=np.float64), np.asarray(counts, dtype=np.float64)
    ratio = float(sums.sum() / sizes.sum())
    spread = math.sqrt(float(((sums - ratio * sizes) ** 2).sum()) / (blocks - 1))
    half = student_t(0.5 + confidence / 2, blocks - 1) * spread / (math.sqrt(blocks) * float(sizes.mean()))
    return max(0.0, ratio - half), ratio + half


def student_tail(t: float, freedom: int) -> float:
    """Probability that Student's t exceeds ``t``.

    Raises:
        ValueError: no degree of freedom.
    """
    if freedom < 1:
        raise ValueError(f"freedom >= 1 must hold, but got {freedom}")
    squared = t * t
    if squared < freedom:  # stdtr loses half of the digits near 0, where it takes the difference of 1 and almost 1
        inside = float(betainc(0.5, freedom / 2, squared / (freedom + squared)))
        return 0.5 - math.copysign(inside / 2, t)
    return float(stdtr(freedom, -t))


def student_t(p: float, freedom: int) -> float:
    """Quantile of Student's t.

    Raises:
        ValueError: unless 0 < p < 1 and freedom >= 1.
    """
    if not 0 < p < 1 or freedom < 1:
        raise ValueError(f"0 < p < 1 and freedom >= 1 must hold, but got p={p}, freedom={freedom}")
    return float(stdtrit(freedom, p))


def _expanded(confidence: float, n: int) -> float:
    """Tail share of the expanded percentile interval.

    The plain percentile interval is too narrow for small n; Hesterberg ("What Teachers Should Know About the
    Bootstrap", The American Statistician 69, 2015, section 5.2) widens it to what Student's t would give.
    """
    t = student_t(0.5 + confidence / 2, n - 1)
    return float(ndtr(-math.sqrt(n / (n - 1)) * t))


def _resamples(data: Floats, n: int) -> npt.NDArray[np.int64]:
    rng = np.random.default_rng(zlib.crc32(data.tobytes()))
    return rng.integers(0, n, size=(RESAMPLES, n))


def _percentiles(drawn: Floats, tail: float) -> tuple[float, float]:
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return float(low), float(high)
