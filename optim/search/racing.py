"""Racing: a team is stopped once more examples could no longer bring it to the front.

Two reasons stop a team. A member of the front *beats* it: on the examples that both have seen the member is better in
every objective, so surely that over all looks together a team of the true front is stopped with at most the stated
probability (``orkester.evals.paired_tests``). Or it is *hopeless*: it violates a constraint even if all goes well
from here on, or would be beaten even if every example that is left were answered right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from orkester.evals.objectives import objective
from orkester.evals.paired_tests import dominating_member, look_level
from orkester.evals.stats.rows import Rows
from orkester.graphs import Team
from orkester.optim.goals.goal import Direction, limit

from .models.evidence import Evidence

#: Probability that a team of the true front is stopped.
ERROR = 0.05
#: Members that a team is raced against, those nearest to it; each more makes every test weaker.
MOST_MEMBERS = 4


@dataclass(frozen=True, kw_only=True)
class Race:
    """Decides after each block of a team.

    Attributes:
        objectives: direction by name.
        constraints: limits by name.
        examples: of a whole measurement.
        block: examples a block.
        by_block: whether joules are measured by block.
        error: probability that a team of the true front is stopped; at 0 only the hopeless are.
    """

    objectives: Mapping[str, Direction]
    constraints: Mapping[str, str]
    examples: int
    block: int
    by_block: bool = True
    error: float = ERROR

    def stops(self, evidence: Evidence, team: Team, front: Sequence[Team]) -> str:
        """Why the team is stopped; empty when it goes on.

        Args:
            evidence: of the search.
            team: whose block was the last.
            front: teams that no other is seen to beat.
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
        """A share that breaks its limit even if nothing more is added to it, or everything."""
        for name, text in self.constraints.items():
            if not objective(name).share:
                continue
            comparison, bound = limit(text)
            total = float(evidence.column(team, objective(name).column.name).sum())
            left = self.examples - evidence.seen(team)
            best = total / self.examples if comparison == "<=" else (total + left) / self.examples
            if (best > bound) if comparison == "<=" else (best < bound):
                return f"{name} cannot be {text} any more after {evidence.seen(team)} of {self.examples} examples"
        return ""

    def _nearest(self, evidence: Evidence, team: Team, members: Sequence[Team]) -> Sequence[Team]:
        """Members that look better in every objective; of many those that do by most in the objective they do least."""
        if not members:
            return []
        own, rows = evidence.row(team), [evidence.row(member) for member in members]
        ahead = np.empty((len(members), len(self.objectives)))
        for at, (name, direction) in enumerate(self.objectives.items()):
            values = evidence.values(name)
            better = (values[rows] - values[own]) * (1 if direction == "maximize" else -1)
            size = (
                1.0 if objective(name).share else np.maximum(np.maximum(np.abs(values[rows]), abs(values[own])), 1e-12)
            )
            ahead[:, at] = better / size
        least = ahead.min(axis=1)
        order = np.argsort(-least, kind="stable")
        better_than_it = order[(least[order] >= 0) & (ahead[order].max(axis=1) > 0)]
        # How many could be tested is fixed: choosing among them by what was seen is paid for by that many tests.
        return [members[index] for index in better_than_it[:MOST_MEMBERS]]

    def _rows(self, evidence: Evidence, team: Team) -> Rows:
        names = dict.fromkeys(column for name in self.objectives for column in objective(name).columns)
        sizes = evidence.block_sizes(team) if self.by_block else ()
        return Rows(columns={name: evidence.column(team, name) for name in names}, block_sizes=sizes)
