"""How probable it is that a team is on the front."""

from collections.abc import Mapping

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from measured_rows import rng, rows

from orkester.errors import InputError
from orkester.evals.objectives import Direction
from orkester.optim.goals.front_probability import front_probability, near_members, rivals, seeded

OBJECTIVES: Mapping[str, Direction] = {"quality": "maximize", "latency_p50_s": "minimize", "energy_j": "minimize"}
TWO: Mapping[str, Direction] = {"quality": "maximize", "energy_j": "minimize"}


# -- probability of the front -----------------------------------------------------------------------------------------


def test_clear_members_are_certain_and_a_clearly_beaten_team_is_not_one() -> None:
    n = 60
    work = rng(2).lognormal(0, 0.2, n)
    teams = {
        "good": rows(score=np.arange(n) % 10 != 0, energy_j=5 * work),
        "lean": rows(score=np.arange(n) % 2 == 0, energy_j=work),
        "bad": rows(score=np.arange(n) % 3 == 0, energy_j=9 * work),
    }
    found = front_probability(teams, TWO, rng())
    assert found["good"] > 0.99
    assert found["lean"] > 0.99
    assert found["bad"] < 0.01
    assert list(found) == list(teams)
    assert found == front_probability(teams, TWO, rng())  # the seed is all


def test_all_right_is_not_certain() -> None:
    """Ten of ten and nine of ten at the same joules: the second is on the front in a good part of the draws."""
    same = np.full(10, 3.0)
    teams = {"ten": rows(score=np.ones(10), energy_j=same), "nine": rows(score=np.arange(10) > 0, energy_j=same)}
    found = front_probability(teams, TWO, rng())
    assert 0.05 < found["nine"] < 0.4
    assert found["ten"] + found["nine"] == pytest.approx(1, abs=0.01)


def test_pairs_on_the_same_examples_tell_more_than_two_lone_teams() -> None:
    """A twentieth fewer joules on every single example is clear, though examples differ by far more."""
    work = rng(3).lognormal(0, 1, 40)
    score = np.arange(40) % 2 == 0
    paired = {"a": rows(score=score, energy_j=work), "b": rows(score=score, energy_j=1.05 * work)}
    shuffled = {"a": paired["a"], "b": rows(score=score, energy_j=1.05 * rng(4).permutation(work))}
    energy: Mapping[str, Direction] = {"energy_j": "minimize"}
    assert front_probability(paired, energy, rng())["b"] < 0.001
    assert front_probability(shuffled, energy, rng())["b"] > 0.2


def test_what_is_not_known_is_never_on_the_front_and_beats_nobody() -> None:
    known = rows(score=[0.0, 1.0, 1.0], energy_j=[3.0, 3.0, 3.0])
    unknown = rows(score=[1.0, 1.0, 1.0])
    assert front_probability({"known": known, "unknown": unknown}, TWO, rng()) == {"known": 1.0, "unknown": 0.0}
    assert front_probability({"unknown": unknown}, TWO, rng()) == {"unknown": 0.0}
    assert front_probability({}, TWO, rng()) == {}
    per_success: Mapping[str, Direction] = {"energy_j_per_success": "minimize"}
    assert front_probability({"a": rows(energy_j=[1.0, 2.0])}, per_success, rng()) == {"a": 0.0}
    with pytest.raises(InputError, match=r"unknown objective 'beauty'\. Known: calls"):
        front_probability({"known": known}, {"beauty": "maximize"}, rng())


def test_joules_by_block_are_as_uncertain_as_the_blocks_are_few() -> None:
    sizes = (8,) * 5
    a = np.repeat([10.0, 14.0, 9.0, 13.0, 12.0], 8)
    b = np.repeat([11.0, 12.0, 12.5, 11.0, 13.5], 8)
    energy: Mapping[str, Direction] = {"energy_j": "minimize"}
    by_block = front_probability({"a": rows(sizes, energy_j=a), "b": rows(sizes, energy_j=b)}, energy, rng())
    by_example = front_probability({"a": rows(energy_j=a), "b": rows(energy_j=b)}, energy, rng())
    assert abs(by_block["a"] - 0.5) < abs(by_example["a"] - 0.5)


def test_every_kind_of_objective_can_be_drawn() -> None:
    teams = {
        name: rows(
            (10, 10),
            score=rng(seed).random(20) < 0.7,
            latency_s=rng(seed).lognormal(0, 0.5, 20),
            energy_j=np.repeat(rng(seed).lognormal(0, 0.1, 2), 10),
            calls=np.full(20, 2.0),
        )
        for seed, name in enumerate("abcd")
    }
    every: Mapping[str, Direction] = {
        "latency_p50_s": "minimize",
        "latency_p95_s": "minimize",
        "latency_mean_s": "minimize",
        "energy_j_per_success": "minimize",
        "calls": "minimize",
    }
    found = front_probability(teams, every, rng())
    assert all(0 <= p <= 1 for p in found.values())
    assert sum(found.values()) >= 1  # someone is on every front


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 6), st.integers(2, 30), st.integers(0, 1000))
def test_the_front_has_at_least_one_member_and_another_objective_only_adds(teams: int, n: int, seed: int) -> None:
    draw = rng(seed)
    found = {
        str(i): rows(score=draw.random(n) < 0.6, energy_j=draw.lognormal(0, 1, n), latency_s=draw.lognormal(0, 1, n))
        for i in range(teams)
    }
    one = front_probability(found, {"latency_p50_s": "minimize"}, rng(seed), draws=300)
    assert sum(one.values()) >= 0.999
    more = front_probability(found, {"latency_p50_s": "minimize", "quality": "maximize"}, rng(seed), draws=300)
    # The same draws of weights: a team that is first in latency stays on, but for ties.
    assert all(more[team] >= one[team] - 0.05 or n < 8 for team in found)


# -- near members -----------------------------------------------------------------------------------------------------


def test_near_members_are_those_whose_optimistic_corner_is_not_beaten() -> None:
    n = 40
    work = rng(5).lognormal(0, 0.3, n)
    flips = np.arange(n)
    search = {
        "member": rows(score=flips % 10 != 0, energy_j=work, latency_s=work),
        "near": rows(score=flips % 8 != 0, energy_j=1.02 * work * rng(6).lognormal(0, 0.2, n), latency_s=1.01 * work),
        "beaten": rows(score=flips % 3 == 0, energy_j=4 * work, latency_s=3 * work),
        "unmetered": rows(score=np.ones(n), latency_s=work),
    }
    found = near_members(search, OBJECTIVES)
    assert list(found) == ["member", "near"]
    assert found["member"] == 1.0
    assert 0.05 < found["near"] < 1.0
    assert near_members({"unmetered": search["unmetered"]}, OBJECTIVES) == {}


# -- rivals -----------------------------------------------------------------------------------------------------------


def test_rivals_are_those_that_may_beat_a_team_and_nobody_else() -> None:
    n = 40
    teams = {
        "open": rows(score=np.arange(n) % 5 != 0, energy_j=np.full(n, 2.0)),
        "cheaper": rows(score=np.arange(n) % 4 != 0, energy_j=np.full(n, 1.0)),
        "better and dearer": rows(score=np.ones(n), energy_j=np.full(n, 9.0)),
        "worse": rows(score=np.arange(n) % 5 == 0, energy_j=np.full(n, 1.5)),
        "unmetered": rows(score=np.ones(n)),
    }
    assert rivals(teams, ["open"], TWO, rng()) == {"cheaper"}
    assert rivals(teams, ["unmetered"], TWO, rng()) == set()
    assert rivals({}, [], TWO, rng()) == set()


def test_the_seed_is_what_the_objectives_see() -> None:
    teams = {"a": rows(score=[1.0, 0.0], energy_j=[1.0, 2.0], latency_s=[1.0, 2.0])}
    slower = {"a": rows(score=[1.0, 0.0], energy_j=[1.0, 2.0], latency_s=[3.0, 4.0])}
    hungrier = {"a": rows(score=[1.0, 0.0], energy_j=[1.0, 3.0], latency_s=[1.0, 2.0])}
    first = seeded(teams, TWO).random()
    assert seeded(slower, TWO).random() == first
    assert seeded(hungrier, TWO).random() != first
