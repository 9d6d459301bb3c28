"""The results of a run, put together from its records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from orkester.errors import OrkesterError
from orkester.evals.footprint import Footprint
from orkester.evals.objectives import Estimate, objective
from orkester.evals.records.agent_shares import AgentShare, agent_shares
from orkester.evals.records.block import Block, Phase
from orkester.evals.records.log import Record, Records, TeamFailure, TeamStopped
from orkester.evals.stats.intervals import MIN_BLOCKS
from orkester.evals.stats.rows import Rows
from orkester.evals.summaries.baselines import Baseline
from orkester.evals.summaries.measurement import Measurement, measure
from orkester.evals.summaries.rows import team_rows
from orkester.graphs import Team, form_of
from orkester.optim.goals.front import front_indices
from orkester.optim.goals.front_probability import CLEAR, front_probability, seeded
from orkester.optim.goals.goal import FAILURES, Direction, Goal, quality_name, violation
from orkester.optim.goals.groups import grouped


@dataclass(frozen=True, kw_only=True)
class TeamResult:
    """One team and all that was measured of it.

    Attributes:
        team: The team.
        trial: The number of the trial that asked for the team first.
        search: Its measurement in the search; None when it could not be measured at all.
        confirmed: Its measurement on the held-out examples; None when it was not confirmed.
        whole: Whether it was measured on every example of the search. A team that was cut off is on no front yet.
        infeasible: Why it cannot be on the front; empty when it can.
        on_front: Whether no other feasible team beats it in the search, and no team before it made the very same calls.
        same_as: The id of the front's team that made the very same calls; empty when there is none.
        agents: The tokens, time and energy of each agent in the search.
        residual_j: Joules per example that no agent accounts for, mostly of Orkester's own process.
        reruns: How many blocks were started again because an engine died.
        idle_j: Joules per example that idle engines would have used too; None when not known.
        attribution: How joules were shared among agents; see ``AgentShares.method``.
        stopped: Why the search did not go on to all examples; empty when it did, or when the search ended before.
        front_probability: The probability that no other confirmed team beats it, on the held-out examples so far. None
            when it was not confirmed, or is infeasible.
        settled: Whether its confirmation is finished: it has all held-out examples, or is clearly on the front or
            clearly not.
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
    """The teams of a run with all that was measured of them, and the front.

    Attributes:
        objectives: Direction by name, in the study's order.
        constraints: Limits by name, including the default one.
        teams: All teams, in the order of their trials.
        blocks: The blocks of the front's teams, of confirmed teams, of single agents and of the best team of several,
            by team and phase.
        footprint: What a joule means where the study runs.
        baselines: What guesses score; empty where it is not known.
    """

    objectives: Mapping[str, Direction]
    constraints: Mapping[str, str]
    teams: Sequence[TeamResult]
    blocks: Mapping[str, Mapping[Phase, Sequence[Block]]] = field(default_factory=dict, repr=False)
    footprint: Footprint | None = None
    baselines: Sequence[Baseline] = ()

    @property
    def front(self) -> Sequence[TeamResult]:
        """The teams that no feasible team beats on all objectives, the best in the first objective first."""
        first, direction = next(iter(self.objectives.items()))
        sign = -1 if direction == "maximize" else 1
        members = [result for result in self.teams if result.on_front]
        return sorted(members, key=lambda r: sign * (r.search.estimates[first].value if r.search else 0.0))

    @cached_property
    def groups(self) -> Sequence[Sequence[TeamResult]]:
        """The front in groups of teams that cannot be told apart, the cheapest of each first.

        The cheapest has the least of the study's minimised objectives: first those that follow from joules, then the
        others, in the study's order. Groups are in the order of the front. See ``orkester.optim.goals.groups``.
        """
        least = [name for name, direction in self.objectives.items() if direction == "minimize"]
        least.sort(key=lambda name: not objective(name).of_joules)

        def cost(result: TeamResult) -> tuple[float, ...]:
            return (*(_value(result.search, name) for name in least), result.trial)

        front = self.front
        rows: dict[str, list[Rows]] = {}
        for result in front:
            phases = self.blocks.get(result.team.id, {})
            measured = [phases[phase] for phase in ("search", "confirm") if phases.get(phase)]
            rows[result.team.id] = [team_rows(blocks, self.footprint) for blocks in measured]
        ids = grouped([result.team.id for result in sorted(front, key=cost)], rows, self.objectives)
        by_id = {result.team.id: result for result in front}
        place = {result.team.id: number for number, result in enumerate(front)}
        ids.sort(key=lambda group: min(place[team] for team in group))
        return [[by_id[team] for team in group] for group in ids]

    @property
    def best_single(self) -> TeamResult | None:
        """The single agent with the best quality in the search, of those that were measured whole and are feasible.

        None if there is none. A study without the objective ``quality`` has its first objective in its place.
        """
        return _best(self.teams, self.objectives, single=True)

    @property
    def best_of_several(self) -> TeamResult | None:
        """The team of several agents with the best quality in the search; see ``best_single``."""
        return _best(self.teams, self.objectives, single=False)

    @property
    def near(self) -> Sequence[TeamResult]:
        """Teams that are not on the search's front but were confirmed with it, the most probable members first.

        The best single agent is always confirmed.
        """
        found = [result for result in self.teams if result.front_probability is not None and not result.on_front]
        return sorted(found, key=lambda r: (-(r.front_probability or 0.0), r.trial))

    @property
    def likely(self) -> Sequence[TeamResult]:
        """The teams near the front that are on it with a probability of at least 0.5, by confirmation."""
        return [result for result in self.near if (result.front_probability or 0.0) >= 0.5]


class Findings:
    """Puts a run's records together into results. A new record makes only its own team be looked at again.

    A team that lacks an objective is never on the front, and neither is one that violates a constraint in the search or
    in confirmation.

    Args:
        objectives, constraints: The study's.
        sizes: The number of examples of a whole measurement, by phase.
        footprint: What a joule means where the study runs; without it there is no ``co2e_g`` and no ``cost_eur``.
        baselines: What guesses score.
    """

    def __init__(
        self,
        objectives: Mapping[str, Direction],
        constraints: Mapping[str, str],
        sizes: Mapping[Phase, int],
        *,
        footprint: Footprint | None = None,
        baselines: Sequence[Baseline] = (),
    ) -> None:
        self._baselines = baselines
        self._objectives = objectives
        self._constraints = Goal.of(objectives, constraints).constraints
        self._sizes = sizes
        self._footprint = footprint
        self._blocks: dict[str, dict[Phase, list[Block]]] = {}
        self._failures: dict[str, TeamFailure] = {}
        self._stopped: dict[str, str] = {}
        #: By team, without what follows from other teams; None where a new record has come.
        self._teams: dict[str, TeamResult | None] = {}
        self._probabilities: tuple[Sequence[tuple[str, int]], Mapping[str, float]] = ((), {})

    def add(self, record: Record) -> None:
        """Add the run's next record."""
        match record:
            case Block():
                self._blocks.setdefault(record.team, {}).setdefault(record.phase, []).append(record)
            case TeamFailure():
                self._failures[record.team] = record
            case TeamStopped():
                self._stopped[record.team] = record.reason
                if record.team not in self._teams:
                    return
        self._teams[record.team] = None

    def team(self, team: str) -> TeamResult:
        """The results of one team, without what follows from other teams: the front, and the probability to be on it.

        Args:
            team: The team's id.

        Raises:
            KeyError: There is no record of the team.
        """
        if (found := self._teams[team]) is None:
            found = self._teams[team] = self._build(team)
        return found

    def results(self) -> Results:
        """The results of all teams.

        Raises:
            OrkesterError: Joules of different methods would be compared.
        """
        # Teams with blocks come first, by their first block, whether the records came one by one or all at once.
        every = [self.team(team) for team in dict.fromkeys([*self._blocks, *self._teams])]
        # Of two with the same trial, those that were measured come first.
        built = sorted(every, key=lambda result: (result.trial, result.team.id not in self._blocks))
        _refuse_mixed_energy(built, [*self._objectives, *self._constraints])
        built = _with_front(self._with_probabilities(built), self._objectives)
        kept = {result.team.id for result in built if result.on_front or result.confirmed or is_single(result.team)}
        if (best := _best(built, self._objectives, single=False)) is not None:
            kept.add(best.team.id)
        return Results(
            objectives=self._objectives,
            constraints=self._constraints,
            teams=built,
            blocks={
                team: {phase: tuple(of) for phase, of in self._blocks[team].items()}
                for team in kept
                if team in self._blocks
            },
            footprint=self._footprint,
            baselines=self._baselines,
        )

    def _build(self, team: str) -> TeamResult:
        phases, failure = self._blocks.get(team, {}), self._failures.get(team)
        if phases:
            first = next(iter(phases.values()))[0]
            of, trial = Team(first.topology, first.knobs, first.engine_options), first.trial or 0
        else:
            assert failure is not None
            of, trial = Team(failure.topology, failure.knobs, failure.engine_options), failure.trial
        searched, confirming = phases.get("search", ()), phases.get("confirm", ())
        search = measure(searched, self._footprint) if searched else None
        confirmed = measure(confirming, self._footprint) if confirming else None
        reason = failure.reason if failure is not None else ""
        reason = reason or infeasibility(search, self._objectives, self._constraints)
        if not reason and confirmed is not None and _decided(confirmed, self._constraints, self._sizes["confirm"]):
            broken = infeasibility(confirmed, self._objectives, self._constraints)
            reason = f"in confirmation: {broken}" if broken else ""
        shares = agent_shares(searched)
        return TeamResult(
            team=of,
            trial=trial,
            search=search,
            confirmed=confirmed,
            whole=search is not None and search.examples >= self._sizes["search"],
            infeasible=reason,
            on_front=False,
            agents=shares.agents,
            residual_j=shares.residual_j,
            reruns=sum(block.reruns for blocks in phases.values() for block in blocks),
            idle_j=shares.idle_j,
            attribution=shares.method,
            stopped=self._stopped.get(team, ""),
        )

    def _with_probabilities(self, built: Sequence[TeamResult]) -> Sequence[TeamResult]:
        confirming = {
            result.team.id: self._blocks[result.team.id]["confirm"]
            for result in built
            if result.confirmed is not None and not result.infeasible
        }
        sizes = [(team, len(blocks)) for team, blocks in confirming.items()]
        if self._probabilities[0] != sizes:
            rows = {team: team_rows(blocks, self._footprint) for team, blocks in confirming.items()}
            self._probabilities = (
                sizes,
                front_probability(rows, self._objectives, seeded(rows, self._objectives)),
            )
        found = self._probabilities[1]
        return [
            replace(result, front_probability=p, settled=self._settled(result, p))
            if (p := found.get(result.team.id)) is not None
            else result
            for result in built
        ]

    def _settled(self, result: TeamResult, probability: float) -> bool:
        confirmed = result.confirmed
        if confirmed is None or confirmed.examples >= self._sizes["confirm"]:
            return confirmed is not None
        clear = not CLEAR[0] < probability < CLEAR[1]
        return (
            clear
            and confirmed.blocks >= MIN_BLOCKS
            and not infeasibility(confirmed, self._objectives, self._constraints)
        )


def results(
    records: Records,
    objectives: Mapping[str, Direction],
    constraints: Mapping[str, str],
    sizes: Mapping[Phase, int],
    *,
    footprint: Footprint | None = None,
    baselines: Sequence[Baseline] = (),
) -> Results:
    """Put all of a run's records together; see ``Findings``.

    Raises:
        OrkesterError: joules of different methods would be compared.
    """
    found = Findings(objectives, constraints, sizes, footprint=footprint, baselines=baselines)
    for record in records:
        found.add(record)
    return found.results()


def _best(teams: Sequence[TeamResult], objectives: Mapping[str, Direction], *, single: bool) -> TeamResult | None:
    """The team with the best quality in the search, of those that were measured whole and are feasible.

    Args:
        teams: The teams.
        objectives: The objectives of the study.
        single: Whether single agents are meant, or teams of several.
    """
    name = quality_name(objectives)
    sign = -1 if objectives[name] == "maximize" else 1
    found = [
        (sign * result.search.estimates[name].value, result.trial, result)
        for result in teams
        if result.whole
        and not result.infeasible
        and result.search is not None
        and name in result.search.estimates
        and is_single(result.team) is single
    ]
    return min(found, key=lambda each: each[:2])[2] if found else None


def is_single(team: Team) -> bool:
    """Whether a team makes the calls of a single agent, such as a vote of one."""
    return form_of(team.topology, team.knobs).topology == "single"


def _decided(confirmed: Measurement, constraints: Mapping[str, str], examples: int) -> bool:
    """Whether a confirmation may say that a team is infeasible: it is whole, or has more failures than it may have."""
    if confirmed.examples >= examples:
        return True
    return violation(sum(confirmed.failures.values()) / examples, constraints[FAILURES]) > 0


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
            why = ", ".join(f"{count} × {cause}" for cause, count in measurement.failures.items())
            detail = f" ({why})" if why and name == FAILURES else ""
            return f"{name} is {estimate.value:.3g}, not {text}{detail}"
    for name in objectives:
        if name not in measurement.estimates:
            return f"{name} could not be measured"
    return ""


def _with_front(built: Sequence[TeamResult], objectives: Mapping[str, Direction]) -> list[TeamResult]:
    feasible = [result for result in built if result.whole and not result.infeasible]
    points = [[_value(result.search, name) for name in objectives] for result in feasible]
    members = [feasible[i] for i in front_indices(points, list(objectives.values()))]
    first: dict[tuple[object, ...], str] = {}
    kept = {result.team.id: first.setdefault(_made(result), result.team.id) for result in members}

    def on_front(result: TeamResult, kept_as: str) -> TeamResult:
        member = kept_as == result.team.id
        return replace(result, on_front=member, same_as="" if member else kept_as)

    return [on_front(result, kept[result.team.id]) if result.team.id in kept else result for result in built]


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
    depending = [name for name in dict.fromkeys(wanted) if objective(name).of_joules]
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
