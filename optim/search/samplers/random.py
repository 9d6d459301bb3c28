"""Random teams: topologies and values are equally likely, and no team comes twice."""

from __future__ import annotations

import optuna
from optuna.samplers import BaseSampler

from ._optuna import FromOptuna


def _make(seed: int) -> BaseSampler:
    return optuna.samplers.RandomSampler(seed=seed)


sampler = FromOptuna(make=_make)
