"""Optuna's samplers: they choose teams, each of which is measured to its end.

A choice depends only on what has been told before: the sampler is made and seeded anew for each by the number of trials
told. So a run that was killed and resumed asks for the same teams as one that was not. A team that the sampler asks for
again is no turn: Optuna is told again here what it was told before, when all that was asked for before it is told.
"""

from __future__ import annotations

import random as rand
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.samplers import BaseSampler, PartialFixedSampler

from orkester.evals.runner import derive_seed
from orkester.graphs import Team
from orkester.optim.search.trials import Asked, Trials, quiet

from ..outcome import Outcome
from ._base import Setting, Standing, Turn

#: How often in a row a sampler may ask for teams that were told before it is overruled.
REPEATS = 10


@dataclass(frozen=True, kw_only=True)
class FromOptuna:
    """A sampler plug-in that asks one of Optuna's samplers.

    Attributes:
        make: Returns Optuna's sampler for a seed.
        flat: Whether the knobs of all topologies are parameters of every trial: for samplers that learn nothing of a
            parameter that some trials lack. See ``Space.suggest``.
        needs: Packages that must be installed beside Orkester's own.
        extra: The extra of Orkester that installs them.
    """

    make: Callable[[int], BaseSampler]
    flat: bool = False
    needs: Sequence[str] = ()
    extra: str = ""

    def __call__(self, setting: Setting, trials: Trials) -> OptunaSampler:
        """The sampler for a study; Optuna's study is in ``trials``."""
        return OptunaSampler(setting, trials, self.make, flat=self.flat)


class OptunaSampler:
    """A ``Sampler`` that asks one of Optuna's.

    The first trials are the user's teams, then one of each topology that is not among those, in the study file's order.
    A sampler that repeats itself ``REPEATS`` times in a row is overruled by a random draw among the teams not asked for
    yet.

    Args:
        setting: of the study.
        trials: where Optuna's study is.
        make: Optuna's sampler, from a seed.
        flat: whether all topologies' knobs are parameters of every trial, see ``Space.suggest``.
    """

    def __init__(
        self, setting: Setting, trials: Trials, make: Callable[[int], BaseSampler], *, flat: bool = False
    ) -> None:
        self._setting = setting
        self._trials = trials
        self._make = make
        self._flat = flat
        space = setting.space
        begun = {team.topology for team in setting.start}
        self._first: list[Mapping[str, Any]] = [
            *(space.params(team) for team in setting.start),
            *({"topology": name} for name in space.grids if name not in begun),
        ]
        self._pending: list[Asked] = []

    def choose(self, standing: Standing, most: int) -> Sequence[Turn]:
        """Teams, each chosen as if those before it were disappointing (Optuna's constant liar).

        The first ones do not depend on ``most``. What was chosen before and never told is taken back. Before any other
        come teams that were told when an earlier budget ended, and are still in the race.
        """
        self._take_back()
        told = self._trials.told_teams
        unfinished = [team for team in standing.evidence.teams if team.id in told and team.id not in standing.closed]
        if unfinished:
            return [Turn(team=team) for team in unfinished[:most]]
        new = float("inf") if standing.new_teams is None else standing.new_teams
        turns: list[Turn] = []
        while len(turns) < most:
            order = [*self._trials.order, *(asked.team.id for asked in self._pending)]
            seen = set(order)
            if self._exhausted(seen):
                break
            asked = self._trials.ask(self._sampler(order), flat=self._flat)
            team = asked.team
            if team.id in seen:
                self._pending.append(asked)
                self._tell_repeats()
                continue
            new -= team not in standing.evidence and team.id not in standing.closed
            if new < 0:
                self._trials.drop(asked)
                break
            self._pending.append(asked)
            turns.append(Turn(team=team))
        return turns

    def tell(self, outcome: Outcome) -> None:
        """See ``Sampler``."""
        waiting = [asked for asked in self._pending if asked.team.id == outcome.team.id]
        if waiting:
            self._pending = [asked for asked in self._pending if asked is not waiting[0]]
        self._trials.tell(waiting[0] if waiting else self._ask_for(outcome.team), outcome)
        self._tell_repeats()

    def _ask_for(self, team: Team) -> Asked:
        with quiet():
            chosen = self._make(derive_seed(self._setting.seed, "ask for", len(self._trials.order)))
            given = PartialFixedSampler(self._setting.space.params(team), chosen)
        return self._trials.ask(given, flat=self._flat)

    def _tell_repeats(self) -> None:
        while self._pending and self._pending[0].team.id in self._trials.told_teams:
            self._trials.repeat(self._pending.pop(0))

    def _take_back(self) -> None:
        for asked in self._pending:
            self._trials.drop(asked)
        self._pending.clear()

    def _exhausted(self, seen: set[str]) -> bool:
        space = self._setting.space
        return len(seen) >= len(space) and all(team.id in seen for team in space.teams())

    def _sampler(self, order: Sequence[str]) -> BaseSampler:
        """Optuna's; with some given for the first trials, with everything given for one that is stuck.

        Args:
            order: ids of the teams asked for so far.
        """
        with quiet():
            chosen = self._make(derive_seed(self._setting.seed, "ask", len(order)))
            if len(order) < len(self._first):
                return PartialFixedSampler(dict(self._first[len(order)]), chosen)
            if _repeats(order) >= REPEATS:
                return PartialFixedSampler(self._setting.space.params(self._unseen(order)), chosen)
        return chosen

    def _unseen(self, order: Sequence[str]) -> Team:
        space, seen = self._setting.space, set(order)
        rng = rand.Random(derive_seed(self._setting.seed, "draw", len(order)))
        for _ in range(1000):
            team = space.draw(rng)
            if team.id not in seen:
                return team
        return next(team for team in space.teams() if team.id not in seen)


def _repeats(order: Sequence[str]) -> int:
    """How many of the last teams asked for had been asked for before."""
    count = 0
    for i in range(len(order) - 1, -1, -1):
        if order[i] not in order[:i]:
            break
        count += 1
    return count
