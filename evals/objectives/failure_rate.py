"""How often there is no answer."""

from __future__ import annotations

from typing import Final

from ._base import Objective
from ._columns import PerExample
from ._statistics import Share

FAILURE_RATE: Final = Objective(
    name="failure_rate",
    meaning="Share of examples that failed: a call failed for good, or the deadline.",
    column=PerExample(name="failed", of=lambda example: float(example.failure is not None), counted=True),
    statistic=Share(),
)

OBJECTIVES: Final = (FAILURE_RATE,)
