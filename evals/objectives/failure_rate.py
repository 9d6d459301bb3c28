"""The objective ``failure_rate``: the share of examples without an answer."""

from __future__ import annotations

from typing import Final

from ._base import Objective
from ._columns import PerExample
from ._statistics import Share

FAILURE_RATE: Final = Objective(
    name="failure_rate",
    meaning="Share of examples that failed: a call failed after all retries, or the deadline passed.",
    column=PerExample(name="failed", of=lambda example: float(example.failure is not None), is_count=True),
    statistic=Share(),
)

OBJECTIVES: Final = (FAILURE_RATE,)
