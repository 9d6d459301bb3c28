"""Estimates how fast an engine took its steps, from the token counts and the times of its requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from ._jobs import Job

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    _Array: TypeAlias = NDArray[np.float64]

#: The most tokens of one step (vLLM's default of max_num_batched_tokens). A longer prompt takes several steps.
STEP_TOKENS = 2048
_ROUNDS = 200
#: The precision of a pace. The iteration ends after a round with a smaller change.
_CLOSE = 1e-6


@dataclass(frozen=True)
class Pace:
    """The steps of one engine over time. Both sums never decrease, and are linear between ``times_s``.

    Attributes:
        times_s: The times when requests started, had their first token, and ended. Shape ``[n]``.
        steps: The number of steps until each time. Shape ``[n]``.
        steps_per_request: The sum, over the steps until each time, of 1 / (active requests), so that a request's share
            of the steps is the difference between its end and its start. Shape ``[n]``.
    """

    times_s: _Array
    steps: _Array
    steps_per_request: _Array

    def steps_at(self, at_s: _Array) -> _Array:
        """Interpolate ``steps``.

        Args:
            at_s: The times. Shape ``[m]``; the result has the same shape.

        Returns:
            Steps made until each time, in the shape of ``at_s``.
        """
        import numpy as np

        return np.interp(at_s, self.times_s, self.steps)

    def steps_per_request_at(self, at_s: _Array) -> _Array:
        """Interpolate ``steps_per_request``.

        Args:
            at_s: The times. Shape ``[m]``; the result has the same shape.

        Returns:
            Steps per active request until each time, in the shape of ``at_s``.
        """
        import numpy as np

        return np.interp(at_s, self.times_s, self.steps_per_request)


def pace(jobs: Sequence[Job]) -> Pace:
    """Estimate the pace that fits the token counts of all requests together.

    With continuous batching, each step gives every decoding request one token, so all requests have the same pace. A
    request with n tokens has n - 1 steps between its first and its last token. Before them it has at least the steps
    that its prompt fills. A step that also works on another request's long prompt takes longer, so tokens are not
    spread evenly over time. To find the spread, the paces between events start equal and are scaled until the count of
    every request is met (simultaneous multiplicative algebraic reconstruction, Byrne 1993, as in tomography). This
    leaves the paces as even as the counts allow.

    Args:
        jobs: The jobs of one engine, at least one.

    Returns:
        The engine's steps over time.
    """
    import numpy as np

    starts, firsts, ends = (np.array([getattr(job, name) for job in jobs]) for name in ("start_s", "first_s", "end_s"))
    times = np.unique(np.concatenate([starts, firsts, ends]))
    seconds = np.diff(times)
    begin = np.searchsorted(times, np.concatenate([starts, firsts]))
    end = np.searchsorted(times, np.concatenate([firsts, ends]))
    target_steps = np.concatenate(
        [
            [max(1.0, job.prompt / STEP_TOKENS) for job in jobs],
            [max(_CLOSE, job.output - 1) for job in jobs],
        ]
    )
    at_least = np.arange(2 * len(jobs)) < len(jobs)
    cover = _sums(begin, end, np.ones(len(target_steps)), len(seconds))
    # The first guess: while requests decode, their median pace; otherwise the slowest pace that fits the prompts.
    mean_rates = target_steps / np.maximum(times[end] - times[begin], _CLOSE)
    decoding = _sums(begin[~at_least], end[~at_least], np.ones(len(jobs)), len(seconds)) > 0.5
    prefill_rates = np.zeros(len(seconds))
    for first, last, per_s in zip(begin[at_least], end[at_least], mean_rates[at_least], strict=True):
        prefill_rates[first:last] = np.maximum(prefill_rates[first:last], per_s)
    rate = np.where(decoding, float(np.median(mean_rates[~at_least])), prefill_rates)
    for _ in range(_ROUNDS):
        done = np.concatenate([[0.0], np.cumsum(rate * seconds)])
        log_ratios = np.log(target_steps / np.maximum(done[end] - done[begin], 1e-300))
        log_ratios = np.where(at_least, np.maximum(log_ratios, 0.0), log_ratios)
        change = _sums(begin, end, log_ratios, len(seconds)) / np.maximum(cover, 1.0)
        rate = rate * np.exp(np.clip(change, -5, 5))
        if np.max(np.abs(change), initial=0.0) < _CLOSE:
            break
    active = _sums(np.searchsorted(times, starts), np.searchsorted(times, ends), np.ones(len(jobs)), len(seconds))
    steps = np.concatenate([[0.0], np.cumsum(rate * seconds)])
    steps_per_request = np.concatenate([[0.0], np.cumsum(rate * seconds / np.maximum(active, 1.0))])
    return Pace(times, steps, steps_per_request)


def _sums(begin: NDArray[np.intp], end: NDArray[np.intp], values: _Array, length: int) -> _Array:
    """For each segment, the sum of the values whose range from ``begin`` to ``end`` covers the segment."""
    import numpy as np

    differences = np.zeros(length + 1)
    np.add.at(differences, begin, values)
    np.add.at(differences, end, -values)
    return np.cumsum(differences)[:-1]
