"""How fast an engine took its steps, from what its requests got meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from ._jobs import Job

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    _Array: TypeAlias = NDArray[np.float64]

#: Tokens that a step takes at most (vLLM's default of max_num_batched_tokens); longer prompts take several steps.
STEP_TOKENS = 2048
_ROUNDS = 200
#: Nobody's pace is known better than this, and a round that changes less is the last.
_CLOSE = 1e-6


@dataclass(frozen=True)
class Pace:
    """Steps of one engine over time; both sums only grow, and are straight between ``times_s``.

    Attributes:
        times_s: when requests came, had their first token, and went.
        steps: taken until then.
        each: the same per request at work, so that a request's share is the difference over its time.
    """

    times_s: _Array
    steps: _Array
    each: _Array

    def steps_at(self, at_s: _Array) -> _Array:
        """Steps taken until each moment."""
        import numpy as np

        return np.interp(at_s, self.times_s, self.steps)

    def each_at(self, at_s: _Array) -> _Array:
        """Steps per request at work until each moment."""
        import numpy as np

        return np.interp(at_s, self.times_s, self.each)


def pace(jobs: Sequence[Job]) -> Pace:
    """The pace that explains all requests at once.

    With continuous batching a step gives every decoding request one token, so all see the same pace: between its first
    and its last token a request of n tokens saw n - 1 steps, and before them at least those that its prompt fills.
    Steps that also work on someone's long prompt take longer, which spreads the others' tokens unevenly; to find
    that, paces between events start equal and are scaled until every request's count is met (simultaneous
    multiplicative algebraic reconstruction, Byrne 1993, as in tomography), which leaves them as even as they can be.

    Args:
        jobs: of one engine, at least one.
    """
    import numpy as np

    starts, firsts, ends = (np.array([getattr(job, name) for job in jobs]) for name in ("start_s", "first_s", "end_s"))
    times = np.unique(np.concatenate([starts, firsts, ends]))
    seconds = np.diff(times)
    begin = np.searchsorted(times, np.concatenate([starts, firsts]))
    end = np.searchsorted(times, np.concatenate([firsts, ends]))
    wanted = np.concatenate(
        [
            [max(1.0, job.prompt / STEP_TOKENS) for job in jobs],
            [max(_CLOSE, job.output - 1) for job in jobs],
        ]
    )
    at_least = np.arange(2 * len(jobs)) < len(jobs)
    cover = _sums(begin, end, np.ones(len(wanted)), len(seconds))
    # Even where something is decoded; elsewhere as slow as the prompts allow.
    seen = wanted / np.maximum(times[end] - times[begin], _CLOSE)
    decoding = _sums(begin[~at_least], end[~at_least], np.ones(len(jobs)), len(seconds)) > 0.5
    filling = np.zeros(len(seconds))
    for first, last, per_s in zip(begin[at_least], end[at_least], seen[at_least], strict=True):
        filling[first:last] = np.maximum(filling[first:last], per_s)
    rate = np.where(decoding, float(np.median(seen[~at_least])), filling)
    for _ in range(_ROUNDS):
        done = np.concatenate([[0.0], np.cumsum(rate * seconds)])
        short = np.log(wanted / np.maximum(done[end] - done[begin], 1e-300))
        short = np.where(at_least, np.maximum(short, 0.0), short)
        change = _sums(begin, end, short, len(seconds)) / np.maximum(cover, 1.0)
        rate = rate * np.exp(np.clip(change, -5, 5))
        if np.max(np.abs(change), initial=0.0) < _CLOSE:
            break
    active = _sums(np.searchsorted(times, starts), np.searchsorted(times, ends), np.ones(len(jobs)), len(seconds))
    steps = np.concatenate([[0.0], np.cumsum(rate * seconds)])
    each = np.concatenate([[0.0], np.cumsum(rate * seconds / np.maximum(active, 1.0))])
    return Pace(times, steps, each)


def _sums(begin: NDArray[np.intp], end: NDArray[np.intp], values: _Array, length: int) -> _Array:
    """For each segment, the sum of the values whose range ``begin`` to ``end`` covers it."""
    import numpy as np

    found = np.zeros(length + 1)
    np.add.at(found, begin, values)
    np.add.at(found, end, -values)
    return np.cumsum(found)[:-1]
