"""The common part of NSGA-II and NSGA-III."""

from __future__ import annotations

from typing import Any, Final

import optuna

#: The number of teams of a generation, which is Optuna's default.
POPULATION: Final = 50


class Reproducible:
    """Makes a genetic sampler of Optuna choose the same team in a resumed run as in one that was never interrupted.

    Optuna stores the parents of a generation in the study. Parents that are read from the study have another order than
    parents that were just selected, and a selection uses random numbers, which changes the next team. Therefore another
    sampler selects the parents first, and this sampler always reads them from the study.
    """

    def before_trial(self: Any, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        """Select the parents of the trial's generation, if this has not been done. See Optuna's ``BaseSampler``."""
        super().before_trial(study, trial)  # type: ignore[misc]
        generation = self.get_trial_generation(study, trial)
        other = type(self)(seed=generation, population_size=self.population_size)
        other.get_parent_population(study, generation)
