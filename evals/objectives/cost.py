"""The objective ``cost_eur``: the costs of the joules and of the devices' hours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from orkester.evals.footprint import Footprint
from orkester.evals.records.block import Block

from ._base import Objective, Prediction
from ._columns import PerBlock
from ._joules import joules
from ._statistics import Mean


def _euros(block: Block, footprint: Footprint | None) -> float | None:
    energy_j = joules(block)
    if energy_j is None or footprint is None:
        return None
    return footprint.cost_eur(energy_j, block.charged_wall_s)


def _error_eur(error_j: float, footprint: Footprint | None) -> float:
    return 0.0 if footprint is None else footprint.cost_eur(error_j, 0.0) or 0.0


def _lack(footprint: Footprint) -> str:
    if footprint.price_eur_per_kwh is None and footprint.gpu_hour_eur is None:
        return "needs a price: set energy.price_eur_per_kwh or energy.gpu_hour_eur, or leave the objective out"
    return ""


def _basis(footprint: Footprint, text_of: Callable[[float], str]) -> str:
    terms = []
    if footprint.price_eur_per_kwh is not None:
        terms.append(f"kWh × PUE {text_of(footprint.pue)} × {text_of(footprint.price_eur_per_kwh)} EUR/kWh")
    if footprint.gpu_hour_eur is not None:
        terms.append(f"hours of the windows × {text_of(footprint.gpu_hour_eur)} EUR for all devices")
    return " + ".join(terms) or "no price is known"


OBJECTIVES: Final = (
    Objective(
        name="cost_eur",
        unit="EUR",
        meaning="Euros of energy_j and of the devices' hours, per example.",
        column=PerBlock(name="cost_eur", total=_euros, error=_error_eur),
        statistic=Mean(),
        prediction=Prediction.SUM_J,
        of_joules=True,
        remedy="it needs joules and a price; set energy.price_eur_per_kwh or energy.gpu_hour_eur in the study file and "
        "tune again",
        lack=_lack,
        basis=_basis,
    ),
)
