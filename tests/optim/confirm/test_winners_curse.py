"""How far the search flattered the teams that it chose."""

from collections.abc import Mapping

import numpy as np
import pytest
from measured_rows import rng, rows

from orkester.evals.objectives import Direction
from orkester.optim.confirm.winners_curse import winners_curse

TWO: Mapping[str, Direction] = {"quality": "maximize", "energy_j": "minimize"}
SOME = rows((8, 8, 8), score=np.ones(24))


def test_a_value_that_looked_better_in_the_search_is_optimism_in_either_direction() -> None:
    n = 40
    search = {"a": rows(score=np.arange(n) % 10 != 0, energy_j=rng(7).lognormal(0, 0.1, n)), "b": SOME}
    confirmed = {"a": rows(score=np.arange(n) % 2 == 0, energy_j=2 * rng(8).lognormal(0, 0.1, n)), "c": SOME}
    single, mean = winners_curse(search, confirmed, TWO, rng())
    quality, energy = single
    assert (quality.team, quality.objective, energy.objective) == ("a", "quality", "energy_j")
    assert quality.optimism == pytest.approx(0.4)
    assert energy.optimism == pytest.approx(energy.confirmed - energy.search)
    for each in single:
        assert 0 < each.low < each.optimism < each.high
    assert mean[0].teams == 1
    assert mean[0].optimism == pytest.approx(0.4)
    assert mean[1].optimism == pytest.approx(0.5, abs=0.05)  # half of what it turned out to be
    assert winners_curse(search, {"c": SOME}, TWO, rng()) == ((), ())
