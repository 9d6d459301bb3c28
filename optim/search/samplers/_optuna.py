"""Optuna's samplers: they choose teams, each of which is measured to its end.

A choice depends only on what has been told before: the sampler is made and seeded anew for each by the number of trials
told. So a run that was killed and resumed asks for the same teams as one that was not. A team that the sampler asks for
again is no turn: Optuna is told again here what it was told before, when all that was asked for before it is told.
"""

from __future__ import annotations

import random as rand
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna
from optuna.samplers import BaseSampler, PartialFixedSampler

from orkester.evals.runner import derive_seed
from orkester.graphs import Team
from orkester.optim.search.trials import Asked, Trials, quiet

from ._base import Outcome, Setting, Standing, Turn

#: Random teams before TPE's model of the space is used.
STARTUP_TRIALS = 8
#: How often in a row a sampler may ask for teams that were told before it is overruled.
REPEATS = 10
#: Teams of a generation of NSGA-II and NSGA-III: Optuna's default.
POPULATION = 50


class OptunaSampler:
    """A ``Sampler`` out of one of Optuna's.

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


def tpe(setting: Setting, trials: Trials) -> OptunaSampler:
    """TPE over the conditional space, grouped by topology (MOTPE: Ozaki et al., JAIR 73, 2022)."""

    def make(seed: int) -> BaseSampler:
        return optuna.samplers.TPESampler(
            seed=seed, multivariate=True, group=True, constant_liar=True, n_startup_trials=STARTUP_TRIALS
        )

    return OptunaSampler(setting, trials, make)


def nsga2(setting: Setting, trials: Trials, *, population: int = POPULATION) -> OptunaSampler:
    """NSGA-II (Deb et al., IEEE Trans. Evolutionary Computation 6, 2002) over the flat space."""

    def make(seed: int) -> BaseSampler:
        return _Nsga2(seed=seed, population_size=population)

    return OptunaSampler(setting, trials, make, flat=True)


def nsga3(setting: Setting, trials: Trials, *, population: int = POPULATION) -> OptunaSampler:
    """NSGA-III (Deb and Jain, IEEE Trans. Evolutionary Computation 18, 2014) over the flat space."""

    def make(seed: int) -> BaseSampler:
        return _Nsga3(seed=seed, population_size=population)

    return OptunaSampler(setting, trials, make, flat=True)


def random(setting: Setting, trials: Trials) -> OptunaSampler:
    """Topologies and values equally likely; no team twice."""
    return OptunaSampler(setting, trials, lambda seed: optuna.samplers.RandomSampler(seed=seed))


def gp(setting: Setting, trials: Trials) -> OptunaSampler:
    """Optuna's Gaussian process, expected (hypervolume) improvement, over the flat space.

    It needs torch, see ``require``.
    """
    return OptunaSampler(
        setting,
        trials,
        lambda seed: optuna.samplers.GPSampler(seed=seed, warn_independent_sampling=False),
        flat=True,
    )


class _Steady:
    """Makes a genetic sampler of Optuna's draw the same child when its parents were selected by an earlier process.

    Optuna keeps the parents of a generation in the study. Where they are found there they come in another order than
    when they have just been selected, which also takes numbers from the generator that then draws the child. So they
    are selected by another sampler first, and always found.
    """

    def before_trial(self: Any, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        """Select the parents, if that has not been done."""
        super().before_trial(study, trial)  # type: ignore[misc]
        generation = self.get_trial_generation(study, trial)
        other = type(self)(seed=generation, population_size=self.population_size)
        other.get_parent_population(study, generation)


class _Nsga2(_Steady, optuna.samplers.NSGAIISampler):
    pass


class _Nsga3(_Steady, optuna.samplers.NSGAIIISampler):
    pass
