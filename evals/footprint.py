"""Conversion of joules to grams of CO2 equivalent and to euros.

gCO2e = kWh × PUE × carbon intensity; cost = kWh × PUE × price + hours × price of a GPU hour. The carbon intensities are
yearly life-cycle means of countries, from ``grid.yaml``. The comment at its top gives the source, licence and date.
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
    """The electricity of one country.

    Attributes:
        name: The name of the country.
        carbon_g_per_kwh: Grams of CO2 equivalent per kWh generated, the life-cycle mean of a year.
        year: The year of the mean.
        source: The source of the number, with its licence.
    """

    name: str
    carbon_g_per_kwh: float
    year: int
    source: str


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """The emissions and costs of a joule at the place where a study runs.

    Attributes:
        region: The ISO 3166-1 alpha-2 code of the country.
        carbon_g_per_kwh: Grams of CO2 equivalent per kWh.
        year: The year of ``carbon_g_per_kwh``; None when the study file gives the value.
        source: The source of ``carbon_g_per_kwh``.
        pue: Power usage effectiveness: the joules that the site draws per joule that its devices use; at least 1.
        price_eur_per_kwh: The price of electricity; None when it is not given.
        gpu_hour_eur: The price of one hour of all devices in use, as rent or depreciation; None when it is not given.
    """

    region: str
    carbon_g_per_kwh: float
    year: int | None
    source: str
    pue: float = 1.0
    price_eur_per_kwh: float | None = None
    gpu_hour_eur: float | None = None

    def co2e_g(self, energy_j: float) -> float:
        """Convert joules to emissions.

        Args:
            energy_j: Joules used by the devices.

        Returns:
            Grams of CO2 equivalent.
        """
        return energy_j / J_PER_KWH * self.pue * self.carbon_g_per_kwh

    def cost_eur(self, energy_j: float, wall_s: float) -> float | None:
        """Convert joules and time to costs.

        Args:
            energy_j: Joules used by the devices.
            wall_s: Seconds in which the devices were in use.

        Returns:
            Euros; None when no price is given.
        """
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
    """Make the footprint of a region.

    Args:
        region: The ISO 3166-1 alpha-2 code of a country in the table.
        carbon_g_per_kwh: Grams of CO2 equivalent per kWh; None to take the value in the table.
        pue, price_eur_per_kwh, gpu_hour_eur: See ``Footprint``.

    Raises:
        InputError: The region is not in the table.
    """
    table = grids()
    if region not in table:
        raise InputError(
            f"the carbon intensity of the region {region!r} is not known; set carbon_g_per_kwh, or use one of the "
            f"regions {', '.join(table)}"
        )
    grid = table[region]
    from_table = carbon_g_per_kwh is None
    return Footprint(
        region=region,
        carbon_g_per_kwh=grid.carbon_g_per_kwh if carbon_g_per_kwh is None else carbon_g_per_kwh,
        year=grid.year if from_table else None,
        source=grid.source if from_table else "given by hand",
        pue=pue,
        price_eur_per_kwh=price_eur_per_kwh,
        gpu_hour_eur=gpu_hour_eur,
    )


@cache
def grids() -> Mapping[str, Grid]:
    """The table of carbon intensities, by ISO 3166-1 alpha-2 code."""
    import yaml

    data: dict[str, Any] = yaml.safe_load(_TABLE.read_text(encoding="utf-8"))
    return MappingProxyType({code: Grid(**entry, source=data["source"]) for code, entry in data["regions"].items()})
