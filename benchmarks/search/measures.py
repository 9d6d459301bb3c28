"""What a search is judged by: hypervolume of the true values of its front, against model calls.

Every method is judged alike. After each trial it says which teams it holds to be the front, by its own estimates. Their
*true* values (means over everything recorded) make a hypervolume, relative to that of the whole grid's true front. So a
method gains nothing by believing its own lucky numbers.

Objectives are scaled to the range from the true front's ideal to its nadir; the reference point is the nadir moved
outward by a tenth of that range, so that the extremes of the front count too (Ishibuchi, Imada, Setoguchi and Nojima,
"How to specify a reference point in hypervolume calculation for fair performance comparison", Evolutionary Computation
26(3), 2018).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import moocore
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
#: What every method yields: model calls so far, and indices of the teams it holds to be the front.
Reported = tuple[int, Sequence[int]]

OBJECTIVES = ("quality", "latency_p50_s", "energy_j")
#: Quality is maximised; the hypervolume minimises everything.
SIGNS = np.array([-1.0, 1.0, 1.0])
#: How far beyond the nadir the reference point lies, in parts of the range.
MARGIN = 0.1
TARGET = 0.95
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
RESAMPLES = 2000


def front_mask(values: Array) -> NDArray[np.bool_]:
    """Which rows (quality, latency, energy) no other row beats. Equal rows are all kept; a NaN never gets on."""
    mask = np.zeros(len(values), dtype=np.bool_)
    sound = np.flatnonzero(~np.isnan(values).any(axis=1))
    mask[sound] = moocore.is_nondominated(values[sound] * SIGNS, keep_weakly=True)
    return mask


class Judge:
    """Relative hypervolume of a set of teams.

    Args:
        truth: (teams, 3), true quality, latency in seconds and energy in joules.
    """

    def __init__(self, truth: Array) -> None:
        self.front = np.flatnonzero(front_mask(truth))
        best = truth[self.front] * SIGNS
        ideal, nadir = best.min(axis=0), best.max(axis=0)
        # An objective in which the whole front is equal divides nothing; any positive scale will do.
        width = np.where(nadir > ideal, nadir - ideal, np.maximum(np.abs(ideal), 1.0))
        self._scaled = (truth * SIGNS - ideal) / width
        self._reference = np.where(nadir > ideal, 1.0, 0.0) + MARGIN
        self._known: dict[frozenset[int], float] = {}
        self._whole = self._volume(sorted(self.front))

    def relative(self, teams: Iterable[int]) -> float:
        """Hypervolume of the true values of these teams ÷ that of the whole grid's front; 0 to 1."""
        key = frozenset(int(team) for team in teams)
        if key not in self._known:
            self._known[key] = self._volume(sorted(key)) / self._whole
        return self._known[key]

    def _volume(self, teams: list[int]) -> float:
        points = self._scaled[teams]
        points = points[(points < self._reference).all(axis=1)]
        return float(moocore.hypervolume(points, ref=self._reference)) if len(points) else 0.0


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A step function: relative hypervolume after so many model calls.

    Attributes:
        calls: rising.
        value: from each of ``calls`` on; before the first it is 0.
        end: calls when the run ended: by its budget, its cap of trials, or for having nothing left to ask.
    """

    calls: tuple[int, ...]
    value: tuple[float, ...]
    end: int

    def at(self, calls: Array) -> Array:
        """The value after each number of calls; NaN after the end."""
        place = np.searchsorted(np.array(self.calls), calls, side="right")
        found = np.concatenate([[0.0], self.value])[place]
        return np.where(calls > self.end, np.nan, found)

    def reaches(self, target: float = TARGET) -> float:
        """Calls after which the target is first reached; infinity when it never is."""
        return next((float(c) for c, v in zip(self.calls, self.value, strict=True) if v >= target), math.inf)

    def holds(self, target: float = TARGET) -> float:
        """Calls from which the target is reached at every later checkpoint; infinity when it is not at the last."""
        found = math.inf
        for calls, value in zip(reversed(self.calls), reversed(self.value), strict=True):
            if value < target:
                break
            found = float(calls)
        return found


def curve(reports: Iterable[Reported], judge: Judge, *, max_calls: int, max_trials: int | None = None) -> Curve:
    """Judge what a method reports, one report after another.

    Args:
        reports: with rising calls.
        judge: of the table.
        max_calls: reports beyond are not looked at.
        max_trials: so many reports at most, for a method that takes seconds over a trial.
    """
    calls: list[int] = []
    value: list[float] = []
    end = 0
    for spent, front in itertools.islice(reports, max_trials):
        if spent > max_calls:
            end = max_calls
            break
        end, now = spent, judge.relative(front)
        if calls and calls[-1] == spent:
            value[-1] = now
        elif not value or value[-1] != now:
            calls.append(int(spent))
            value.append(now)
    return Curve(calls=tuple(calls), value=tuple(value), end=int(end))


def call_grid(max_calls: int, *, first: int = 64, points: int = 80) -> Array:
    """Numbers of calls, evenly spaced by their logarithm, each once."""
    return np.unique(np.round(np.geomspace(min(first, max_calls), max_calls, points)))


def bands(curves: Sequence[Curve], grid: Array) -> Mapping[str, list[float | None]]:
    """Quantiles over the curves at each number of calls: ``p50`` and so on; None where some curve has ended."""
    values = np.stack([each.at(grid) for each in curves])  # a NaN makes the quantile one
    return {f"p{100 * q:.0f}": [finite(v, 5) for v in np.quantile(values, q, axis=0)] for q in QUANTILES}


def finite(value: float, digits: int = 4) -> float | None:
    """The number for a JSON file; None when it is not one."""
    return round(value, digits) if math.isfinite(value) else None


def ratio(theirs: Sequence[float], ends: Sequence[float], ours: Sequence[float], *, seed: int) -> dict[str, Any]:
    """How many times the calls they need: the median of theirs ÷ the median of ours.

    A run that never got to the target counts as beyond its end. If half or more did not, ``median`` is what their ends
    allow to say, and ``at_least`` is true. The interval is the 95 % percentile bootstrap over seeds, drawn for each
    side by itself (the seeds of two methods have nothing in common); ``high`` of None is beyond the ends.

    Args:
        theirs: calls to the target by seed; infinity for never.
        ends: calls when each of those runs ended.
        ours: calls to the target by seed.
        seed: of the bootstrap.

    Returns:
        ``median`` is None when half or more of ours did not get there: then there is no ratio.
    """
    high, low = np.array(theirs, dtype=float), np.array(ours, dtype=float)
    middle_high, middle_low = median(high), median(low)
    if not math.isfinite(middle_low):
        return {"median": None, "low": None, "high": None, "at_least": False}
    rng = np.random.default_rng(seed)
    above, below = (_medians(rng.choice(side, (RESAMPLES, side.size))) for side in (high, low))
    # Where ours does not get there, the ratio is the worst for us, whatever theirs does.
    there = np.isfinite(below)
    draws = np.sort(np.where(there, above / np.where(there, below, 1.0), 0.0))
    at_least = not math.isfinite(middle_high)
    return {
        "median": finite((median(ends) if at_least else middle_high) / middle_low, 2),
        "low": finite(draws[int(0.025 * len(draws))], 2),
        "high": finite(draws[int(0.975 * len(draws))], 2),
        "at_least": at_least,
    }


def median(values: Sequence[float] | Array) -> float:
    """The median; infinity when half or more are (numpy's would be NaN between two infinities)."""
    return float(_medians(np.asarray(values, dtype=float)[None, :])[0])


def _medians(rows: Array) -> Array:
    ordered = np.sort(rows, axis=1)
    n = ordered.shape[1]
    low, high = ordered[:, (n - 1) // 2], ordered[:, n // 2]
    middle: Array = (low + high) / 2
    return middle


def checkpoints(steps: Iterable[tuple[int, int | None]], estimate: Array) -> Iterator[Reported]:
    """Reports of a method that measures whole teams: after each, the front of all measured so far, by its estimates.

    Args:
        steps: (calls so far, the team that is now fully measured, or None when the trial measured none).
        estimate: (teams, 3), what the method sees of a team when it has measured it.
    """
    front: list[int] = []
    seen: set[int] = set()
    for calls, team in steps:
        if team is not None and team not in seen:
            seen.add(team)
            candidates = [*front, team]
            front = [candidates[i] for i in np.flatnonzero(front_mask(estimate[candidates]))]
        yield calls, tuple(front)
