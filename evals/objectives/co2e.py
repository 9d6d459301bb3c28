"""The objective ``co2e_g``: the greenhouse gas emissions of the joules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from orkester.evals.footprint import Footprint

from ._base import Objective, Prediction
from ._columns import PerBlock
from ._joules import joules
from ._statistics import Mean


def _basis(footprint: Footprint, text_of: Callable[[float], str]) -> str:
    place = f"{footprint.region}, {footprint.year}" if footprint.year is not None else footprint.region
    return (
        f"kWh × PUE {text_of(footprint.pue)} × {text_of(footprint.carbon_g_per_kwh)} g/kWh ({place}; "
        f"{footprint.source})"
    )


OBJECTIVES: Final = (
    Objective(
        name="co2e_g",
        unit="g",
        meaning="Grams of CO2 equivalent of energy_j, by the region's electricity.",
        column=PerBlock(name="co2e_g", total=joules, convert=lambda energy_j, footprint: footprint.co2e_g(energy_j)),
        statistic=Mean(),
        prediction=Prediction.SUM_J,
        of_joules=True,
        scales_with_joules=True,
        remedy="it needs joules and the region of the electricity; set energy.region in the study file and tune again",
        basis=_basis,
    ),
)
