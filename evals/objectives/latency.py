"""The objectives of latency: how long an answer takes."""

from __future__ import annotations

from typing import Final

from ._base import Objective, Prediction, Statistic
from ._columns import PerExample
from ._statistics import Mean, Quantile

_LATENCY = PerExample(name="latency_s", of=lambda example: example.latency_s)


def _latency(name: str, statistic: Statistic, meaning: str) -> Objective:
    return Objective(
        name=name,
        unit="s",
        meaning=meaning,
        column=_LATENCY,
        statistic=statistic,
        prediction=Prediction.LONGEST_PATH_S,
    )


MEDIAN: Final = _latency(
    "latency_p50_s", Quantile(0.5, variance_ratio=1.57), "Median time from an example's submission to its answer."
)

OBJECTIVES: Final = (
    MEDIAN,
    _latency("latency_p95_s", Quantile(0.95, variance_ratio=4.47), "95th percentile of the same."),
    _latency("latency_mean_s", Mean(), "Mean of the same."),
)
