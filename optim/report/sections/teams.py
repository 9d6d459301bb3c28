"""The table of teams: all teams of a small run, and the best teams of a large run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orkester.optim.goals.front import front_indices
from orkester.optim.goals.goal import Direction
from orkester.optim.run.results import Results, TeamResult

from .._material import Material
from .._rows import row
from .._section import Section

#: Most rows of the table.
MOST_TEAMS = 300


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
    """Choose at least this number of teams, if there are so many; teams that no other team beats come first."""
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


def _content(material: Material) -> dict[str, Any]:
    return {"teams": [row(result, material.results) for result in listed(material.results)]}


SECTION = Section(key="teams", label="All teams", content=_content)
