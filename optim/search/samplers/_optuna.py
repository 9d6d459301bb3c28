"""Samplers of Optuna. They choose teams, and each team is measured until it is closed.

A choice depends only on the outcomes that were reported before: for each choice a new sampler is made, with a seed that
depends on the number of reported trials. Therefore a resumed run chooses the same teams as one that was never
interrupted. When a sampler chooses a team a second time, no block is run: Optuna gets the same values again, when all
earlier trials are finished.
"""

from __future__ import annotations

import random as rand
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.samplers import BaseSampler, PartialFixedSampler

from orkester.evals.running.runner import derive_seed
from orkester.graphs import Team
from orkester.optim.search.trials import PendingTrial, Trials, quiet

from ..outcome import Outcome
from ._base import Setting, Standing, Turn

#: After so many choices in a row of teams that were measured before, a random new team is chosen.
REPEATS = 10


@dataclass(frozen=True, kw_only=True)
class FromOptuna:
    """A sampler plug-in that asks one of Optuna's samplers.

    Attributes:
        make: Returns Optuna's sampler for a seed.
        flat: Whether the knobs of all topologies are parameters of every trial, for samplers that cannot learn from
            parameters that some trials do not have. See ``Space.suggest``.
        needs: Packages that must be installed in addition to Orkester's own.
        extra: The extra of Orkester that installs them.
    """

    make: Callable[[int], BaseSampler]
    flat: bool = False
    needs: Sequence[str] = ()
    extra: str = ""

    def __call__(self, setting: Setting, trials: Trials) -> OptunaSampler:
        """Make the sampler of a study.

        Args:
            setting: The setting of the study.
            trials: The trials, which have Optuna's study.
        """
        return OptunaSampler(setting, trials, self.make, flat=self.flat)


class OptunaSampler:
    """A ``Sampler`` that asks one of Optuna's samplers.

    The first trials are the user's teams, then one team of each topology that is not among those, in the order of the
    study file. When the sampler has repeated itself ``REPEATS`` times in a row, a random team that it has not chosen
    is taken instead.

    Args:
        setting: The setting of the study.
        trials: The trials, which have Optuna's study.
        make: Returns Optuna's sampler for a seed.
        flat: Whether the knobs of all topologies are parameters of every trial; see ``Space.suggest``.
    """

    def __init__(
        self, setting: Setting, trials: Trials, make: Callable[[int], BaseSampler], *, flat: bool = False
    ) -> None:
        self._setting = setting
        self._trials = trials
        self._make = make
        self._flat = flat
        space = setting.space
        start_topologies = {team.topology for team in setting.start}
        self._first: list[Mapping[str, Any]] = [
            *(space.params(team) for team in setting.start),
            *({"topology": name} for name in space.grids if name not in start_topologies),
        ]
        self._pending: list[PendingTrial] = []

    def choose(self, standing: Standing, most: int) -> Sequence[Turn]:
        """See ``Sampler``. Each team is chosen as if the teams before it had bad values (Optuna's constant liar).

        The first teams do not depend on ``most``. Trials that were started before and never finished are dropped. Teams
        that were reported at the end of an earlier budget, but are not closed, come before all others.
        """
        self._drop_pending()
        reported = self._trials.reported_teams
        unfinished = [
            team for team in standing.evidence.teams if team.id in reported and team.id not in standing.closed
        ]
        if unfinished:
            return [Turn(team=team) for team in unfinished[:most]]
        new = float("inf") if standing.new_teams is None else standing.new_teams
        turns: list[Turn] = []
        while len(turns) < most:
            order = [*self._trials.order, *(pending.team.id for pending in self._pending)]
            seen = set(order)
            if self._exhausted(seen):
                break
            pending = self._trials.ask(self._sampler(order), flat=self._flat)
            team = pending.team
            if team.id in seen:
                self._pending.append(pending)
                self._report_repeats()
                continue
            new -= team not in standing.evidence and team.id not in standing.closed
            if new < 0:
                self._trials.drop(pending)
                break
            self._pending.append(pending)
            turns.append(Turn(team=team))
        return turns

    def tell(self, outcome: Outcome) -> None:
        """See ``Sampler``."""
        waiting = [pending for pending in self._pending if pending.team.id == outcome.team.id]
        if waiting:
            self._pending = [pending for pending in self._pending if pending is not waiting[0]]
        self._trials.tell(waiting[0] if waiting else self._ask_for(outcome.team), outcome)
        self._report_repeats()

    def _ask_for(self, team: Team) -> PendingTrial:
        with quiet():
            chosen = self._make(derive_seed(self._setting.seed, "ask for", len(self._trials.order)))
            fixed = PartialFixedSampler(self._setting.space.params(team), chosen)
        return self._trials.ask(fixed, flat=self._flat)

    def _report_repeats(self) -> None:
        while self._pending and self._pending[0].team.id in self._trials.reported_teams:
            self._trials.repeat(self._pending.pop(0))

    def _drop_pending(self) -> None:
        for pending in self._pending:
            self._trials.drop(pending)
        self._pending.clear()

    def _exhausted(self, seen: set[str]) -> bool:
        space = self._setting.space
        return len(seen) >= len(space) and all(team.id in seen for team in space.teams())

    def _sampler(self, order: Sequence[str]) -> BaseSampler:
        """Optuna's sampler. For the first trials, and when it repeats itself, its parameters are fixed.

        Args:
            order: The ids of the teams that were chosen so far.
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
    """The number of teams at the end of the order that occur earlier in the order, too."""
    count = 0
    for i in range(len(order) - 1, -1, -1):
        if order[i] not in order[:i]:
            break
        count += 1
    return count
