"""Records the trials of samplers that do not ask Optuna in Optuna's study."""

from __future__ import annotations

from collections.abc import Sequence

from orkester.optim.search.trials import Trials

from ..outcome import Outcome
from ._base import Sampler, Standing, Turn


class RecordingSampler:
    """A ``Sampler`` that leaves the choice to another sampler and records the outcomes.

    Args:
        sampler: The sampler that chooses.
        trials: The trials, in which the outcomes are recorded.
    """

    def __init__(self, sampler: Sampler, trials: Trials) -> None:
        self.sampler = sampler
        self._trials = trials

    def choose(self, standing: Standing, most: int) -> Sequence[Turn]:
        """See ``Sampler``. Teams that were closed just before a process was killed come first, to record them."""
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
