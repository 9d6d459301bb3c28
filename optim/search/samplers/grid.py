"""Every team once: the user's first, then the others in an order drawn from the seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from orkester.evals.running.runner import derive_seed
from orkester.graphs import Team

from ..outcome import Outcome
from ._base import Setting, Standing, Turn


class Grid:
    """See the module. A ``Sampler``; its order depends on nothing that is measured."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._order: list[Team] = []
        self._rest = self._teams()

    def choose(self, standing: Standing, most: int) -> Sequence[Turn]:
        """The first teams of the order that are not closed."""
        new = float("inf") if standing.new_teams is None else standing.new_teams
        turns: list[Turn] = []
        position = 0
        while len(turns) < most and (team := self._at(position)) is not None:
            position += 1
            if team.id in standing.closed:
                continue
            new -= team not in standing.evidence
            if new < 0:
                break
            turns.append(Turn(team=team))
        return turns

    def tell(self, outcome: Outcome) -> None:
        """Nothing to learn."""

    def _at(self, position: int) -> Team | None:
        while len(self._order) <= position:
            team = next(self._rest, None)
            if team is None:
                return None
            self._order.append(team)
        return self._order[position]

    def _teams(self) -> Iterator[Team]:
        space = self._setting.space
        first = {team.id: team for team in self._setting.start}
        yield from first.values()
        rng = random.Random(derive_seed(self._setting.seed, "grid", 0))
        for place in _permutation(space.settings, rng):
            team = space.team_at(place)
            if team is not None and team.id not in first:
                yield team


def _permutation(count: int, rng: random.Random) -> Iterator[int]:
    """The numbers below ``count`` in random order (Fisher and Yates); of the array only what has moved is kept."""
    moved: dict[int, int] = {}
    for i in range(count):
        j = rng.randrange(i, count)
        yield moved.get(j, j)
        moved[j] = moved.pop(i, i)


sampler = Grid
