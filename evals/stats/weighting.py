"""Random weights of examples with one made-up worst example: p-values and one-sided bounds for few examples.

Give the n examples random weights, Dirichlet(1, …, 1), as the Bayesian bootstrap does (Rubin, Annals of Statistics 9,
1981), add one made-up example that is the worst there can be for a claim, and count how often the claim fails. For
scores in [0, 1] this is Gaffke's bound ("Three Test Statistics for a Nonparametric One-Sided Hypothesis on the Mean of
a Nonnegative Variable", Mathematical Methods of Statistics 14, 2005; Phan, Thomas and Learned-Miller, "Towards
Practical Mean Bounds for Small Samples", ICML 2021). For right and wrong answers it is Clopper and Pearson's bound, for
pairs of them the exact McNemar test, for a quantile of one team the binomial order statistics. That it errs no more
often than it says is proven for those three, conjectured for scores and found by simulation for the rest.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import bdtr, bdtri, ndtr

from .intervals import Floats

#: Weightings drawn for paired quantiles: first few, to see that nothing can be shown, then all.
_FEW, _ALL = 256, 2048
_DRAW_SEED: Final = 20_240_517


def weighted_mean_p(values: Floats, worst: float) -> float:
    """How often the weighted mean of ``values`` and one ``worst`` is not over 0, weights Dirichlet(1, …, 1).

    By the saddlepoint formula of Lugannani and Rice (Advances in Applied Probability 12, 1980) for a sum of scaled
    exponentials: within 5 % of exact, on the larger side. 1 when the mean itself is not over 0.

    Args:
        values: (n,).
        worst: the made-up value; below 0 unless nothing is to be made up.
    """
    a = np.append(values, worst)
    a = a[a != 0]
    total = float(a.sum())
    if total <= 0:
        return 1.0
    least = float(a.min())
    if least > 0:
        return 0.0
    # The derivative of the cumulant generating function grows on (1 / least, 0); Newton, kept inside.
    pole = 1 / least
    low, high = pole, 0.0
    s = max(-total / float(a @ a), low / 2)
    for _ in range(60):
        scaled = a / (1 - s * a)
        slope = float(scaled.sum())
        low, high = (low, s) if slope > 0 else (s, high)
        # Not all the way to the pole: from there Newton's steps are as small as if it had arrived.
        following = max(s - slope / float(scaled @ scaled), pole + (s - pole) / 10)
        if not low < following < high:
            following = (low + high) / 2
        if abs(following - s) <= 1e-9 * min(-s, s - pole):
            break
        s = following
    scaled = a / (1 - s * a)
    root = -math.sqrt(max(0.0, 2 * float(np.log1p(-s * a).sum())))
    if root > -0.01:
        return 0.5
    other = s * math.sqrt(float(scaled @ scaled))
    density = math.exp(-root * root / 2) / math.sqrt(2 * math.pi)
    return min(1.0, max(0.0, float(ndtr(root)) + density * (1 / root - 1 / other)))


def share_p(differences: Floats, margin: float) -> float:
    """p-value of the claim that the mean of paired differences of shares, with the margin added, is over 0.

    McNemar's test with mid-p where all differences are -1, 0 or 1, else weighted differences with one of a whole score
    made up.

    Args:
        differences: (n,), each from -1 to 1.
        margin: at least 0.
    """
    if margin == 0 and bool(np.isin(differences, (-1.0, 0.0, 1.0)).all()):
        gained, lost = int((differences == 1).sum()), int((differences == -1).sum())
        if not gained:
            return 1.0
        # The mid-p: exact is so coarse that it errs in 1.5 % where 5 % are allowed, this in 3 % (Fagerland, Lydersen
        # and Laake, "The McNemar Test for Binary Matched-Pairs Data", BMC Medical Research Methodology 13, 2013).
        at_most = binomial(gained + lost, 0.5)
        return float(at_most[lost] + (at_most[lost - 1] if lost else 0.0)) / 2
    return weighted_mean_p(differences + margin, margin - 1.0)


def paired_quantile_p(more: Floats, less: Floats, q: float, *, enough: float = 1.0) -> float:
    """How often the weighted ``q`` quantile of ``more`` is not over that of ``less``, both with the same weights.

    Made up is one example without end in ``less`` and below everything in ``more``.

    Args:
        more, less: (n,), the same examples.
        q: 0 < q < 1.
        enough: over it a rough number will do.
    """
    n = len(more)
    order_more, order_less = np.argsort(more, kind="stable"), np.argsort(less, kind="stable")
    rising_more, rising_less = more[order_more], less[order_less]
    if np.quantile(rising_more, q) <= np.quantile(rising_less, q):
        return 1.0
    # With the made-up example alone over q the claim fails: that often at least.
    least = max(q, 1 - q) ** n
    if least > enough:
        return least
    sure = _separated_p(rising_more, rising_less, q)
    if sure <= enough < 1:
        return sure
    known_more, known_less = np.append(-np.inf, rising_more), np.append(rising_less, np.inf)
    rows_more, rows_less = np.append(n, order_more), np.append(order_less, n)
    p = 1.0
    for weights in _weights(n + 1):
        mark = weights.sum(axis=0) * np.float32(q)
        place_more = np.count_nonzero(np.cumsum(weights[rows_more], axis=0) < mark, axis=0)
        place_less = np.count_nonzero(np.cumsum(weights[rows_less], axis=0) < mark, axis=0)
        # Rounding may leave the whole weight a hair below its sum.
        fails = int((known_more[np.minimum(place_more, n)] <= known_less[np.minimum(place_less, n)]).sum())
        draws = weights.shape[1]
        p = max(least, (1 + fails) / (draws + 1))
        if fails > 4 + 4 * draws * enough:
            break
    return min(p, sure)


def _separated_p(rising_more: Floats, rising_less: Floats, q: float) -> float:
    """Bound of the same from above, without draws: one value lies under the one quantile and over the other."""
    n = len(rising_more)
    below_more = np.searchsorted(rising_more, rising_less, side="right")
    chances = binomial(n, q)
    # Fewer than 1 + `below_more` at most q, or more than n - rank: the two tails of order statistics.
    return float((chances[below_more] + binomial(n, 1 - q)[n - np.arange(1, n + 1)]).min())


@lru_cache(maxsize=64)
def _weights(n: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """(n, few) and (n, all) exponentials, the same in every process: a decision must not depend on when it is taken."""
    drawn = np.random.default_rng((_DRAW_SEED, n)).standard_exponential((n, _ALL), dtype=np.float32)
    return np.ascontiguousarray(drawn[:, :_FEW]), drawn


@lru_cache(maxsize=4096)
def binomial(n: int, p: float) -> Floats:
    """Probabilities of at most 0, 1, …, n successes of n."""
    return np.asarray(bdtr(np.arange(n + 1), n, p))


def share_upper(successes: int, n: int, level: float) -> float:
    """Upper bound of a share (Clopper and Pearson, Biometrika 26, 1934): exact, so wrong at most as often as ``level``.

    Wilson's is up to a sixth narrower, but at level 0.0022 it errs up to 35 times as often as it says (eight answers to
    a share of 0.99), for the normal distribution is furthest off in its tails.

    Raises:
        ValueError: unless 0 <= successes <= n and n >= 1.
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"0 <= successes <= n and n >= 1 must hold, but got successes={successes}, n={n}")
    return 1.0 if successes == n else float(bdtri(successes, n, level))


def mean_upper(scores: Floats, level: float) -> float:
    """Upper bound of the mean of scores in [0, 1]: ``share_upper`` when all are 0 or 1, else Gaffke's."""
    n = len(scores)
    if bool(np.isin(scores, (0.0, 1.0)).all()):
        return share_upper(int(scores.sum()), n, level)
    return _bound(scores, 1.0, level)


def mean_lower(values: Floats, level: float) -> float:
    """Lower bound of the mean of a quantity that is at least 0, however heavy its tail: Gaffke's with a made-up 0."""
    top = float(values.max())
    return 0.0 if top <= 0 else top * (1 - _bound(1 - values / top, 1.0, level))


def _bound(values: Floats, worst: float, level: float) -> float:
    """The t for which the weighted mean of ``values`` and ``worst`` is not below t with probability ``level``."""
    low, high = float(values.mean()), worst
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if weighted_mean_p(middle - values, middle - worst) > level else (low, middle)
    return high


def quantile_lower(values: Floats, q: float, level: float) -> float:
    """Lower bound of a quantile by order statistics, whatever the distribution; 0 where too little was seen.

    The r-th smallest of n is over the quantile when fewer than r are not: a binomial probability.
    """
    rank = int(np.searchsorted(binomial(len(values), q), level, side="right"))
    return float(np.sort(values)[rank - 1]) if rank else 0.0
