"""Optuna's Gaussian process with expected (hypervolume) improvement, over the flat space. It needs torch."""

from __future__ import annotations

import optuna
from optuna.samplers import BaseSampler

from ._optuna import FromOptuna


def _make(seed: int) -> BaseSampler:
    return optuna.samplers.GPSampler(seed=seed, warn_independent_sampling=False)


sampler = FromOptuna(make=_make, flat=True, needs=("torch",), extra="gp")
