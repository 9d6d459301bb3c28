"""syftr's Pareto pruning on our tables: as published, and with its defects repaired.

What is ported is how it decides (datarobot/syftr, read in its source of September 2025), not its code:

- two objectives, accuracy upwards and one cost downwards, here energy or latency;
- examples in batches of 5, a first look after 30;
- stop when a team that was measured in full is better than the optimistic corner: the estimate with z = 1.645 standard
  errors in its favour (Wald's for accuracy, which has no width at 0 and 1);
- told to Optuna as complete with what was seen so far, and left out of the comparison and of the front when it saw less
  than nine tenths of the most examples;
- its workers load the study without its sampler, so Optuna's default for two objectives searches: NSGA-II;
- a team that was asked for again is measured again: its retries for a new one ask the same trial and get the same.

Repaired: Wilson's interval for accuracy; for a median latency the interval by order statistics; stopped trials are told
as pruned, so that what they saw of few examples ranks nowhere; TPE really searches (multivariate, after 30 random
trials where it has 100, since our budgets are smaller); when it asks for a known team, it is asked again, up to ten
times.

One objective of ours is always missing from its front. ``both`` runs a study for either cost in turns, within one
budget, and puts the fronts together.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import optuna

from .baselines import Measured, suggest_flat
from .measures import Array, Reported, front_mask
from .table import Table

BATCH = 5
WARM_UP = 30
Z = 1.645
#: Part of the most examples seen that counts as measured.
SUCCESS = 0.9
#: The published number is 100; each costs a model fit, and after ten the sampler is as good as stuck.
RETRIES = 10
STARTUP_TRIALS = 30

LATENCY, ENERGY = 1, 2

#: Best accuracy and least cost that values of so many examples leave possible.
Corner: TypeAlias = Callable[[Array, Array], tuple[float, float]]


def wald_corner(score: Array, cost: Array) -> tuple[float, float]:
    """As published: z standard errors, for a median too."""
    n, quality = len(score), float(score.mean())
    half = Z * math.sqrt(max(quality * (1 - quality), 0.0) / n)
    return quality + half, -Z * float(cost.std(ddof=1)) / math.sqrt(n)


def wilson_upper(mean: float, n: int, z: float = Z) -> float:
    """The upper end of Wilson's score interval for a proportion (Wilson 1927)."""
    middle = mean + z * z / (2 * n)
    half = z * math.sqrt(mean * (1 - mean) / n + z * z / (4 * n * n))
    return (middle + half) / (1 + z * z / n)


def median_lower(values: Array, z: float = Z) -> float:
    """The lower end of the interval for a median by order statistics (the binomial's normal approximation)."""
    n = len(values)
    return float(np.sort(values)[max(0, math.floor(n / 2 - z * math.sqrt(n) / 2))])


@dataclass(frozen=True, kw_only=True)
class Study:
    """One study with two objectives, a trial at a time.

    Attributes:
        table: replayed.
        measured: of it.
        study: Optuna's, quality up and cost down.
        cost: ``LATENCY`` or ``ENERGY``.
        repaired: or as published.
        seen: examples that a team was run on, by its row.
        values: what was told of it.
    """

    table: Table
    measured: Measured
    study: optuna.Study
    cost: int
    repaired: bool
    seen: dict[int, int] = field(default_factory=dict)
    values: dict[int, tuple[float, float]] = field(default_factory=dict)

    def front(self) -> list[int]:
        """Teams that are measured, by its own estimates of two objectives."""
        if not self.seen:
            return []
        enough = self.measured.examples if self.repaired else SUCCESS * max(self.seen.values())
        teams = [team for team, n in self.seen.items() if n >= enough]
        points = np.array([(*self.values[team], 0.0) for team in teams])
        return [teams[i] for i in np.flatnonzero(front_mask(points))]

    def trial(self) -> int:
        """Run one; the model calls it took."""
        trial = self.study.ask()
        row = self._team(trial)
        if self.repaired:
            for _ in range(RETRIES):
                if row not in self.seen:
                    break
                self.study.tell(trial, state=optuna.trial.TrialState.FAIL)
                trial = self.study.ask()
                row = self._team(trial)
        n = self._examples(row)
        self.seen[row] = max(n, self.seen.get(row, 0))
        score, cost = self._rows(row, self.seen[row])
        self.values[row] = (float(score.mean()), self._middle(cost))
        self._tell(trial, row, pruned=n < self.measured.examples)
        return int(self.table.calls[row, :n].sum(dtype=int))

    def _team(self, trial: optuna.trial.Trial) -> int:
        team = self.table.space.suggest(trial) if self.repaired else suggest_flat(self.table.space, trial)
        return self.table.number(team)

    def _tell(self, trial: optuna.trial.Trial, row: int, *, pruned: bool) -> None:
        if pruned and self.repaired:
            self.study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            self.study.tell(trial, list(self.values[row]))

    def _rows(self, row: int, n: int) -> tuple[Array, Array]:
        costs = self.table.latency_s if self.cost == LATENCY else self.table.energy_j
        return self.table.score[row, :n].astype(float), costs[row, :n].astype(float)

    def _middle(self, cost: Array) -> float:
        return float(np.median(cost) if self.cost == LATENCY else cost.mean())

    def _examples(self, row: int) -> int:
        """How many examples the team is run on until it is stopped, or all."""
        rivals = np.array([self.values[team] for team in self.front()]).reshape(-1, 2)
        for n in range(BATCH, self.measured.examples, BATCH):
            if n < WARM_UP:
                continue
            quality, cost = self._corner(*self._rows(row, n))
            better = (rivals[:, 0] >= quality) & (rivals[:, 1] <= cost)
            if (better & ((rivals[:, 0] > quality) | (rivals[:, 1] < cost))).any():
                return n
        return self.measured.examples

    def _corner(self, score: Array, cost: Array) -> tuple[float, float]:
        if not self.repaired:
            quality, below = wald_corner(score, cost)
            return quality, self._middle(cost) + below
        quality = wilson_upper(float(score.mean()), len(score))
        if self.cost == LATENCY:
            return quality, median_lower(cost)
        return quality, float(cost.mean() - Z * cost.std(ddof=1) / math.sqrt(len(cost)))


def _search(table: Table, seed: int, max_calls: int, *, costs: tuple[int, ...], repaired: bool) -> Iterator[Reported]:
    measured = Measured(table)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        studies = []
        for cost in costs:
            sampler = (
                optuna.samplers.TPESampler(
                    seed=seed + cost, multivariate=True, group=True, n_startup_trials=STARTUP_TRIALS
                )
                if repaired
                else optuna.samplers.NSGAIISampler(seed=seed + cost)
            )
            study = optuna.create_study(directions=("maximize", "minimize"), sampler=sampler)
            studies.append(Study(table=table, measured=measured, study=study, cost=cost, repaired=repaired))
        spent = number = 0
        while spent < max_calls:
            spent += studies[number % len(studies)].trial()
            number += 1
            yield spent, sorted({team for each in studies for team in each.front()})


def energy(table: Table, seed: int, max_calls: int) -> Iterator[Reported]:
    """As published, quality against energy."""
    return _search(table, seed, max_calls, costs=(ENERGY,), repaired=False)


def latency(table: Table, seed: int, max_calls: int) -> Iterator[Reported]:
    """As published, quality against latency."""
    return _search(table, seed, max_calls, costs=(LATENCY,), repaired=False)


def both(table: Table, seed: int, max_calls: int) -> Iterator[Reported]:
    """As published, a study for energy and one for latency in turns, their fronts put together."""
    return _search(table, seed, max_calls, costs=(ENERGY, LATENCY), repaired=False)


def repaired_energy(table: Table, seed: int, max_calls: int) -> Iterator[Reported]:
    """Repaired, quality against energy."""
    return _search(table, seed, max_calls, costs=(ENERGY,), repaired=True)


def repaired_latency(table: Table, seed: int, max_calls: int) -> Iterator[Reported]:
    """Repaired, quality against latency."""
    return _search(table, seed, max_calls, costs=(LATENCY,), repaired=True)


def repaired_both(table: Table, seed: int, max_calls: int) -> Iterator[Reported]:
    """Repaired, a study for energy and one for latency in turns, their fronts put together."""
    return _search(table, seed, max_calls, costs=(ENERGY, LATENCY), repaired=True)
