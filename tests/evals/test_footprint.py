"""What a joule means: grams and euros."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orkester.errors import InputError
from orkester.evals import footprint as module
from orkester.evals.footprint import Footprint, footprint, grids

HEAD = module._TABLE.read_text().partition("source:")[0]


def test_the_table_has_source_licence_and_date_in_its_head() -> None:
    assert "Ember" in HEAD
    assert "Our World in Data" in HEAD
    assert "CC-BY 4.0" in HEAD
    assert re.search(r"^# Retrieved: \d{4}-\d\d-\d\d", HEAD, re.MULTILINE)


def test_every_region_has_a_number_that_can_be_and_its_year() -> None:
    table = grids()
    assert {"SE", "NO", "DE", "US", "CN", "IN"} <= set(table)  # NO: YAML would read it as false without quotes
    for code, grid in table.items():
        assert re.fullmatch("[A-Z]{2}", code)
        assert 5 < grid.carbon_g_per_kwh < 1000
        assert 2020 <= grid.year <= 2026
        assert "CC-BY 4.0" in grid.source
    assert table["NO"].carbon_g_per_kwh < table["DE"].carbon_g_per_kwh < table["PL"].carbon_g_per_kwh
    assert list(table) == sorted(table)


def test_a_region_brings_its_number_and_who_says_so() -> None:
    found = footprint("SE")
    grid = grids()["SE"]
    assert (found.carbon_g_per_kwh, found.year, found.source) == (grid.carbon_g_per_kwh, grid.year, grid.source)
    assert found.co2e_g(3.6e6) == pytest.approx(grid.carbon_g_per_kwh)


@pytest.mark.parametrize("own", [0.0, 12.5])
def test_a_number_given_by_hand_comes_before_the_tables(own: float) -> None:
    found = footprint("DE", carbon_g_per_kwh=own, pue=1.2)
    assert (found.year, found.source) == (None, "given by hand")
    assert found.co2e_g(7.2e6) == pytest.approx(2 * 1.2 * own)


def test_an_unknown_region_is_refused_with_those_there_are() -> None:
    with pytest.raises(
        InputError, match="region 'XX' is not known; set carbon_g_per_kwh, or use one of the regions AL, AT"
    ):
        footprint("XX")


def test_costs_are_electricity_and_hours_each_where_it_has_a_price() -> None:
    def cost(**prices: float) -> float | None:
        return footprint("SE", pue=1.5, **prices).cost_eur(7.2e6, 1800.0)

    assert cost() is None
    assert cost(price_eur_per_kwh=0.1) == pytest.approx(0.3)
    assert cost(gpu_hour_eur=4.0) == pytest.approx(2.0)
    assert cost(price_eur_per_kwh=0.1, gpu_hour_eur=4.0) == pytest.approx(2.3)
    assert cost(price_eur_per_kwh=0.0) == 0  # a price of nothing is a price


@given(st.floats(0, 1e9), st.floats(0, 1e9), st.floats(1, 3))
def test_grams_add_up_and_grow_with_the_site(one: float, other: float, pue: float) -> None:
    plain = Footprint(region="SE", carbon_g_per_kwh=40.0, year=2023, source="a test")
    site = Footprint(region="SE", carbon_g_per_kwh=40.0, year=2023, source="a test", pue=pue)
    assert plain.co2e_g(one) + plain.co2e_g(other) == pytest.approx(plain.co2e_g(one + other))
    assert site.co2e_g(one) == pytest.approx(pue * plain.co2e_g(one))
