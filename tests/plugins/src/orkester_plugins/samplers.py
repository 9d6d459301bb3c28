"""Two samplers: one of our own, and one of Optuna's."""

from __future__ import annotations

from collections.abc import Sequence

import optuna

from orkester.optim.search.samplers import FromOptuna, Outcome, Setting, Standing, Turn


class InOrder:
    """The teams of the space from the first to the last, the user's own before all others.

    Args:
        setting: Of the study.
    """

    def __init__(self, setting: Setting) -> None:
        teams = [*setting.start, *setting.space.teams()]
        if setting.seed % 2:
            teams[len(setting.start) :] = reversed(teams[len(setting.start) :])
        self._teams = list({team.id: team for team in teams}.values())

    def choose(self, standing: Standing, most: int) -> Sequence[Turn]:
        """The first teams that get more blocks."""
        new_teams = float("inf") if standing.new_teams is None else standing.new_teams
        turns: list[Turn] = []
        for team in self._teams:
            if team.id in standing.closed:
                continue
            new_teams -= team not in standing.evidence
            if len(turns) == most or new_teams < 0:
                break
            turns.append(Turn(team=team))
        return turns

    def tell(self, outcome: Outcome) -> None:
        """Nothing to learn."""


early_tpe = FromOptuna(make=lambda seed: optuna.samplers.TPESampler(seed=seed, n_startup_trials=3), flat=True)
