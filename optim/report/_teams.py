"""Which teams the report lists: all of a small run; of a large one those that a reader may want."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orkester.optim.goals.front import front_indices
from orkester.optim.goals.goal import Direction
from orkester.optim.run.results import Results, TeamResult

#: Most rows of the table of teams, and most entries in the list of failures.
MOST_TEAMS, MOST_FAILURES = 300, 100


def listed(results: Results) -> Sequence[TeamResult]:
    """The front, the teams near it, and those behind them, in the order of their trials.

    Behind come the teams that would be the front without the front, then those that would be it without these, and so
    on (non-dominated sorting: Deb et al., IEEE Trans. Evolutionary Computation 6, 2002, section III.A); at last what is
    on no front: stopped early, infeasible.
    """
    if len(results.teams) <= MOST_TEAMS:
        return results.teams
    chosen = {result.team.id: result for result in [*results.front, *results.near]}
    sound = [result for result in results.teams if result.whole and not result.infeasible]
    able = [result for result in sound if result.team.id not in chosen]
    for result in [*_front_by_front(able, results.objectives, MOST_TEAMS - len(chosen)), *results.teams]:
        if len(chosen) >= MOST_TEAMS:
            break
        chosen.setdefault(result.team.id, result)
    return [result for result in results.teams if result.team.id in chosen]


def _front_by_front(
    teams: Sequence[TeamResult], objectives: Mapping[str, Direction], wanted: int
) -> Sequence[TeamResult]:
    """At least so many, if there are; those that are not beaten first."""
    found: list[TeamResult] = []
    rest = list(teams)
    while rest and len(found) < wanted:
        points = [[r.search.estimates[name].value for name in objectives] for r in rest if r.search is not None]
        unbeaten = set(front_indices(points, list(objectives.values())))
        if not unbeaten:
            break
        found += [result for i, result in enumerate(rest) if i in unbeaten]
        rest = [result for i, result in enumerate(rest) if i not in unbeaten]
    return found


def failures(results: Results) -> tuple[list[dict[str, Any]], int]:
    """Every infeasible team, and every other that had a failed example, these by phase and kind; how many are left out.

    Of many, those come first of which something failed: what breaks a limit has worked all the same.
    """
    found = [result for result in results.teams if result.infeasible or _failed(result)]
    if len(found) > MOST_FAILURES:
        found.sort(key=lambda result: result.search is not None and not _failed(result))
    return [_failure(result) for result in found[:MOST_FAILURES]], max(0, len(found) - MOST_FAILURES)


def _failed(result: TeamResult) -> bool:
    return any(phase is not None and phase.failures for phase in (result.search, result.confirmed))


def _failure(result: TeamResult) -> dict[str, Any]:
    phases = []
    for phase, measurement in (("search", result.search), ("confirmation", result.confirmed)):
        if measurement is not None and measurement.failures:
            kinds = ", ".join(f"{count} × {kind}" for kind, count in measurement.failures.items())
            failed = f"{sum(measurement.failures.values())} of {measurement.examples} examples of the {phase} failed"
            phases.append(failed if kinds in result.infeasible else f"{failed}: {kinds}")
    return {"team": str(result.team), "reason": result.infeasible, "phases": "; ".join(phases)}
