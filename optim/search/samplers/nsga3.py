"""NSGA-III (Deb and Jain, IEEE Trans. Evolutionary Computation 18, 2014) over the flat space."""

from __future__ import annotations

import optuna
from optuna.samplers import BaseSampler

from ._genetic import POPULATION, Reproducible
from ._optuna import FromOptuna


class _Nsga3(Reproducible, optuna.samplers.NSGAIIISampler):
    pass


def with_population(size: int) -> FromOptuna:
    """Make the plug-in with another population.

    Args:
        size: The number of teams of a generation.
    """

    def make(seed: int) -> BaseSampler:
        return _Nsga3(seed=seed, population_size=size)

    return FromOptuna(make=make, flat=True)


sampler = with_population(POPULATION)
