"""What others do: Optuna's samplers with full evaluation of every trial, and random search.

Each trial measures a team on all examples of the search, and a team that is asked for again is measured and paid for
again, as it is when these samplers drive a real study. Nothing here knows the truth.

A space whose knobs depend on the topology can be shown to a sampler in two ways:

- *conditional*: only the chosen topology's knobs are suggested, as in ``Space.suggest``. TPE deals with that by itself.
  NSGA-II, NSGA-III and the Gaussian process do not: they learn from the parameters that every trial has, which is the
  topology alone, and draw all others at random.
- *flat*: every topology's knobs are suggested in every trial, and those of the others are idle. It is how ``nat
  optimize`` states a search, and the only way in which those samplers see the knobs at all.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import optuna

from orkester.graphs import Team
from orkester.optim.study.space import Space

from .measures import Reported, checkpoints
from .table import Table

optuna.logging.set_verbosity(optuna.logging.WARNING)

DIRECTIONS: Sequence[Literal["maximize", "minimize"]] = ("maximize", "minimize", "minimize")


#: Examples that a full evaluation takes, where the table has as many for the search.
EXAMPLES = 64

#: A method: from a table, a seed and a number of calls, what ``measures.Reported`` says.
Method: TypeAlias = Callable[[Table, int, int], Iterator[Reported]]


class Measured:
    """What full evaluation on the search's examples says of each team.

    Attributes:
        examples: how many.
        estimate: (teams, 3): mean score, median latency in seconds, mean energy in joules.
        cost: (teams,), model calls.
    """

    def __init__(self, table: Table) -> None:
        self.examples = min(EXAMPLES, table.searched)
        self.estimate = table.truth(slice(self.examples))
        self.cost = table.calls[:, : self.examples].sum(axis=1, dtype=int)


class _Chosen:
    """A trial that answers the question for the topology by itself."""

    def __init__(self, trial: optuna.trial.BaseTrial, topology: str) -> None:
        self._trial, self._topology = trial, topology

    def __getattr__(self, name: str) -> Any:
        return getattr(self._trial, name)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return self._topology if name == "topology" else self._trial.suggest_categorical(name, choices)


def suggest_flat(space: Space, trial: optuna.trial.BaseTrial) -> Team:
    """The team asked for when all topologies' knobs are parameters of every trial."""
    teams = {name: space.suggest(_Chosen(trial, name)) for name in space.grids}  # type: ignore[arg-type]
    return teams[str(trial.suggest_categorical("topology", list(space.grids)))]


def search(
    table: Table,
    max_calls: int,
    *,
    sampler: Callable[[int], optuna.samplers.BaseSampler],
    flat: bool = False,
) -> Iterator[Reported]:
    """Ask, measure the whole, tell; until the calls are spent.

    Args:
        sampler: the one for the trial of this number.
        flat: how the space is shown, see above.
    """
    measured = Measured(table)

    def steps() -> Iterator[tuple[int, int | None]]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study = optuna.create_study(directions=DIRECTIONS, sampler=sampler(0))
            spent = number = 0
            while spent < max_calls:
                study.sampler = sampler(number)
                trial = study.ask()
                team = suggest_flat(table.space, trial) if flat else table.space.suggest(trial)
                row = table.number(team)
                spent += int(measured.cost[row])
                number += 1
                study.tell(trial, measured.estimate[row].tolist())
                yield spent, row

    return checkpoints(steps(), measured.estimate)


def _one(sampler: optuna.samplers.BaseSampler) -> Callable[[int], optuna.samplers.BaseSampler]:
    return lambda _: sampler


def random(table: Table, seed: int, max_calls: int) -> Iterator[Reported]:
    """Uniform over topologies, then over each knob; with replacement."""
    return search(table, max_calls, sampler=_one(optuna.samplers.RandomSampler(seed=seed)))


def tpe(table: Table, seed: int, max_calls: int) -> Iterator[Reported]:
    """Optuna's TPE as it comes. With several objectives that is the univariate one (MOTPE, Ozaki et al. 2022)."""
    return search(table, max_calls, sampler=_one(optuna.samplers.TPESampler(seed=seed)))


def tpe_group(table: Table, seed: int, max_calls: int) -> Iterator[Reported]:
    """TPE as ``orkester tune`` sets it: multivariate, grouped by topology, each topology once to begin with."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(
            seed=seed, multivariate=True, group=True, constant_liar=True, n_startup_trials=8
        )
        first = [optuna.samplers.PartialFixedSampler({"topology": name}, sampler) for name in table.space.grids]
    return search(table, max_calls, sampler=lambda number: first[number] if number < len(first) else sampler)


def nsga2(table: Table, seed: int, max_calls: int) -> Iterator[Reported]:
    """Optuna's NSGA-II as it comes (50 a generation), the space flat: what ``nat optimize`` does by itself."""
    return search(table, max_calls, sampler=_one(optuna.samplers.NSGAIISampler(seed=seed)), flat=True)


def nsga2_conditional(table: Table, seed: int, max_calls: int) -> Iterator[Reported]:
    """NSGA-II on the conditional space: it breeds topologies and draws the knobs at random."""
    return search(table, max_calls, sampler=_one(optuna.samplers.NSGAIISampler(seed=seed)))


def nsga3(table: Table, seed: int, max_calls: int) -> Iterator[Reported]:
    """Optuna's NSGA-III as it comes, the space flat."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.NSGAIIISampler(seed=seed)
    return search(table, max_calls, sampler=_one(sampler), flat=True)


def gp(table: Table, seed: int, max_calls: int) -> Iterator[Reported]:
    """Optuna's Gaussian process (expected hypervolume improvement), the space flat. It needs torch."""
    import torch

    torch.set_num_threads(1)  # the processors are for other seeds
    sampler = optuna.samplers.GPSampler(seed=seed, warn_independent_sampling=False)
    return search(table, max_calls, sampler=_one(sampler), flat=True)


#: Weights of quality, latency and energy: the simplex lattice of degree 2 and its middle.
WEIGHTS = (
    (1.0, 0.0, 0.0),
    (0.0, 1.0, 0.0),
    (0.0, 0.0, 1.0),
    (0.5, 0.5, 0.0),
    (0.5, 0.0, 0.5),
    (0.0, 0.5, 0.5),
    (1 / 3, 1 / 3, 1 / 3),
)

#: Examples before the pruner looks: below 14, scipy permutes wherever there are ties, for half a second each time.
WILCOXON_WARM_UP = 14


def wilcoxon(table: Table, seed: int, max_calls: int) -> Iterator[Reported]:
    """TPE with Optuna's WilcoxonPruner, which takes one objective only: seven weighted sums in turn.

    Each weight has a study of its own. An example's value is what is lost on it: the score's shortfall, and latency and
    energy in parts of those of the first team measured (nobody knows the ranges beforehand). As the pruner's manual
    has it, the examples come in random order, it is asked after each, and a stopped trial is told its mean so far.
    It begins after ``WILCOXON_WARM_UP`` examples.
    Stopped teams are on no front; what the studies measured in full is put together.
    """
    measured = Measured(table)
    rng = np.random.default_rng(seed)
    score, latency_s, energy_j, calls = (
        array[:, : measured.examples].astype(float)
        for array in (table.score, table.latency_s, table.energy_j, table.calls)
    )

    def steps() -> Iterator[tuple[int, int | None]]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            studies = [
                optuna.create_study(
                    sampler=optuna.samplers.TPESampler(seed=int(rng.integers(2**31))),
                    pruner=optuna.pruners.WilcoxonPruner(p_threshold=0.1, n_startup_steps=WILCOXON_WARM_UP),
                )
                for _ in WEIGHTS
            ]
            spent, number, scale = 0, 0, None
            while spent < max_calls:
                study, weight = studies[number % len(WEIGHTS)], np.array(WEIGHTS[number % len(WEIGHTS)])
                number += 1
                trial = study.ask()
                row = table.number(table.space.suggest(trial))
                rows = np.stack([1 - score[row], latency_s[row], energy_j[row]])
                if scale is None:
                    scale = np.maximum(rows.mean(axis=1), 1e-12)
                    scale[0] = 1.0
                value = weight @ (rows / scale[:, None])
                order = rng.permutation(measured.examples)
                done = 0
                for example in order:
                    trial.report(float(value[example]), int(example))
                    done += 1
                    if trial.should_prune():
                        break
                seen = order[:done]
                spent += int(calls[row, seen].sum())
                study.tell(trial, float(value[seen].mean()))
                yield spent, row if done == measured.examples else None

    return checkpoints(steps(), measured.estimate)


def exhaustive(table: Table, seed: int, max_calls: int) -> Iterator[Reported]:
    """Every team once, in random order: what is left of the truth when all are measured on the search's examples."""
    measured = Measured(table)
    order = np.random.default_rng(seed).permutation(len(table.teams))
    spent = np.cumsum(measured.cost[order])
    steps = ((int(c), int(row)) for c, row in zip(spent, order, strict=True) if c <= max_calls)
    return checkpoints(steps, measured.estimate)
