"""What the model of the space says of teams that were not measured."""

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from orkester.graphs import Team
from orkester.optim.search.models.surrogate import MOST_TEAMS, Prediction, Universe
from orkester.optim.study.space import Grid, Space

Floats = NDArray[np.float64]
MODELS = Grid(("a", "b", "c", "d"))
TEMPERATURES = Grid((0.2, 0.5, 0.8, 1.1))
SPACE = Space(
    {
        "single": {"model": MODELS, "temperature": TEMPERATURES},
        "vote": {"agents": Grid((2, 3, 4, 5, 6, 7, 8, 9)), "model": MODELS, "temperature": TEMPERATURES},
        "cascade": {
            "first": MODELS,
            "then": MODELS,
            "votes": Grid((2, 3, 4, 5)),
            "temperature": TEMPERATURES,
            "agreement": Grid((1.0,)),
        },
    }
)
EFFECTS = {"a": -0.3, "b": -0.1, "c": 0.1, "d": 0.3}
ERROR = 0.03


def truth(team: Team) -> float:
    """Models, numbers and temperatures count, each a little differently by topology."""
    heat = -0.2 * (float(team.knobs["temperature"]) - 0.5) ** 2
    if team.topology == "cascade":
        first, then = EFFECTS[str(team.knobs["first"])], EFFECTS[str(team.knobs["then"])]
        return 0.6 * then + 0.4 * first + 0.02 * float(team.knobs["votes"]) + heat
    gain = 0.03 * float(team.knobs["agents"]) if team.topology == "vote" else 0.0
    return EFFECTS[str(team.knobs["model"])] + gain + heat


@cache
def universe() -> Universe:
    return Universe(SPACE, 0)


def true_values() -> Floats:
    return np.array([truth(team) for team in universe().teams])


def measured(seed: int, count: int) -> tuple[NDArray[np.int64], Floats, Floats]:
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(universe()), count, replace=False)
    return chosen, true_values()[chosen] + rng.normal(0, ERROR, count), np.full(count, ERROR**2)


def foretold(
    known: NDArray[np.int64], values: Floats, variances: Floats, fresh: Floats, prior: Floats | None = None
) -> Prediction:
    """What is to be expected of every team of the universe, in its order."""
    rows = np.concatenate([known, np.setdiff1d(np.arange(len(universe())), known)])
    found = universe().predict(rows, known, values, variances, fresh, prior)
    order = np.argsort(rows)
    return Prediction(mean=found.mean[order], variance=found.variance[order])


def test_every_team_of_a_space_is_in_it_once() -> None:
    assert len(universe()) == len(SPACE)
    assert {team.id for team in universe().teams} == {team.id for team in SPACE.teams()}
    assert all(universe().teams[index].id == name for name, index in universe().index.items())


def test_teams_that_were_not_measured_are_foretold_much_better_than_by_the_mean() -> None:
    explained, ratios = [], []
    for seed in range(10):
        chosen, values, variances = measured(seed, 40)
        found = foretold(chosen, values, variances, np.ones(40))
        rest = np.setdiff1d(np.arange(len(universe())), chosen)
        errors = found.mean[rest] - true_values()[rest]
        explained.append(1 - (errors**2).mean() / ((true_values()[rest] - values.mean()) ** 2).mean())
        ratios += list(errors / np.sqrt(found.variance[rest]))
    assert np.mean(explained) > 0.8
    assert 0.6 < np.sqrt(np.mean(np.square(ratios))) < 1.4  # neither too sure nor too unsure
    assert np.mean(np.abs(ratios) < 1.96) > 0.88


def test_more_measurements_make_better_predictions() -> None:
    def error(count: int) -> float:
        found = []
        for seed in range(5):
            chosen, values, variances = measured(seed, count)
            mean = foretold(chosen, values, variances, np.ones(count)).mean
            found.append(((mean - true_values()) ** 2).mean())
        return float(np.mean(found))

    assert error(120) < error(40) < error(10)


def test_a_team_that_was_measured_keeps_what_is_its_own() -> None:
    chosen, values, variances = measured(1, 60)
    odd = values.copy()
    odd[0] += 0.3  # unlike anything near it
    mean = foretold(chosen, odd, variances, np.ones(60)).mean
    before = foretold(chosen, values, variances, np.ones(60)).mean
    moved = mean - before
    assert moved[chosen[0]] > 0.1
    assert np.abs(np.delete(moved, chosen[0])).max() < moved[chosen[0]]
    variance = foretold(chosen, values, variances, np.ones(60)).variance
    assert variance[chosen].max() < np.delete(variance, chosen).mean()
    assert (variance > 0).all()


def test_what_others_calls_say_again_counts_for_less() -> None:
    chosen, values, variances = measured(2, 40)
    fresh = foretold(chosen, values, variances * 10, np.ones(40))
    shared = foretold(chosen, values, variances * 10, np.full(40, 0.05))
    rest = np.setdiff1d(np.arange(len(universe())), chosen)
    assert shared.variance[rest].mean() > 1.3 * fresh.variance[rest].mean()
    own = np.ones(40)
    own[0] = 0.01
    values[0] += 1.0  # a stroke of luck that others share
    kind = [i for i in rest if universe().teams[i].models == universe().teams[chosen[0]].models]
    with_luck = foretold(chosen, values, variances * 10, np.ones(40)).mean[kind].mean()
    without = foretold(chosen, values, variances * 10, own).mean[kind].mean()
    assert without < with_luck


def test_what_is_known_beforehand_need_not_be_measured() -> None:
    chosen, values, variances = measured(3, 3)
    prior = true_values() - 5.0  # all that is wrong with it is a constant
    with_prior = foretold(chosen, values, variances, np.ones(3), prior).mean
    without = foretold(chosen, values, variances, np.ones(3)).mean
    assert ((with_prior - true_values()) ** 2).mean() < 0.1 * ((without - true_values()) ** 2).mean()


def test_of_some_teams_it_says_what_it_says_of_them_among_all() -> None:
    chosen, values, variances = measured(4, 20)
    whole = foretold(chosen, values, variances, np.ones(20))
    rows = np.concatenate([chosen, np.setdiff1d([3, 50, 90], chosen)])
    found = universe().predict(rows, chosen, values, variances, np.ones(20))
    assert found.mean == pytest.approx(whole.mean[rows])
    assert found.variance == pytest.approx(whole.variance[rows])


def test_one_measurement_is_enough_to_begin_with() -> None:
    found = foretold(np.array([5]), np.array([0.7]), np.array([0.01]), np.ones(1))
    assert np.isfinite(found.mean).all()
    assert found.mean[5] == pytest.approx(0.7, abs=0.01)
    assert (found.variance > 0).all()


def test_of_a_large_space_a_seeded_part_is_looked_at_with_the_users_teams() -> None:
    many = Grid(tuple(round(0.001 * i, 3) for i in range(1200)))
    large = Space({"vote": {"agents": Grid((2, 3, 4, 5, 6, 7, 8, 9)), "model": MODELS, "temperature": many}})
    own = Team("vote", {"agents": 4, "model": "b", "temperature": 0.5})
    one, same, other = (Universe(large, seed, start=[own]) for seed in (1, 1, 2))
    assert len(large) > MOST_TEAMS >= len(one) - 1
    assert [team.id for team in one.teams] == [team.id for team in same.teams]
    assert [team.id for team in one.teams] != [team.id for team in other.teams]
    assert own.id in one.index
    assert own.id in other.index
