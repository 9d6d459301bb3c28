"""What NSGA-II and NSGA-III share."""

from __future__ import annotations

from typing import Any, Final

import optuna

#: Teams of a generation: Optuna's default.
POPULATION: Final = 50


class Reproducible:
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
