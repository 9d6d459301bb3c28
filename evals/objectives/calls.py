"""How many model calls an answer takes."""

from __future__ import annotations

from typing import Final

from ._base import Objective, Prediction
from ._columns import PerExample
from ._statistics import Mean

CALLS: Final = Objective(
    name="calls",
    meaning="Model calls per example.",
    column=PerExample(name="calls", of=lambda example: float(len(example.calls)), counted=True),
    statistic=Mean(),
    prediction=Prediction.CALLS,
    of_agent=lambda share: share.calls,
)

OBJECTIVES: Final = (CALLS,)
