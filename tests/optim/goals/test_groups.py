"""Front members that cannot be told apart are grouped."""

import hypothesis.strategies as st
import numpy as np
from hypothesis import given, settings

from orkester.evals.stats.rows import Rows
from orkester.optim.goals.groups import grouped, told_apart

OBJECTIVES = {"quality": "maximize", "calls": "minimize"}


def rows(scores: list[float], calls: float = 1.0) -> Rows:
    return Rows(columns={"score": np.array(scores), "calls": np.full(len(scores), calls)})


GOOD, BAD = rows([1.0] * 30), rows([0.0] * 30)
HALF, OTHER_HALF = rows([1.0, 0.0] * 15), rows([0.0, 1.0] * 15)


def test_a_difference_in_one_objective_is_enough() -> None:
    assert told_apart(GOOD, BAD, OBJECTIVES)
    assert told_apart(rows([1.0] * 30, calls=3.0), GOOD, OBJECTIVES)
    assert not told_apart(HALF, OTHER_HALF, OBJECTIVES)
    assert not told_apart(GOOD, GOOD, OBJECTIVES)


def test_it_does_not_matter_who_is_named_first() -> None:
    for one in (GOOD, BAD, HALF, OTHER_HALF):
        for other in (GOOD, BAD, HALF, OTHER_HALF):
            assert told_apart(one, other, OBJECTIVES) == told_apart(other, one, OBJECTIVES)


def test_few_examples_tell_nobody_apart() -> None:
    assert not told_apart(rows([1.0, 1.0]), rows([0.0, 0.0]), OBJECTIVES)


def test_a_team_without_the_objective_is_by_itself() -> None:
    without = Rows(columns={"score": np.ones(30)})
    assert told_apart(GOOD, without, OBJECTIVES)


def test_teams_join_the_first_group_they_can_and_the_last_phase_decides() -> None:
    by_team = {"a": [HALF], "b": [GOOD], "c": [OTHER_HALF], "d": [GOOD, BAD], "e": [GOOD, GOOD]}
    assert grouped(["a", "b", "c", "d", "e"], by_team, OBJECTIVES) == [["a", "c"], ["b", "d", "e"]]
    assert grouped(["d", "e"], by_team, OBJECTIVES) == [["d"], ["e"]]
    assert grouped(["x", "y"], {}, OBJECTIVES) == [["x"], ["y"]]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.lists(st.sampled_from([0.0, 1.0]), min_size=20, max_size=20), min_size=1, max_size=6))
def test_every_team_is_in_one_group(scores: list[list[float]]) -> None:
    by_team = {f"t{i}": [rows(each)] for i, each in enumerate(scores)}
    groups = grouped(list(by_team), by_team, OBJECTIVES)
    assert sorted(team for group in groups for team in group) == sorted(by_team)
    assert all(not told_apart(by_team[group[0]][0], by_team[team][0], OBJECTIVES) for group in groups for team in group)
