"""The outcome of a team: what samplers learn from, and what Optuna's study keeps."""

from __future__ import annotations

from dataclasses import dataclass

from orkester.evals.summaries.measurement import Measurement
from orkester.graphs import Team


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome of a team that gets no more blocks.

    Attributes:
        team: The team.
        measurement: Its measurement in the search; None when it could not be measured.
        infeasible: Why it cannot be on the front; empty when it can.
        stopped: Why it was not measured on every example; empty when it was.
        trial: The number of its trial in the records; None for the next number.
    """

    team: Team
    measurement: Measurement | None
    infeasible: str = ""
    stopped: str = ""
    trial: int | None = None
