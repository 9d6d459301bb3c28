"""P-values and one-sided bounds for few examples, by random weights of the examples and one added worst example.

The method gives the n examples random weights with the distribution Dirichlet(1, …, 1), as the Bayesian bootstrap does
(Rubin, Annals of Statistics 9, 1981). It adds one invented example, which is the worst possible one for a claim, and
counts how often the claim fails.

For scores in [0, 1], this is Gaffke's bound ("Three Test Statistics for a Nonparametric One-Sided Hypothesis on the
Mean of a Nonnegative Variable", Mathematical Methods of Statistics 14, 2005; Phan, Thomas and Learned-Miller, "Towards
Practical Mean Bounds for Small Samples", ICML 2021). For right and wrong answers, it is Clopper and Pearson's bound;
for pairs of such answers, the exact McNemar test; for a quantile of one team, the binomial order statistics. It is
proven for these three cases that the error is not more frequent than stated. For scores, this is a conjecture; for all
other cases, simulations show it.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import bdtr, bdtri, ndtr

from .intervals import Floats

#: The number of draws of weights for paired quantiles: first a few, which often show that the claim fails, then all.
_FEW, _ALL = 256, 2048
_DRAW_SEED: Final = 20_240_517


def weighted_mean_p(values: Floats, worst: float) -> float:
    """The probability that the weighted mean of ``values`` and ``worst``, with random weights, is not above 0.

    The weights have the distribution Dirichlet(1, …, 1). The probability comes from the saddlepoint formula of
    Lugannani and Rice (Advances in Applied Probability 12, 1980) for a sum of scaled exponentials. It is at most 5 %
    above the exact value.

    Args:
        values: The values, of shape (n,).
        worst: The value of the added worst example, below 0; 0 to add no example.

    Returns:
        The probability; 1 when the mean of all values is not above 0.
    """
    a = np.append(values, worst)
    a = a[a != 0]
    total = float(a.sum())
    if total <= 0:
        return 1.0
    least = float(a.min())
    if least > 0:
        return 0.0
    # The derivative of the cumulant generating function increases on (1 / least, 0). Newton's method finds its zero;
    # each step stays inside the interval.
    pole = 1 / least
    low, high = pole, 0.0
    s = max(-total / float(a @ a), low / 2)
    for _ in range(60):
        scaled = a / (1 - s * a)
        slope = float(scaled.sum())
        low, high = (low, s) if slope > 0 else (s, high)
        # A step must not reach the pole: near it, Newton's steps are so small that the loop would end too early.
        next_s = max(s - slope / float(scaled @ scaled), pole + (s - pole) / 10)
        if not low < next_s < high:
            next_s = (low + high) / 2
        if abs(next_s - s) <= 1e-9 * min(-s, s - pole):
            break
        s = next_s
    scaled = a / (1 - s * a)
    root = -math.sqrt(max(0.0, 2 * float(np.log1p(-s * a).sum())))
    if root > -0.01:
        return 0.5
    other = s * math.sqrt(float(scaled @ scaled))
    density = math.exp(-root * root / 2) / math.sqrt(2 * math.pi)
    return min(1.0, max(0.0, float(ndtr(root)) + density * (1 / root - 1 / other)))


def share_p(differences: Floats, margin: float) -> float:
    """The p-value of the claim that the mean of paired differences of shares, plus the margin, is above 0.

    It is McNemar's test with mid-p when all differences are -1, 0 or 1 and there is no margin. Otherwise it is
    ``weighted_mean_p``, where the worst example is a difference of a whole score.

    Args:
        differences: The differences, of shape (n,), each from -1 to 1.
        margin: The margin, at least 0.
    """
    if margin == 0 and bool(np.isin(differences, (-1.0, 0.0, 1.0)).all()):
        gained, lost = int((differences == 1).sum()), int((differences == -1).sum())
        if not gained:
            return 1.0
        # The mid-p is used because the exact test is too conservative: at a level of 5 %, the exact test is wrong in
        # 1.5 % of cases and the mid-p in 3 % (Fagerland, Lydersen and Laake, "The McNemar Test for Binary Matched-Pairs
        # Data", BMC Medical Research Methodology 13, 2013).
        at_most = binomial(gained + lost, 0.5)
        return float(at_most[lost] + (at_most[lost - 1] if lost else 0.0)) / 2
    return weighted_mean_p(differences + margin, margin - 1.0)


def paired_quantile_p(more: Floats, less: Floats, q: float, *, exact_up_to: float = 1.0) -> float:
    """The probability that the weighted quantile of ``more`` is not above that of ``less``, with the same weights.

    The added worst example is infinite in ``less`` and below all values in ``more``.

    Args:
        more, less: The values of two teams on the same examples, each of shape (n,).
        q: The quantile, between 0 and 1.
        exact_up_to: A probability above it need not be exact, which saves work.
    """
    n = len(more)
    order_more, order_less = np.argsort(more, kind="stable"), np.argsort(less, kind="stable")
    rising_more, rising_less = more[order_more], less[order_less]
    if np.quantile(rising_more, q) <= np.quantile(rising_less, q):
        return 1.0
    # The claim fails whenever the added example alone has a weight above q. This is the smallest possible probability.
    least = max(q, 1 - q) ** n
    if least > exact_up_to:
        return least
    upper_bound = _separated_p(rising_more, rising_less, q)
    if upper_bound <= exact_up_to < 1:
        return upper_bound
    known_more, known_less = np.append(-np.inf, rising_more), np.append(rising_less, np.inf)
    rows_more, rows_less = np.append(n, order_more), np.append(order_less, n)
    p = 1.0
    for weights in _weights(n + 1):
        threshold = weights.sum(axis=0) * np.float32(q)
        index_more = np.count_nonzero(np.cumsum(weights[rows_more], axis=0) < threshold, axis=0)
        index_less = np.count_nonzero(np.cumsum(weights[rows_less], axis=0) < threshold, axis=0)
        # Because of rounding, the cumulative weights may end slightly below the threshold.
        fails = int((known_more[np.minimum(index_more, n)] <= known_less[np.minimum(index_less, n)]).sum())
        draws = weights.shape[1]
        p = max(least, (1 + fails) / (draws + 1))
        if fails > 4 + 4 * draws * exact_up_to:
            break
    return min(p, upper_bound)


def _separated_p(rising_more: Floats, rising_less: Floats, q: float) -> float:
    """An upper bound of ``paired_quantile_p`` without draws: a value lies below one quantile and above the other."""
    n = len(rising_more)
    below_more = np.searchsorted(rising_more, rising_less, side="right")
    chances = binomial(n, q)
    # Two tails of order statistics: fewer than 1 + `below_more` values are at most the quantile, or more than n - rank.
    return float((chances[below_more] + binomial(n, 1 - q)[n - np.arange(1, n + 1)]).min())


@lru_cache(maxsize=64)
def _weights(n: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Exponential weights of shapes (n, few) and (n, all). They are the same in every process, so decisions repeat."""
    weights = np.random.default_rng((_DRAW_SEED, n)).standard_exponential((n, _ALL), dtype=np.float32)
    return np.ascontiguousarray(weights[:, :_FEW]), weights


@lru_cache(maxsize=4096)
def binomial(n: int, p: float) -> Floats:
    """The probabilities of at most 0, 1, …, n successes in n trials.

    Args:
        n: The number of trials.
        p: The probability of a success.

    Returns:
        The probabilities, of shape (n + 1,).
    """
    return np.asarray(bdtr(np.arange(n + 1), n, p))


def share_upper(successes: int, n: int, level: float) -> float:
    """The upper bound of a share (Clopper and Pearson, Biometrika 26, 1934). It is exact.

    Wilson's bound is up to a sixth lower. But at a level of 0.0022, it is wrong up to 35 times as often as stated (with
    eight examples and a share of 0.99), because the normal approximation is worst in its tails.

    Args:
        successes: The number of successes.
        n: The number of trials.
        level: The probability that the bound is wrong, at most.

    Raises:
        ValueError: successes is not between 0 and n, or n is below 1.
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"0 <= successes <= n and n >= 1 must hold, but got successes={successes}, n={n}")
    return 1.0 if successes == n else float(bdtri(successes, n, level))


def mean_upper(scores: Floats, level: float) -> float:
    """The upper bound of the mean of scores: ``share_upper`` when all scores are 0 or 1, else Gaffke's bound.

    Args:
        scores: The scores in [0, 1], of shape (n,).
        level: The probability that the bound is wrong.
    """
    n = len(scores)
    if bool(np.isin(scores, (0.0, 1.0)).all()):
        return share_upper(int(scores.sum()), n, level)
    return _bound(scores, 1.0, level)


def mean_lower(values: Floats, level: float) -> float:
    """The lower bound of the mean of a quantity that is at least 0: Gaffke's bound, where the worst example is 0.

    It holds for long-tailed distributions, too.

    Args:
        values: The values, of shape (n,), at least 0.
        level: The probability that the bound is wrong.
    """
    largest = float(values.max())
    return 0.0 if largest <= 0 else largest * (1 - _bound(1 - values / largest, 1.0, level))


def _bound(values: Floats, worst: float, level: float) -> float:
    """The bound t for which the weighted mean of ``values`` and ``worst`` is at least t with probability ``level``."""
    low, high = float(values.mean()), worst
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if weighted_mean_p(middle - values, middle - worst) > level else (low, middle)
    return high


def quantile_lower(values: Floats, q: float, level: float) -> float:
    """The lower bound of a quantile by order statistics, for any distribution.

    The r-th smallest of n values is above the quantile when fewer than r values are at most the quantile. This has a
    binomial probability.

    Args:
        values: The values, of shape (n,), at least 0.
        q: The quantile, between 0 and 1.
        level: The probability that the bound is wrong.

    Returns:
        The bound; 0 when there are too few values.
    """
    rank = int(np.searchsorted(binomial(len(values), q), level, side="right"))
    return float(np.sort(values)[rank - 1]) if rank else 0.0
