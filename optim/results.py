"""What a run has found so far, put together from its records alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from orkester.errors import OrkesterError
from orkester.evals.block import Block, Phase
from orkester.evals.footprint import Footprint
from orkester.evals.measurement import AgentShare, Estimate, Measurement, agent_shares, measure
from orkester.evals.objectives import OF_JOULES
from orkester.evals.records import Records
from orkester.evals.sequential import team_rows
from orkester.evals.statistics import MIN_BLOCKS
from orkester.graphs import Team

from .confirming import CLEAR, front_probability, seeded
from .front import front_indices
from .study_file import Direction, limit

#: Constraint that holds unless a study says otherwise: a team with failures is never on the front.
DEFAULT_CONSTRAINTS: Mapping[str, str] = {"failure_rate": "<= 0"}


@dataclass(frozen=True, kw_only=True)
class TeamResult:
    """One team and all that was measured of it.

    Attributes:
        team: the team.
        trial: number of the trial that first asked for it.
        search: its measurement in the search; None when it could not be measured at all.
        confirmed: its measurement on the held-out examples; None unless it was confirmed.
        whole: whether it was measured on every example of the search; one that was cut off is on no front yet.
        infeasible: why it cannot be on the front; empty when it can.
        on_front: whether no other feasible team beats it in the search, and none before made the very same calls.
        same_as: the team of the front whose calls these were, all of them; empty when there is none.
        agents: who used how many tokens, how much time and energy, in the search.
        residual_j: joules per example that no agent accounts for (Orkester's own process, mostly).
        reruns: blocks that were started again because an engine died.
        idle_j: joules per example that idle engines would have used too; None when not known.
        attribution: how agents got their joules, see ``AgentShares.method``.
        stopped: why the search did not go on to all examples; empty when it did, or ended before.
        front_probability: that no other confirmed team beats it, by the held-out examples so far; None when it was not
            confirmed, or turned out infeasible.
        settled: whether its confirmation has said what there is to say: it has all held-out examples, or is clearly on
            the front or off it.
    """

    team: Team
    trial: int
    search: Measurement | None
    confirmed: Measurement | None
    whole: bool
    infeasible: str
    on_front: bool
    agents: Sequence[AgentShare]
    residual_j: float | None
    reruns: int
    idle_j: float | None = None
    attribution: str = ""
    stopped: str = ""
    front_probability: float | None = None
    settled: bool = False
    same_as: str = ""

    def as_json(self, objectives: Mapping[str, Direction]) -> dict[str, Any]:
        """For ``orkester front --json``."""
        return {
            "id": self.team.id,
            "topology": self.team.topology,
            "knobs": dict(self.team.knobs),
            "engine": dict(self.team.engine),
            "trial": self.trial,
            "objectives": _estimates(self.search, objectives),
            "confirmed": _estimates(self.confirmed, objectives),
            "front_probability": self.front_probability,
            "energy_method": self.search.energy_method if self.search else "unavailable",
        }


@dataclass(frozen=True, kw_only=True)
class Results:
    """A run's teams.

    Attributes:
        objectives: direction by name, in the study's order.
        constraints: limits by name, the default one included.
        teams: in the order of their trials.
    """

    objectives: Mapping[str, Direction]
    constraints: Mapping[str, str]
    teams: Sequence[TeamResult]

    @property
    def front(self) -> Sequence[TeamResult]:
        """Teams that no feasible team beats on all objectives, best in the first objective first."""
        first, direction = next(iter(self.objectives.items()))
        sign = -1 if direction == "maximize" else 1
        members = [result for result in self.teams if result.on_front]
        return sorted(members, key=lambda r: sign * (r.search.estimates[first].value if r.search else 0.0))

    @property
    def near(self) -> Sequence[TeamResult]:
        """Teams beside the search's front that were confirmed with it, the likeliest to be on the front first."""
        found = [result for result in self.teams if result.front_probability is not None and not result.on_front]
        return sorted(found, key=lambda r: (-(r.front_probability or 0.0), r.trial))


@dataclass(kw_only=True)
class Known:
    """What was put together before from the same run's records, so that only what is new is looked at.

    Attributes:
        teams: by id, each with the number of its records.
        probabilities: of being on the front, with the numbers of blocks that they follow from.
    """

    teams: dict[str, tuple[int, TeamResult]] = field(default_factory=dict)
    probabilities: tuple[Sequence[tuple[str, int]], Mapping[str, float]] = ((), MappingProxyType({}))


def results(
    records: Records,
    objectives: Mapping[str, Direction],
    constraints: Mapping[str, str],
    sizes: Mapping[Phase, int],
    *,
    footprint: Footprint | None = None,
    known: Known | None = None,
) -> Results:
    """Put a run's records together.

    A team with a missing objective is never on the front, nor one that violates a constraint, be it in confirmation.

    Args:
        records: of one run.
        objectives, constraints: of its study.
        sizes: examples that make a whole measurement, by phase.
        footprint: what joules mean where the study runs; without it there is no ``co2e_g`` and no ``cost_eur``.
        known: for callers that ask often: kept from call to call, and changed.

    Raises:
        OrkesterError: joules of different methods would be compared.
    """
    constraints = {**DEFAULT_CONSTRAINTS, **constraints}
    known = Known() if known is None else known
    grouped: dict[str, dict[Phase, list[Block]]] = {}
    teams: dict[str, tuple[Team, int]] = {}
    reasons: dict[str, str] = {}
    for block in records.blocks:
        grouped.setdefault(block.team, {}).setdefault(block.phase, []).append(block)
        if block.team not in teams:
            teams[block.team] = (Team(block.topology, block.knobs, block.engine_options), block.trial or 0)
    for failure in records.failures:
        team = Team(failure.topology, failure.knobs, failure.engine_options)
        teams.setdefault(failure.team, (team, failure.trial))
        reasons[failure.team] = failure.reason

    built: list[TeamResult] = []
    for team_id, (team, trial) in teams.items():
        phases = grouped.get(team_id, {})
        size = sum(map(len, phases.values())) + (team_id in reasons) + (team_id in records.stopped)
        if team_id not in known.teams or known.teams[team_id][0] != size:
            result = _team_result(team, trial, phases, objectives, constraints, sizes, footprint)
            known.teams[team_id] = (
                size,
                replace(
                    result,
                    infeasible=reasons.get(team_id) or result.infeasible,
                    stopped=records.stopped.get(team_id, ""),
                ),
            )
        built.append(known.teams[team_id][1])
    _refuse_mixed_energy(built, [*objectives, *constraints])
    built.sort(key=lambda result: result.trial)
    confirming = {team_id: phases["confirm"] for team_id, phases in grouped.items() if "confirm" in phases}
    built = _with_probabilities(built, confirming, objectives, constraints, sizes["confirm"], footprint, known)
    return Results(objectives=objectives, constraints=constraints, teams=_with_front(built, objectives))


def _team_result(
    team: Team,
    trial: int,
    phases: Mapping[Phase, Sequence[Block]],
    objectives: Mapping[str, Direction],
    constraints: Mapping[str, str],
    sizes: Mapping[Phase, int],
    footprint: Footprint | None,
) -> TeamResult:
    searched, confirming = phases.get("search", ()), phases.get("confirm", ())
    search = measure(searched, footprint) if searched else None
    confirmed = measure(confirming, footprint) if confirming else None
    reason = infeasibility(search, objectives, constraints)
    if not reason and confirmed is not None and _decided(confirmed, constraints, sizes["confirm"]):
        broken = infeasibility(confirmed, objectives, constraints)
        reason = f"in confirmation: {broken}" if broken else ""
    shares = agent_shares(searched)
    return TeamResult(
        team=team,
        trial=trial,
        search=search,
        confirmed=confirmed,
        whole=search is not None and search.examples >= sizes["search"],
        infeasible=reason,
        on_front=False,
        agents=shares.agents,
        residual_j=shares.residual_j,
        reruns=sum(block.reruns for blocks in phases.values() for block in blocks),
        idle_j=shares.idle_j,
        attribution=shares.method,
    )


def _decided(confirmed: Measurement, constraints: Mapping[str, str], examples: int) -> bool:
    """Whether a confirmation may say that a team is infeasible: it is whole, or has more failures than it may have."""
    if confirmed.examples >= examples:
        return True
    return violation(sum(confirmed.failures.values()) / examples, constraints["failure_rate"]) > 0


def _with_probabilities(
    built: Sequence[TeamResult],
    confirming: Mapping[str, Sequence[Block]],
    objectives: Mapping[str, Direction],
    constraints: Mapping[str, str],
    examples: int,
    footprint: Footprint | None,
    known: Known,
) -> list[TeamResult]:
    teams = [result.team.id for result in built if result.team.id in confirming and not result.infeasible]
    sizes = [(team, len(confirming[team])) for team in teams]
    if known.probabilities[0] != sizes:
        rows = {team: team_rows(confirming[team], footprint) for team in teams}
        known.probabilities = (sizes, front_probability(rows, objectives, seeded(rows, objectives)))
    found = known.probabilities[1]

    def settled(result: TeamResult, probability: float) -> bool:
        confirmed = result.confirmed
        if confirmed is None or confirmed.examples >= examples:
            return confirmed is not None
        clear = not CLEAR[0] < probability < CLEAR[1]
        return clear and confirmed.blocks >= MIN_BLOCKS and not infeasibility(confirmed, objectives, constraints)

    return [
        replace(result, front_probability=found[result.team.id], settled=settled(result, found[result.team.id]))
        if result.team.id in found
        else result
        for result in built
    ]


def infeasibility(
    measurement: Measurement | None, objectives: Mapping[str, Direction], constraints: Mapping[str, str]
) -> str:
    """Why a measured team cannot be on the front; empty when it can."""
    if measurement is None:
        return "not measured"
    for name, text in constraints.items():
        estimate = measurement.estimates.get(name)
        if estimate is None:
            return f"{name} could not be measured"
        if violation(estimate.value, text) > 0:
            why = ", ".join(f"{count} × {kind}" for kind, count in measurement.failures.items())
            detail = f" ({why})" if why and name == "failure_rate" else ""
            return f"{name} is {estimate.value:.3g}, not {text}{detail}"
    for name in objectives:
        if name not in measurement.estimates:
            return f"{name} could not be measured"
    return ""


def violation(value: float, text: str) -> float:
    """How far a value is beyond a limit such as ``"<= 10"``; zero or less when it holds."""
    comparison, bound = limit(text)
    return value - bound if comparison == "<=" else bound - value


def _with_front(built: list[TeamResult], objectives: Mapping[str, Direction]) -> list[TeamResult]:
    feasible = [result for result in built if result.whole and not result.infeasible]
    points = [[_value(result.search, name) for name in objectives] for result in feasible]
    members = [feasible[i] for i in front_indices(points, list(objectives.values()))]
    first: dict[tuple[object, ...], str] = {}
    kept = {result.team.id: first.setdefault(_made(result), result.team.id) for result in members}
    return [
        replace(result, on_front=kept.get(result.team.id) == result.team.id, same_as=_other(kept, result.team.id))
        for result in built
    ]


def _other(kept: Mapping[str, str], team: str) -> str:
    found = kept.get(team, team)
    return "" if found == team else found


def _made(result: TeamResult) -> tuple[object, ...]:
    """What only teams with the very same calls share: whoever answers anew takes another time."""
    search = result.search
    if search is None or not search.reused_calls:
        return (result.team.id,)
    return tuple(sorted((name, estimate.value) for name, estimate in search.estimates.items()))


def _value(measurement: Measurement | None, name: str) -> float:
    assert measurement is not None
    return measurement.estimates[name].value


def _refuse_mixed_energy(built: Sequence[TeamResult], wanted: Sequence[str]) -> None:
    depending = [name for name in dict.fromkeys(wanted) if name in OF_JOULES]
    if not depending:
        return
    measurements = [m for result in built for m in (result.search, result.confirmed) if m is not None]
    methods = sorted({m.energy_method for m in measurements})
    if len(methods) > 1:
        raise OrkesterError(
            f"this run holds joules of different methods ({', '.join(methods)}), which must not be compared, and "
            f"{', '.join(depending)} would; start a new run directory on a machine with one meter, or name the meter "
            "in the study file: energy.meter"
        )


def _estimates(measurement: Measurement | None, names: Mapping[str, Direction]) -> dict[str, Any] | None:
    if measurement is None:
        return None

    def plain(estimate: Estimate) -> dict[str, Any]:
        return {"value": estimate.value, "low": estimate.low, "high": estimate.high, "n": estimate.n}

    return {name: plain(measurement.estimates[name]) for name in names if name in measurement.estimates}
