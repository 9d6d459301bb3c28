"""Results made by hand, from which teams are chosen."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from orkester.evals.objectives import Estimate
from orkester.evals.records.block import Phase
from orkester.evals.summaries.measurement import Measurement
from orkester.graphs import Team
from orkester.optim.goals.front import front_indices
from orkester.optim.goals.goal import Direction
from orkester.optim.run.results import Results, TeamResult

TWO: Mapping[str, Any] = {"quality": "maximize", "energy_j": "minimize"}
THREE: Mapping[str, Any] = {"quality": "maximize", "latency_p50_s": "minimize", "energy_j": "minimize"}
#: A value; a value with the ends of its interval.
Value = float | tuple[float, float | None, float | None]


def dominates(a: Sequence[float], b: Sequence[float], directions: Sequence[Direction]) -> bool:
    """Whether ``a`` is at least as good as ``b`` in every objective and better in one."""
    better = False
    for x, y, direction in zip(a, b, directions, strict=True):
        ahead = x - y if direction == "maximize" else y - x
        if ahead < 0:
            return False
        better = better or ahead > 0
    return better


def measurement(values: Mapping[str, Value], phase: Phase = "search", n: int = 40, **changes: Any) -> Measurement:
    """With intervals as narrow as can be unless they are given."""
    estimates = {}
    for name, value in values.items():
        middle, low, high = value if isinstance(value, tuple) else (value, value, value)
        estimates[name] = Estimate(value=middle, low=low, high=high, n=n)
    known: dict[str, Any] = {"team": "", "blocks": 4, "energy_method": "nvml", "failures": {}}
    return Measurement(phase=phase, examples=n, estimates=estimates, **{**known, **changes})


def entry(
    agents: int,
    search: Mapping[str, Value],
    confirmed: Mapping[str, Value] | None = None,
    *,
    confirmed_n: int = 20,
    method: str = "nvml",
    **changes: Any,
) -> TeamResult:
    """A team: a vote of so many agents, or where it is one a single agent."""
    knobs: dict[str, Any] = {"agents": agents, "model": "small", "temperature": 0.7}
    known: dict[str, Any] = {
        "team": Team("vote", knobs) if agents > 1 else Team("single", {"model": "small", "temperature": 0.0}),
        "trial": agents,
        "whole": True,
        "infeasible": "",
        "on_front": False,
        "agents": (),
        "residual_j": None,
        "reruns": 0,
    }
    return TeamResult(
        search=measurement(search, energy_method=method),
        confirmed=None if confirmed is None else measurement(confirmed, "confirm", confirmed_n, energy_method=method),
        **{**known, **changes},
    )


def together(*teams: TeamResult, objectives: Mapping[str, Any] = TWO) -> Results:
    """A run of these teams, with its front."""
    sound = [team for team in teams if team.whole and not team.infeasible]
    points = [[team.search.estimates[name].value for name in objectives] for team in sound if team.search]
    front = {sound[i].team.id for i in front_indices(points, list(objectives.values()))}
    marked = [replace(team, on_front=team.team.id in front and team in sound) for team in teams]
    return Results(objectives=objectives, constraints={"failure_rate": "<= 0"}, teams=marked)


def of(points: Sequence[Sequence[float]], objectives: Mapping[str, Any] = TWO) -> Results:
    """A run of teams with these values of the objectives, the first a vote of two."""
    teams = [entry(i, dict(zip(objectives, point, strict=True))) for i, point in enumerate(points, start=2)]
    return together(*teams, objectives=objectives)
