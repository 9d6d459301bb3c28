"""Limits that are set after the search: which teams keep to them, and how far off the others are."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from orkester.errors import InputError, OrkesterError
from orkester.evals.objectives import objective
from orkester.evals.summaries.measurement import Measurement
from orkester.optim.goals.goal import violation
from orkester.optim.run.results import Results, TeamResult

#: A confirmation counts when it has at least this share of the examples of the team with the most confirmed examples:
#: two or three examples must not overrule a search of sixty.
_ENOUGH = 0.5


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A limit on one quantity, as a study file writes constraints: ``energy_j`` and ``<= 40``."""

    name: str
    text: str

    def __str__(self) -> str:
        return f"{self.name} {self.text}"


def limits_of(at_most: Mapping[str, float], at_least: Mapping[str, float]) -> list[Limit]:
    """Limits from bounds by quantity.

    Raises:
        InputError: A quantity is unknown, or a bound is not a number.
    """
    limits = []
    for what, comparison, bounds in (("an upper", "<=", at_most), ("a lower", ">=", at_least)):
        for name, bound in bounds.items():
            objective(name)  # raises where there is none
            if not math.isfinite(bound):
                raise InputError(f"{what} limit of {name} must be a number, but got {bound}")
            limits.append(Limit(name=name, text=f"{comparison} {written(bound)}"))
    return limits


def written(bound: float) -> str:
    """A bound as text in a study file; reading the text gives the same number."""
    return repr(float(bound)).removesuffix(".0")


def require_measured(teams: Sequence[TeamResult], names: Sequence[str]) -> None:
    """Check that the teams can be compared in these quantities.

    Raises:
        InputError: A quantity was not measured (the message has the remedy), or it follows from joules of different
            methods.
    """
    for name in names:
        having = [team.search for team in teams if team.search is not None and name in team.search.estimates]
        if not having:
            raise InputError(f"{name} was not measured in this run: {objective(name).remedy}")
        methods = sorted({measurement.energy_method for measurement in having})
        if objective(name).of_joules and len(methods) > 1:
            raise InputError(
                f"{name}: this run holds joules of different methods ({', '.join(methods)}), which must not be "
                "compared; leave it out, or tune in a new run directory with one meter: energy.meter"
            )


def enough_examples(found: Results) -> float:
    """The number of examples from which on a confirmation counts in this run."""
    return max((_ENOUGH * r.confirmed.examples for r in found.teams if r.confirmed is not None), default=0.0)


def confirmation(team: TeamResult, enough: float) -> Measurement | None:
    """A team's confirmation; None when there is none, or when it is neither settled nor has ``enough`` examples."""
    confirmed = team.confirmed
    return confirmed if confirmed is not None and (team.settled or confirmed.examples >= enough) else None


def beyond(team: TeamResult, limit: Limit, enough: float) -> float | None:
    """How far a team is beyond a limit, in the worse of search and confirmation; 0 or less when it keeps to the limit.

    Returns:
        None when the quantity was not measured. Then the team does not keep to the limit, as with a study's
        constraints.
    """
    worst = -math.inf
    for measurement in (team.search, confirmation(team, enough)):
        if measurement is None:
            continue
        if limit.name not in measurement.estimates:
            return None
        worst = max(worst, violation(measurement.estimates[limit.name].value, limit.text))
    return worst


def keeps(team: TeamResult, limit: Limit, enough: float) -> bool:
    """Whether a team keeps to a limit."""
    over = beyond(team, limit, enough)
    return over is not None and over <= 0


def choosable(found: Results) -> list[TeamResult]:
    """The whole and feasible teams.

    Raises:
        OrkesterError: There are none.
    """
    teams = [team for team in found.teams if team.whole and not team.infeasible]
    if not teams:
        reasons = sorted({team.infeasible.splitlines()[0] for team in found.teams if team.infeasible})
        listed = "".join(f"\n  {reason}" for reason in reasons)
        raise OrkesterError(
            f"there is no team to choose: none of the {len(found.teams)} tried was measured whole and within the "
            f"constraints of the study{listed}"
        )
    return teams


def nothing_left(found: Results, teams: Sequence[TeamResult], limits: Sequence[Limit]) -> OrkesterError:
    """The error when no team keeps to all limits: what each limit excludes, and which team comes nearest.

    Args:
        found: The results of the run.
        teams: The whole and feasible teams.
        limits: The limits, at least one.
    """
    enough = enough_examples(found)
    lines = [f"no team keeps to {'all limits' if len(limits) > 1 else 'the limit'}; {len(teams)} could be chosen:"]
    lines += [f"  {line}" for line in _by_limit(teams, limits, enough)]

    def distance(team: TeamResult) -> tuple[float, float]:
        broken = [limit for limit in limits if not keeps(team, limit, enough)]
        return len(broken), sum(_relative(team, limit, enough) for limit in broken)

    if len(limits) > 1:
        team = min(teams, key=distance)
        faults = [f"{limit.name} {_value(team, limit, enough)}" for limit in limits if not keeps(team, limit, enough)]
        lines.append(f"Nearest to all: {team.team}: {', '.join(faults)}")
    if unfinished := sum(team.search is not None and not team.whole and not team.infeasible for team in found.teams):
        lines.append(f"Not considered: {unfinished} that were measured only on a part of the examples")
    constraints = ", ".join(f'{limit.name}: "{limit.text}"' for limit in limits)
    lines.append(f"Loosen a limit, or search for such teams: constraints: {{{constraints}}} in a study file")
    return OrkesterError("\n".join(lines))


def _by_limit(teams: Sequence[TeamResult], limits: Sequence[Limit], enough: float) -> Iterator[str]:
    for limit in limits:
        out = [team for team in teams if not keeps(team, limit, enough)]
        line = f"{limit} excludes {len(out)}"
        if len(out) == len(teams):
            near = min(teams, key=lambda team: _relative(team, limit, enough))
            line += f"; nearest: {_value(near, limit, enough)} by {near.team}"
        yield line


def _relative(team: TeamResult, limit: Limit, enough: float) -> float:
    """How far beyond the limit, as a share of the limit, so that joules and seconds can be added."""
    over = beyond(team, limit, enough)
    bound = abs(float(limit.text.split()[1]))
    return math.inf if over is None else over / bound if bound else over


def _value(team: TeamResult, limit: Limit, enough: float) -> str:
    """The value that is beyond the limit, or nearest to it, and where it was measured."""
    over = beyond(team, limit, enough)
    if over is None:
        return "not measured"
    comparison, bound = limit.text.split()
    value = float(bound) + (over if comparison == "<=" else -over)
    confirmed = confirmation(team, enough)
    if confirmed is None:
        return f"{value:.4g}"
    of_confirmation = violation(confirmed.estimates[limit.name].value, limit.text) == over
    return f"{value:.4g} in {'confirmation' if of_confirmation else 'the search'}"
