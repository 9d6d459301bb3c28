"""TPE over the conditional space, grouped by topology (MOTPE: Ozaki et al., JAIR 73, 2022)."""

from __future__ import annotations

from typing import Final

import optuna
from optuna.samplers import BaseSampler

from ._optuna import FromOptuna

#: The number of random teams before TPE uses its model of the space.
STARTUP_TRIALS: Final = 8


def _make(seed: int) -> BaseSampler:
    return optuna.samplers.TPESampler(
        seed=seed, multivariate=True, group=True, constant_liar=True, n_startup_trials=STARTUP_TRIALS
    )


sampler = FromOptuna(make=_make)
