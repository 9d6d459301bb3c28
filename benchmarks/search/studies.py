"""The studies of a seed that ``honesty`` runs, and what is kept of each."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from orkester.evals.summaries.measurement import Measurement
from orkester.optim.run.results import TeamResult

from . import simulation
from .measures import OBJECTIVES, SIGNS, front_mask
from .simulation import BROKEN, FAULTS, Found, Plan, Reality

BUDGETS: Final = (300, 600, 1200)
FAULTY_CALLS: Final = 900
Record: TypeAlias = dict[str, Any]


def plans(seed: int) -> dict[str, Plan]:
    """The studies of a seed, by what they are for."""
    faults = [fault for fault in FAULTS if fault != "absent"]
    found = {str(calls): Plan(seed=seed, llm_calls=calls) for calls in BUDGETS}
    found |= {f"{calls} again": Plan(seed=seed, llm_calls=calls, again=1) for calls in BUDGETS[:-1]}
    found["faulty"] = Plan(seed=seed, llm_calls=FAULTY_CALLS, fault=faults[seed % len(faults)])
    found["all"] = Plan(seed=seed, llm_calls=None, sampler="grid")
    return found


def one(seed: int) -> dict[str, Record]:
    """All studies of a seed."""
    return {name: record(plan) for name, plan in plans(seed).items()}


def record(plan: Plan) -> Record:
    """What is kept of a study."""
    begun = time.process_time()
    found = simulation.run(plan)
    front, true = found.results.front, found.reality
    likely = [result for result in found.results.teams if (result.front_probability or 0.0) >= 0.5]
    failing = [result for result in front if BROKEN.name in result.team.models]
    return {
        "fault": plan.fault,
        "reason": found.reason,
        "sent": dict(found.sent),
        "cpu_s": round(time.process_time() - begun, 2),
        "begun": len(found.results.teams),
        "front": len(front),
        "value": _value(front, true),
        "value_likely": _value(likely, true),
        "failing_on_front": [result.team.id for result in front if result.team.id in found.seen_to_fail],
        "unseen_on_front": [
            sum(m.examples for m in (result.search, result.confirmed) if m is not None)
            for result in failing
            if result.team.id not in found.seen_to_fail
        ],
        "racing": racing(found),
        "intervals": intervals(found),
    }


def _value(teams: Iterable[TeamResult], true: Reality) -> float:
    """Hypervolume of the true values, relative to that of the true front; teams with the failing engine add none."""
    return true.judge.relative(true.index[result.team.id] for result in teams if result.team.id in true.index)


def racing(found: Found) -> Record:
    """Members of true fronts, and which of them were stopped as beaten.

    ``member`` is of the whole space's front. ``unbeaten`` is beaten by no team that was begun: there are more of these.
    ``wrong`` are teams that were stopped as beaten by a team that does not truly beat them.
    """
    true = found.reality
    rows = {
        result.team.id: true.index[result.team.id] for result in found.results.teams if result.team.id in true.index
    }
    values = true.values[list(rows.values())]
    unbeaten = dict(zip(rows, front_mask(values), strict=True))
    members = {int(row) for row in true.judge.front}
    stopped = {r.team.id: r.stopped.split()[2] for r in found.results.teams if r.stopped.startswith("beaten by")}
    sound = {team: by for team, by in stopped.items() if team in rows}
    return {
        "members": sum(row in members for row in rows.values()),
        "members_stopped": sum(rows[team] in members for team in sound),
        "unbeaten": int(sum(unbeaten.values())),
        "unbeaten_stopped": sum(bool(unbeaten[team]) for team in sound),
        "stopped": len(sound),
        "wrong": sum(by in rows and not _beats(true.values[rows[by]], true.values[rows[t]]) for t, by in sound.items()),
    }


def _beats(one: Any, other: Any) -> bool:
    return bool((one * SIGNS <= other * SIGNS).all() and (one * SIGNS < other * SIGNS).any())


def intervals(found: Found) -> list[Record]:
    """Of each sound team that was confirmed: where the truth lies to its intervals, by objective.

    ``unbeaten``: by the truth no other team that was confirmed beats it. ``ahead``: none is better in every objective.
    Teams that differ in temperature alone take exactly as many seconds and joules: of such a tie no measurement can
    tell who is ahead, and the two differ.
    """
    true = found.reality
    sound = [r for r in found.results.teams if r.confirmed is not None and r.team.id in true.index]
    values = true.values[[true.index[result.team.id] for result in sound]]
    kept = []
    for result, unbeaten, ahead in zip(sound, front_mask(values), _ahead(values), strict=True):
        truth = true.of(result.team)
        assert truth is not None
        assert result.confirmed is not None
        kept.append(
            {
                "row": true.index[result.team.id],
                "front": result.on_front,
                "probability": result.front_probability,
                "unbeaten": bool(unbeaten),
                "ahead": bool(ahead),
                "examples": result.confirmed.examples,
                "confirmed": _places(result.confirmed, truth),
                "search": _places(result.search, truth),
            }
        )
    return kept


def _ahead(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    signed = values * SIGNS
    better = (signed[None, :, :] < signed[:, None, :]).all(axis=2)
    return np.asarray(~better.any(axis=1), dtype=np.bool_)


def _places(measured: Measurement | None, truth: Mapping[str, float]) -> Record:
    """By objective the value, and 0 where the interval holds the truth, -1 and 1 where that is below it or above."""
    found: Record = {}
    for name in OBJECTIVES:
        estimate = measured.estimates.get(name) if measured is not None else None
        if estimate is None or (estimate.low is None and estimate.high is None):
            continue
        low = -math.inf if estimate.low is None else estimate.low
        high = math.inf if estimate.high is None else estimate.high
        found[name] = [estimate.value, int(truth[name] > high) - int(truth[name] < low)]
    return found
