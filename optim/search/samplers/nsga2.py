"""NSGA-II (Deb et al., IEEE Trans. Evolutionary Computation 6, 2002) over the flat space."""

from __future__ import annotations

import optuna
from optuna.samplers import BaseSampler

from ._genetic import POPULATION, Reproducible
from ._optuna import FromOptuna


class _Nsga2(Reproducible, optuna.samplers.NSGAIISampler):
    pass


def with_population(size: int) -> FromOptuna:
    """Make the plug-in with another population.

    Args:
        size: The number of teams of a generation.
    """

    def make(seed: int) -> BaseSampler:
        return _Nsga2(seed=seed, population_size=size)

    return FromOptuna(make=make, flat=True)


sampler = with_population(POPULATION)
