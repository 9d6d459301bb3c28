"""From joules to grams of CO2 equivalent and to euros.

gCO2e = kWh × PUE × carbon intensity; cost = kWh × PUE × price + hours × price of a GPU hour. The carbon intensities are
yearly means of countries, life cycle, from ``grid.yaml``, whose head has source, licence and date.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from orkester.errors import InputError

_TABLE = Path(__file__).with_name("grid.yaml")
J_PER_KWH: Final = 3.6e6
S_PER_HOUR: Final = 3600.0


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Electricity of one country.

    Attributes:
        name: the country's.
        carbon_g_per_kwh: grams of CO2 equivalent for each kWh generated, mean of a year, life cycle.
        year: which.
        source: who says so, with the licence.
    """

    name: str
    carbon_g_per_kwh: float
    year: int
    source: str


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """What a joule means where a study runs.

    Attributes:
        region: ISO 3166-1 alpha-2 code of the country.
        carbon_g_per_kwh: grams of CO2 equivalent for each kWh.
        year: which that is of; None when it was given by hand.
        source: who says so.
        pue: power usage effectiveness: what the site draws for each joule that its devices do; at least 1.
        price_eur_per_kwh: of electricity; None when not said.
        gpu_hour_eur: of all devices that a window holds, for an hour, rented or written off; None when not said.
    """

    region: str
    carbon_g_per_kwh: float
    year: int | None
    source: str
    pue: float = 1.0
    price_eur_per_kwh: float | None = None
    gpu_hour_eur: float | None = None

    def co2e_g(self, energy_j: float) -> float:
        """Grams of CO2 equivalent of so many joules at the devices."""
        return energy_j / J_PER_KWH * self.pue * self.carbon_g_per_kwh

    def cost_eur(self, energy_j: float, wall_s: float) -> float | None:
        """Euros of so many joules at the devices and of a window of so many seconds; None when no price is known."""
        if self.price_eur_per_kwh is None and self.gpu_hour_eur is None:
            return None
        electricity = energy_j / J_PER_KWH * self.pue * (self.price_eur_per_kwh or 0.0)
        return electricity + wall_s / S_PER_HOUR * (self.gpu_hour_eur or 0.0)


def footprint(
    region: str,
    *,
    carbon_g_per_kwh: float | None = None,
    pue: float = 1.0,
    price_eur_per_kwh: float | None = None,
    gpu_hour_eur: float | None = None,
) -> Footprint:
    """The footprint of a region, by the table or by ``carbon_g_per_kwh``.

    Raises:
        InputError: the table has no such region.
    """
    table = grids()
    if region not in table:
        raise InputError(
            f"no carbon intensity is known of {region!r}; give carbon_g_per_kwh, or one of {', '.join(table)}"
        )
    grid = table[region]
    own = carbon_g_per_kwh is not None
    return Footprint(
        region=region,
        carbon_g_per_kwh=grid.carbon_g_per_kwh if carbon_g_per_kwh is None else carbon_g_per_kwh,
        year=None if own else grid.year,
        source="given by hand" if own else grid.source,
        pue=pue,
        price_eur_per_kwh=price_eur_per_kwh,
        gpu_hour_eur=gpu_hour_eur,
    )


@cache
def grids() -> Mapping[str, Grid]:
    """The table, by ISO 3166-1 alpha-2 code."""
    import yaml

    data: dict[str, Any] = yaml.safe_load(_TABLE.read_text(encoding="utf-8"))
    return MappingProxyType({code: Grid(**entry, source=data["source"]) for code, entry in data["regions"].items()})
