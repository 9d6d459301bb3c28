"""The objective ``calls``: the number of model calls per example."""

from __future__ import annotations

from typing import Final

from ._base import Objective, Prediction
from ._columns import PerExample
from ._statistics import Mean

CALLS: Final = Objective(
    name="calls",
    meaning="Model calls per example.",
    column=PerExample(name="calls", of=lambda example: float(len(example.calls)), is_count=True),
    statistic=Mean(),
    prediction=Prediction.CALLS,
    of_agent=lambda share: share.calls,
)

OBJECTIVES: Final = (CALLS,)
