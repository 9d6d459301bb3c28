"""Racing: a team is stopped as soon as more examples cannot bring it to the front.

There are two reasons to stop a team. It is *beaten* when a member of the front is better in every objective on the
examples that both teams have seen. This is tested so that a team of the true front is stopped with at most the given
probability, over all blocks together (``evals.summaries.paired_tests``). It is *hopeless* when it violates a constraint
whatever the results of the remaining examples are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from orkester.evals.objectives import objective
from orkester.evals.stats.rows import Rows
from orkester.evals.summaries.paired_tests import dominating_member, look_level
from orkester.graphs import Team
from orkester.optim.goals.goal import Direction, limit

from .models.evidence import Evidence

#: The probability that a team of the true front is stopped.
ERROR = 0.05
#: The maximum number of members that a team is compared with. With more members, every test is weaker.
MOST_MEMBERS = 4


@dataclass(frozen=True, kw_only=True)
class Race:
    """Decides after each block of a team whether the team is stopped.

    Attributes:
        objectives: The directions of the objectives, by name.
        constraints: The limits of the constraints, by name.
        examples: The number of examples of a complete measurement.
        block: The number of examples of a block.
        by_block: Whether joules are measured by block.
        error: The probability that a team of the true front is stopped; with 0, only hopeless teams are stopped.
    """

    objectives: Mapping[str, Direction]
    constraints: Mapping[str, str]
    examples: int
    block: int
    by_block: bool = True
    error: float = ERROR

    def stops(self, evidence: Evidence, team: Team, front: Sequence[Team]) -> str:
        """Decide whether a team is stopped.

        Args:
            evidence: The evidence of the search.
            team: The team that ran the last block.
            front: The teams that look better than all others so far.

        Returns:
            The reason why the team is stopped; empty when it goes on.
        """
        if hopeless := self._hopeless(evidence, team):
            return hopeless
        seen = evidence.seen(team)
        others = [member for member in front if member.id != team.id and evidence.seen(member) >= seen]
        members = self._nearest(evidence, team, others)
        if not members or not self.error or seen >= self.examples:
            return ""
        level = look_level(self.error, -(-self.examples // self.block), MOST_MEMBERS)
        rows = [self._rows(evidence, member) for member in members]
        beaten_by = dominating_member(self._rows(evidence, team), rows, self.objectives, level=level)
        return (
            "" if beaten_by is None else f"beaten by {members[beaten_by].id} after {seen} of {self.examples} examples"
        )

    def _hopeless(self, evidence: Evidence, team: Team) -> str:
        """Why a constraint on a share cannot be kept, even with the best results on all remaining examples."""
        for name, text in self.constraints.items():
            if not objective(name).share:
                continue
            comparison, bound = limit(text)
            total = float(evidence.column(team, objective(name).column.name).sum())
            left = self.examples - evidence.seen(team)
            best = total / self.examples if comparison == "<=" else (total + left) / self.examples
            if (best > bound) if comparison == "<=" else (best < bound):
                seen = evidence.seen(team)
                return f"{name} cannot be {text} any more after {seen} of {self.examples} examples"
        return ""

    def _nearest(self, evidence: Evidence, team: Team, members: Sequence[Team]) -> Sequence[Team]:
        """The members that look better in every objective.

        When there are too many, those are taken whose smallest advantage in any objective is largest.
        """
        if not members:
            return []
        own, rows = evidence.row(team), [evidence.row(member) for member in members]
        ahead = np.empty((len(members), len(self.objectives)))
        for column, (name, direction) in enumerate(self.objectives.items()):
            values = evidence.values(name)
            better = (values[rows] - values[own]) * (1 if direction == "maximize" else -1)
            size = (
                1.0 if objective(name).share else np.maximum(np.maximum(np.abs(values[rows]), abs(values[own])), 1e-12)
            )
            ahead[:, column] = better / size
        smallest_advantage = ahead.min(axis=1)
        order = np.argsort(-smallest_advantage, kind="stable")
        better_members = order[(smallest_advantage[order] >= 0) & (ahead[order].max(axis=1) > 0)]
        # The level of the tests always allows for MOST_MEMBERS tests, so the members may be chosen by their results.
        return [members[index] for index in better_members[:MOST_MEMBERS]]

    def _rows(self, evidence: Evidence, team: Team) -> Rows:
        names = dict.fromkeys(column for name in self.objectives for column in objective(name).columns)
        sizes = evidence.block_sizes(team) if self.by_block else ()
        return Rows(columns={name: evidence.column(team, name) for name in names}, block_sizes=sizes)
