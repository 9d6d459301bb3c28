"""Attribution: it shares the joules of a window among the requests that the engines worked on in that window."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from ._base import Reading
from ._jobs import Job, Request, fill_unknown
from ._pace import Pace, pace

__all__ = ["Attribution", "Coefficients", "Request", "attribute", "count_steps"]

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    _Array: TypeAlias = NDArray[np.float64]

#: This share of an interval's joules is divided by active time, so that every active request gets some joules.
_BY_TIME = 1e-6
#: With fewer steps than this, a pace cannot be computed.
_MIN_STEPS = 1e-9
_DEVICES = ("gpu", "cpu", "dram", "soc")


@dataclass(frozen=True, kw_only=True)
class Coefficients:
    """The costs of work on one device, with one model and one engine configuration, in joules above idle power.

    Attributes:
        step_j: The cost of one engine step, for any number of requests in it. Most of it is reading the weights.
        prompt_token_j: The cost of one prompt token that is not cached.
        output_token_j: The cost of one output token.
        context_token_j: The cost of one output token for each token in its context.
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
    """The joules of a window. Each joule is counted once.

    Attributes:
        method: ``affine`` if calibrated coefficients were used, ``tokens`` if joules were shared by token counts.
        requests_j: The joules above idle power, by request id.
        idle_j: The joules of idle power.
        unattributed_j: The joules above idle power while no request was active, and those of processes that are not
            engines.
    """

    method: Literal["affine", "tokens"]
    requests_j: Mapping[str, float]
    idle_j: float
    unattributed_j: float

    @property
    def total_j(self) -> float:
        """All joules that the meter counted."""
        return math.fsum(self.requests_j.values()) + self.idle_j + self.unattributed_j


def attribute(
    readings: Sequence[Reading],
    requests: Sequence[Request],
    *,
    idle_w: Mapping[str, float],
    coefficients: Mapping[str, Coefficients],
    refresh_s: float = 0.0,
) -> Attribution:
    """Share the joules of a window among requests.

    For each interval between two readings, idle power × time of the interval's joules are idle. The rest is shared in
    proportion to step_j × (engine steps / active requests) + prompt_token_j × prompt tokens + (output_token_j +
    context_token_j × context) × output tokens of that interval. The times of the steps, and so of the tokens, are
    estimated from all requests of the engine together, see ``pace``. If an engine with requests has no coefficients,
    all joules are shared by token counts.

    Unknown values of a request are estimated from the requests of the same engine with known values, or from those of
    all engines if the engine has none: the end of the prefill from the median prefill rate, output tokens from the
    median decode rate, prompt tokens from the median. If no tokens are known at all, joules are shared by active time.

    Args:
        readings: The readings of one window without faults, in the order of time. If a domain is missing in one of two
            neighbouring readings, its joules between the two count as 0.
        requests: The requests, in any order. The parts of a request outside the window get no joules.
        idle_w: The idle power in watts by domain, with the engines in memory; 0 for a missing domain.
        coefficients: The calibrated costs, by engine.
        refresh_s: The time between two updates of the counters, see ``Limits``. If it is above 0, the joules of one
            update count as used evenly since the previous update.

    Returns:
        The joules by request, idle and unattributed.

    Raises:
        ValueError: The time or a counter decreases, or a value is not finite.
    """
    import numpy as np

    edges = np.array([reading.time_s for reading in readings], dtype=float)
    if not np.all(np.isfinite(edges)) or np.any(np.diff(edges) < 0):
        raise ValueError("the readings' times must not go back; pass one window's readings in order")
    shared = {request.id: 0.0 for request in requests}
    if len(readings) < 2:
        return Attribution(method="tokens", requests_j=shared, idle_j=0.0, unattributed_j=0.0)
    # All requests count for the medians, but only those inside the window get joules.
    jobs = [job for job in fill_unknown(requests) if job.end_s > edges[0] and job.start_s < edges[-1]]
    affine = bool(jobs) and all(job.engine in coefficients for job in jobs)
    counted = any(request.output_tokens is not None or request.prompt_tokens is not None for request in requests)
    weights = _weights(edges, jobs, coefficients if affine else None, counted=counted)
    idle_j = unattributed_j = 0.0
    for domain in sorted({name for reading in readings for name in reading.energy_j}):
        used_j = _differences(readings, domain)
        if refresh_s > 0:
            used_j = _spread_evenly(used_j, np.diff(edges))
        idle = np.minimum(used_j, max(0.0, idle_w.get(domain, 0.0)) * np.diff(edges))
        idle_j += float(idle.sum())
        rest = used_j - idle
        kind, _, name = domain.partition(":")
        if kind == "engine":
            rows = [row for row in weights if row.job.engine == name]
        else:
            rows = weights if kind in _DEVICES else []
        unattributed_j += _share(rest, rows, shared)
    return Attribution(
        method="affine" if affine else "tokens", requests_j=shared, idle_j=idle_j, unattributed_j=unattributed_j
    )


def count_steps(requests: Sequence[Request]) -> float:
    """Return the number of engine steps that ``attribute`` assumes for the requests of one engine.

    Args:
        requests: The requests of one engine.

    Returns:
        The number of steps for all requests together.
    """
    return float(pace(fill_unknown(requests)).steps[-1]) if requests else 0.0


@dataclass(frozen=True)
class _Row:
    """A request's weights and active seconds in consecutive intervals, of which ``first`` is the first."""

    job: Job
    first: int
    weight: _Array
    active_s: _Array

    @property
    def intervals(self) -> slice:
        return slice(self.first, self.first + len(self.weight))


def _differences(readings: Sequence[Reading], domain: str) -> _Array:
    """The joules of a domain in each interval between two readings."""
    import numpy as np

    values = np.array([reading.energy_j.get(domain, math.nan) for reading in readings], dtype=float)
    used_j = np.diff(values)
    if np.any(used_j < 0) or np.any(np.isinf(values)):
        raise ValueError(f"{domain}: its counter goes back; pass only windows without faults")
    return np.nan_to_num(used_j)


def _spread_evenly(used_j: _Array, seconds: _Array) -> _Array:
    """Spread each update of a counter evenly over the intervals since the previous update.

    The intervals after the last update get the power of the last update.
    """
    import numpy as np

    updates = np.flatnonzero(used_j > 0)
    if not len(updates):
        return used_j
    groups = np.minimum(np.searchsorted(updates, np.arange(len(used_j)), side="left"), len(updates) - 1)
    totals, spans = np.bincount(groups, used_j), np.bincount(groups, seconds)
    watts = np.divide(totals, spans, out=np.zeros_like(totals), where=spans > 0)
    return np.where(spans[groups] > 0, watts[groups] * seconds, used_j)


def _share(rest: _Array, rows: Sequence[_Row], shared: dict[str, float]) -> float:
    """Add each request's joules to ``shared``, and return the joules of the intervals without an active request."""
    import numpy as np

    weight, active_s = np.zeros_like(rest), np.zeros_like(rest)
    for row in rows:
        weight[row.intervals] += row.weight
        active_s[row.intervals] += row.active_s
    active = active_s > 0
    by_time = np.where(weight > 0, _BY_TIME, 1.0)
    per_weight = np.divide(rest * (1 - by_time), weight, out=np.zeros_like(rest), where=active & (weight > 0))
    per_s = np.divide(rest * by_time, active_s, out=np.zeros_like(rest), where=active)
    for row in rows:
        joules = row.weight @ per_weight[row.intervals] + row.active_s @ per_s[row.intervals]
        shared[row.job.id] += float(joules)
    return float(rest[~active].sum())


def _weights(
    edges: _Array, jobs: Sequence[Job], coefficients: Mapping[str, Coefficients] | None, *, counted: bool
) -> list[_Row]:
    import numpy as np

    by_engine: dict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        by_engine[job.engine].append(job)
    rows = []
    for engine, engine_jobs in by_engine.items():
        cost = coefficients[engine] if coefficients else None
        engine_pace = pace(engine_jobs)
        for job in engine_jobs:
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
                # The context grows with each token, so this is the integral of the context over the output tokens.
                done = decoded * job.output
                context = np.diff((job.prompt + job.cached) * done + done * done / 2)
                weight = (
                    cost.step_j * np.diff(engine_pace.steps_per_request_at(inside))
                    + cost.prompt_token_j * prompt
                    + cost.output_token_j * output
                    + cost.context_token_j * context
                )
            rows.append(_Row(job, low, np.maximum(weight, 0.0), np.maximum(active_s, 0.0)))
    return rows


def _progress(engine: Pace, at_s: _Array, start_s: float, end_s: float) -> _Array:
    """The share of the engine's steps between start and end that were done at each moment."""
    import numpy as np

    first_step, last_step = (float(step) for step in engine.steps_at(np.array([start_s, end_s])))
    if last_step - first_step < _MIN_STEPS:
        return np.clip((at_s - start_s) / (end_s - start_s), 0, 1)
    share: _Array = (engine.steps_at(at_s) - first_step) / (last_step - first_step)
    return np.clip(share, 0, 1)
