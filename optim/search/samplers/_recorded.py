"""Records the trials of samplers that do not ask Optuna in Optuna's study."""

from __future__ import annotations

from collections.abc import Sequence

from orkester.optim.search.trials import Trials

from ..outcome import Outcome
from ._base import Sampler, Standing, Turn


class Recorded:
    """A ``Sampler`` that leaves the choice to another sampler and records the outcomes.

    Attributes:
        sampler: The sampler that chooses.
    """

    def __init__(self, sampler: Sampler, trials: Trials) -> None:
        self.sampler = sampler
        self._trials = trials

    def choose(self, standing: Standing, most: int) -> Sequence[Turn]:
        """Teams that were closed just before the process was killed come first, so that they are recorded."""
        reported = self._trials.reported_teams
        missed = [
            Turn(team=team)
            for team in standing.evidence.teams
            if team.id in standing.closed and team.id not in reported
        ]
        return missed[:most] or self.sampler.choose(standing, most)

    def tell(self, outcome: Outcome) -> None:
        """See ``Sampler``."""
        self.sampler.tell(outcome)
        self._trials.record(outcome)
