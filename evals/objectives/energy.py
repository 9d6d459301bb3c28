"""The objectives in joules: per example, per success, and of idle power."""

from __future__ import annotations

from typing import Final

from orkester.evals.footprint import Footprint
from orkester.evals.records.block import Block

from ._base import Objective, Prediction
from ._columns import PerBlock
from ._joules import JOULES, NO_JOULES, joules
from ._statistics import Mean, PerSuccess


def _idle_joules(block: Block, footprint: Footprint | None) -> float | None:
    return None if joules(block, footprint) is None else block.energy_idle_j


ENERGY: Final = Objective(
    name="energy_j",
    unit="J",
    meaning="Joules of the measurement windows per example, all domains together.",
    column=JOULES,
    statistic=Mean(),
    prediction=Prediction.SUM_J,
    of_joules=True,
    scales_with_joules=True,
    remedy=NO_JOULES,
)

OBJECTIVES: Final = (
    ENERGY,
    Objective(
        name="energy_j_per_success",
        unit="J",
        meaning="The same joules per example answered with a score over 0.5.",
        column=JOULES,
        statistic=PerSuccess(),
        prediction=Prediction.SUM_J,
        of_joules=True,
        scales_with_joules=True,
        remedy=NO_JOULES,
    ),
    Objective(
        name="energy_idle_j",
        unit="J",
        meaning="The part of energy_j that the devices would have used with idle engines.",
        column=PerBlock(name="energy_idle_j", total=_idle_joules),
        statistic=Mean(),
        of_joules=True,
        scales_with_joules=True,
        remedy=NO_JOULES,
    ),
)
