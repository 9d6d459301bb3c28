"""What votes and cascades of the generator come to, without drawing anything."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

_NODES = 400
_OF_VOTE = 200
_SHARED = 64
_POINTS = 3000


def _normal_nodes(count: int) -> NDArray[np.float64]:
    """Midpoints of so many equally likely slices of the standard normal."""
    return np.asarray(ndtri((np.arange(count) + 0.5) / count))


@cache
def _counts(votes: int) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """All ways in which so many votes fall on four answers; for each the number of orders, the chance that the first
    answer is elected (samples are exchangeable, so each of those that tie is as likely to have been first), and the
    size of the largest group.
    """
    ways = np.asarray(
        [
            (a, b, c, votes - a - b - c)
            for a in range(votes + 1)
            for b in range(votes + 1 - a)
            for c in range(votes + 1 - a - b)
        ]
    )
    orders = np.asarray([math.factorial(votes) / math.prod(math.factorial(n) for n in way) for way in ways])
    largest = ways.max(axis=1)
    ties = (ways == largest[:, None]).sum(axis=1)
    return ways, orders, np.where(ways[:, 0] == largest, 1 / ties, 0.0), largest


class Votes:
    """Chances of votes and cascades, by quadrature over difficulties.

    Args:
        right: chance of the right answer, difficulties (model, …) → (model, temperature, …).
        own: standard deviation of the difficulty that is one model's alone; the shared one has 1.
        distraction: equally likely shares of the commonest wrong answer among the wrong ones.
    """

    def __init__(
        self, right: Callable[[NDArray[Any]], NDArray[np.float64]], own: float, distraction: Sequence[float]
    ) -> None:
        spread = math.hypot(1, own)
        standard = _normal_nodes(_NODES)
        self._distraction = distraction
        models = right(np.zeros((1, 1))).shape[0]
        self._p = right(np.broadcast_to(spread * standard, (models, _NODES)))
        # A second model's difficulty, given the first one's: correlated by the part that is shared.
        common = 1 / spread**2
        given = common * standard[:, None] + math.sqrt(1 - common**2) * standard[None, :]
        self._given = right(np.broadcast_to(spread * given, (models, _NODES, _NODES))).mean(axis=-1)
        self._known: dict[tuple[int, int, int], NDArray[np.float64]] = {}

    def right(self, model: int, temperature: int, votes: int) -> float:
        """Share of examples on which the vote elects the right answer."""
        found = self._by_largest(model, temperature, votes)
        return float(found[0].sum(axis=0).mean())

    def cascade(
        self, first: int, then: int, temperature: int, votes: int, agreement: float, *, greedy: int
    ) -> tuple[float, float]:
        """Share of right answers, and share of examples that go to the second model."""
        right, size = self._by_largest(first, temperature, votes)
        stands = np.arange(votes + 1) / votes >= agreement
        escalated = size[~stands].sum(axis=0)
        second = self._p[then, greedy] if first == then else self._given[then, greedy]
        quality = right[stands].sum(axis=0) + escalated * second
        return float(quality.mean()), float(escalated.mean())

    def _by_largest(self, model: int, temperature: int, votes: int) -> NDArray[np.float64]:
        """By size of the largest group and node: chance of that size and the right answer; chance of that size."""
        key = model, temperature, votes
        if key not in self._known:
            ways, orders, elected, largest = _counts(votes)
            p = self._p[model, temperature]
            total = np.zeros((2, votes + 1, _NODES))
            for share in self._distraction:
                each = np.stack([p, (1 - p) * share, (1 - p) * (1 - share) / 2, (1 - p) * (1 - share) / 2])
                powers = each[:, None, :] ** np.arange(votes + 1)[None, :, None]
                chance = orders[:, None] * np.prod([powers[i, ways[:, i]] for i in range(4)], axis=0)
                for size in range(1, votes + 1):
                    of = largest == size
                    total[0, size] += (chance[of] * elected[of, None]).sum(axis=0)
                    total[1, size] += chance[of].sum(axis=0)
            self._known[key] = total / len(self._distraction)
        return self._known[key]


class Latencies:
    """Medians of the slowest of some lognormal calls, of two such steps, and of their mixtures.

    Args:
        median_s: of a call, by model.
        sigma: of a call's logarithm.
        shared: of the logarithm of the factor that all calls on an example share.
    """

    def __init__(self, median_s: Sequence[float], sigma: float, shared: float) -> None:
        self._median_s = median_s
        self._sigma = sigma
        self._factors = np.exp(shared * _normal_nodes(_SHARED))
        low, high = min(median_s) / 20, 40 * max(median_s)
        self._at = np.geomspace(low, high, _POINTS)
        self._known: dict[tuple[int, ...], NDArray[np.float64]] = {}

    def vote(self, model: int, votes: int) -> float:
        """Median seconds until the last of the votes is in."""
        return self._median(self._of_vote(model, votes))

    def cascade(self, first: int, then: int, votes: int, escalated: float) -> float:
        """Median seconds, when that share goes on to the second model."""
        alone, both = self._of_vote(first, votes), self._of_both(first, then, votes)
        return self._median((1 - escalated) * alone + escalated * both)

    def _median(self, below: NDArray[np.float64]) -> float:
        return float(np.exp(np.interp(0.5, below, np.log(self._at))))

    def _of_vote(self, model: int, votes: int) -> NDArray[np.float64]:
        key = model, votes
        if key not in self._known:
            self._known[key] = self._shared(ndtr(self._z(self._at, model)) ** votes)
        return self._known[key]

    def _of_both(self, first: int, then: int, votes: int) -> NDArray[np.float64]:
        key = first, then, votes
        if key not in self._known:
            # The slowest of the votes at equally likely levels; what is left of the time is the second model's.
            levels = ((np.arange(_OF_VOTE) + 0.5) / _OF_VOTE) ** (1 / votes)
            slowest = self._median_s[first] * np.exp(self._sigma * ndtri(levels))
            left = self._at[:, None] - slowest[None, :]
            below = np.where(left > 0, ndtr(self._z(np.maximum(left, 1e-12), then)), 0.0).mean(axis=1)
            self._known[key] = self._shared(below)
        return self._known[key]

    def _z(self, seconds: NDArray[Any], model: int) -> NDArray[np.float64]:
        return np.asarray(np.log(seconds / self._median_s[model]) / self._sigma)

    def _shared(self, below: NDArray[np.float64]) -> NDArray[np.float64]:
        """The distribution when all is multiplied by the example's factor."""
        at = np.log(self._at)
        return np.asarray(np.mean([np.interp(at - math.log(f), at, below) for f in self._factors], axis=0))
