"""A sampler that does not ask Optuna, and all the same has its trials in Optuna's study."""

from __future__ import annotations

from collections.abc import Sequence

from orkester.optim.search.trials import Trials

from ..outcome import Outcome
from ._base import Sampler, Standing, Turn


class Recorded:
    """A ``Sampler`` that chooses as another does, and records what it is told.

    Attributes:
        sampler: the other.
    """

    def __init__(self, sampler: Sampler, trials: Trials) -> None:
        self.sampler = sampler
        self._trials = trials

    def choose(self, standing: Standing, most: int) -> Sequence[Turn]:
        """First, teams that were closed just before the process was killed, and are to be told."""
        told = self._trials.told_teams
        missed = [
            Turn(team=team) for team in standing.evidence.teams if team.id in standing.closed and team.id not in told
        ]
        return missed[:most] or self.sampler.choose(standing, most)

    def tell(self, outcome: Outcome) -> None:
        """See ``Sampler``."""
        self.sampler.tell(outcome)
        self._trials.record(outcome)
