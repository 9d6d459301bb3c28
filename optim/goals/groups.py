"""Members of a front that cannot be told apart.

Two members are told apart when, on the examples that both have seen, one of them is better in some objective: a
two-sided paired test at 5 %, so that the paired 95 % interval of the difference does not hold 0. What is not told apart
is not shown to be equal: with more examples it may be told apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from orkester.evals.objectives import objective
from orkester.evals.stats.rows import Rows

from .goal import Direction

#: Of the two-sided test, for each objective by itself.
LEVEL: Final = 0.05


def told_apart(one: Rows, other: Rows, objectives: Mapping[str, Direction]) -> bool:
    """Whether one of two teams is shown to be better than the other in some objective.

    Args:
        one, other: Their rows, on the same examples in the same order; one may have more of them.
        objectives: Direction by name.
    """
    for name, direction in objectives.items():
        quantity = objective(name)
        if not quantity.known(one) or not quantity.known(other):
            return True
        for candidate, member in ((one, other), (other, one)):
            p = quantity.paired_p(candidate, member, direction)
            if p is not None and p < LEVEL / 2:
                return True
    return False


def grouped(
    teams: Sequence[str], rows: Mapping[str, Sequence[Rows]], objectives: Mapping[str, Direction]
) -> list[list[str]]:
    """Teams in groups whose members cannot be told apart from the first of the group.

    Not to be told apart is not transitive: two members of a group may be told apart from each other.

    Args:
        teams: Their ids. A team joins the first group that it can join, so the first of each group comes first here.
        rows: By team, one for each phase of measurement in the same order; teams are compared in the last phase that
            both have.
        objectives: Direction by name.
    """
    groups: list[list[str]] = []
    for team in teams:
        for group in groups:
            pairs = list(zip(rows.get(group[0], ()), rows.get(team, ()), strict=False))
            if pairs and not told_apart(*pairs[-1], objectives):
                group.append(team)
                break
        else:
            groups.append([team])
    return groups
