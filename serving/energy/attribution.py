"""Whose joules they were: a meter's counters shared among the requests that an engine worked on meanwhile."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from ._base import Reading
from ._jobs import Job, Request, completed
from ._pace import Pace, pace

__all__ = ["Attribution", "Coefficients", "Request", "attribute", "steps"]

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    _Array: TypeAlias = NDArray[np.float64]

#: This share of an interval's joules goes by active time, so that nobody who was active gets nothing.
_BY_TIME = 1e-6
#: Fewer steps than this tell nothing of a pace.
_SHORTEST = 1e-9
_DEVICES = ("gpu", "cpu", "dram", "soc")


@dataclass(frozen=True, kw_only=True)
class Coefficients:
    """What work costs on one device, with one model and engine configuration, in joules over idle.

    Attributes:
        step_j: a step of the engine, whoever takes part: above all reading the weights.
        prompt_token_j: a prompt token that is not cached.
        output_token_j: an output token.
        context_token_j: an output token, for each token of its context.
    """

    step_j: float
    prompt_token_j: float
    output_token_j: float
    context_token_j: float

    def __post_init__(self) -> None:
        values = (self.step_j, self.prompt_token_j, self.output_token_j, self.context_token_j)
        if not all(math.isfinite(value) and value >= 0 for value in values):
            raise ValueError(f"coefficients must be 0 or more, but got {self}")


@dataclass(frozen=True, kw_only=True)
class Attribution:
    """A window's joules, each counted once.

    Attributes:
        method: ``affine`` with calibrated coefficients, ``tokens`` by tokens without.
        requests_j: by request id, over idle.
        idle_j: what would have been used with nobody asking.
        unattributed_j: over idle with no request active, and of processes that are no engines.
    """

    method: Literal["affine", "tokens"]
    requests_j: Mapping[str, float]
    idle_j: float
    unattributed_j: float

    @property
    def total_j(self) -> float:
        """All of it: what the meter counted."""
        return math.fsum(self.requests_j.values()) + self.idle_j + self.unattributed_j


def attribute(
    readings: Sequence[Reading],
    requests: Sequence[Request],
    *,
    idle_w: Mapping[str, float],
    coefficients: Mapping[str, Coefficients],
    refresh_s: float = 0.0,
) -> Attribution:
    """Share a window's joules among requests.

    Of what a counter grew between two readings, idle power times time is idle, and the rest is shared in proportion to
    step_j × (engine steps / active requests) + prompt_token_j × prompt tokens + (output_token_j + context_token_j ×
    context) × output tokens of that interval. How steps, and with them tokens, lie in time is found from all requests
    of the engine together, see ``pace``. Where an engine with requests lacks coefficients, everything is shared by
    tokens.

    What is not known of a request is taken from those of the same engine (or of all, if it has none) that tell: the
    prefill's end from their median prefill rate, output tokens from their median decode rate, prompt tokens from their
    median. Where nothing is counted, joules go by active time.

    Args:
        readings: of one window without faults, in order. A domain that two neighbours do not share counts for nothing
            between them.
        requests: in any order; what of them lies outside the window gets nothing here.
        idle_w: idle watts by domain, with the engines resident; 0 for one not named.
        coefficients: by engine.
        refresh_s: how often the counters move, see ``Limits``. Where they do not move at once, what they show between
            two moves is taken as used evenly since the last one.

    Raises:
        ValueError: time or a counter goes back, or a number is no number.
    """
    import numpy as np

    edges = np.array([reading.time_s for reading in readings], dtype=float)
    if not np.all(np.isfinite(edges)) or np.any(np.diff(edges) < 0):
        raise ValueError("the readings' times must not go back; pass one window's readings in order")
    shared = {request.id: 0.0 for request in requests}
    if len(readings) < 2:
        return Attribution(method="tokens", requests_j=shared, idle_j=0.0, unattributed_j=0.0)
    # All are looked at, for medians; only those that the window holds are shared to.
    jobs = [job for job in completed(requests) if job.end_s > edges[0] and job.start_s < edges[-1]]
    affine = bool(jobs) and all(job.engine in coefficients for job in jobs)
    counted = any(request.output_tokens is not None or request.prompt_tokens is not None for request in requests)
    weights = _weights(edges, jobs, coefficients if affine else None, counted=counted)
    idle_j = unattributed_j = 0.0
    for domain in sorted({name for reading in readings for name in reading.energy_j}):
        grown = _growth(readings, domain)
        if refresh_s > 0:
            grown = _evenly(grown, np.diff(edges))
        idle = np.minimum(grown, max(0.0, idle_w.get(domain, 0.0)) * np.diff(edges))
        idle_j += float(idle.sum())
        rest = grown - idle
        kind, _, name = domain.partition(":")
        if kind == "engine":
            rows = [row for row in weights if row.job.engine == name]
        else:
            rows = weights if kind in _DEVICES else []
        unattributed_j += _share(rest, rows, shared)
    return Attribution(
        method="affine" if affine else "tokens", requests_j=shared, idle_j=idle_j, unattributed_j=unattributed_j
    )


def steps(requests: Sequence[Request]) -> float:
    """Engine steps that ``attribute`` takes requests of one engine for; calibration counts them the same way."""
    return float(pace(completed(requests)).steps[-1]) if requests else 0.0


@dataclass(frozen=True)
class _Row:
    """A request's weight and active seconds in the intervals from ``first`` on."""

    job: Job
    first: int
    weight: _Array
    active_s: _Array

    @property
    def place(self) -> slice:
        return slice(self.first, self.first + len(self.weight))


def _growth(readings: Sequence[Reading], domain: str) -> _Array:
    import numpy as np

    values = np.array([reading.energy_j.get(domain, math.nan) for reading in readings], dtype=float)
    grown = np.diff(values)
    if np.any(grown < 0) or np.any(np.isinf(values)):
        raise ValueError(f"{domain}: its counter goes back; pass only windows without faults")
    return np.nan_to_num(grown)


def _evenly(grown: _Array, seconds: _Array) -> _Array:
    """Each move of a counter spread over the intervals since the last one; those after the last move have its power."""
    import numpy as np

    moves = np.flatnonzero(grown > 0)
    if not len(moves):
        return grown
    groups = np.minimum(np.searchsorted(moves, np.arange(len(grown)), side="left"), len(moves) - 1)
    totals, spans = np.bincount(groups, grown), np.bincount(groups, seconds)
    watts = np.divide(totals, spans, out=np.zeros_like(totals), where=spans > 0)
    return np.where(spans[groups] > 0, watts[groups] * seconds, grown)


def _share(rest: _Array, rows: Sequence[_Row], shared: dict[str, float]) -> float:
    """Add to ``shared`` what each request gets; the joules that nobody was active for."""
    import numpy as np

    weight, active_s = np.zeros_like(rest), np.zeros_like(rest)
    for row in rows:
        weight[row.place] += row.weight
        active_s[row.place] += row.active_s
    someone = active_s > 0
    by_time = np.where(weight > 0, _BY_TIME, 1.0)
    per_weight = np.divide(rest * (1 - by_time), weight, out=np.zeros_like(rest), where=someone & (weight > 0))
    per_s = np.divide(rest * by_time, active_s, out=np.zeros_like(rest), where=someone)
    for row in rows:
        got = row.weight @ per_weight[row.place] + row.active_s @ per_s[row.place]
        shared[row.job.id] += float(got)
    return float(rest[~someone].sum())


def _weights(
    edges: _Array, jobs: Sequence[Job], coefficients: Mapping[str, Coefficients] | None, *, counted: bool
) -> list[_Row]:
    import numpy as np

    by_engine: dict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        by_engine[job.engine].append(job)
    rows = []
    for engine, mine in by_engine.items():
        cost = coefficients[engine] if coefficients else None
        engine_pace = pace(mine)
        for job in mine:
            low = max(0, int(np.searchsorted(edges, job.start_s, side="right")) - 1)
            high = min(len(edges) - 1, int(np.searchsorted(edges, job.end_s, side="left")))
            at = edges[low : high + 1]
            inside = np.clip(at, job.start_s, job.end_s)
            active_s = np.diff(inside)
            prefilled = _progress(engine_pace, inside, job.start_s, job.first_s)
            decoded = _progress(engine_pace, inside, job.first_s, job.end_s)
            prompt, output = np.diff(prefilled) * job.prompt, np.diff(decoded) * job.output
            if not counted:
                weight = np.zeros_like(active_s)
            elif cost is None:
                weight = prompt + output
            else:
                # Context grows by each token: the integral of context over output tokens so far.
                done = decoded * job.output
                context = np.diff((job.prompt + job.cached) * done + done * done / 2)
                weight = (
                    cost.step_j * np.diff(engine_pace.each_at(inside))
                    + cost.prompt_token_j * prompt
                    + cost.output_token_j * output
                    + cost.context_token_j * context
                )
            rows.append(_Row(job, low, np.maximum(weight, 0.0), np.maximum(active_s, 0.0)))
    return rows


def _progress(engine: Pace, at_s: _Array, start_s: float, end_s: float) -> _Array:
    """The share of the engine's steps from start to end that was taken at each moment."""
    import numpy as np

    begun, done = (float(each) for each in engine.steps_at(np.array([start_s, end_s])))
    if done - begun < _SHORTEST:
        return np.clip((at_s - start_s) / (end_s - start_s), 0, 1)
    share: _Array = (engine.steps_at(at_s) - begun) / (done - begun)
    return np.clip(share, 0, 1)
