"""The outcome of a team: what samplers learn from, and what Optuna's study keeps."""

from __future__ import annotations

from dataclasses import dataclass

from orkester.evals.measurement import Measurement
from orkester.graphs import Team


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A team that gets no more blocks.

    Attributes:
        team: it.
        measurement: of the search; None when the team could not be measured.
        infeasible: why it cannot be on the front; empty when it can.
        stopped: why it was not measured on every example; empty when it was.
        trial: number of the trial in the records; None for the next one.
    """

    team: Team
    measurement: Measurement | None
    infeasible: str = ""
    stopped: str = ""
    trial: int | None = None
