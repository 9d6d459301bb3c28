"""The benchmark of routing policies: its curves, its oracle, and that it finds what is there."""

import sys

import pytest
from support import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

from routing import TABLE, Row, area, compare, hull, oracle, read


def test_a_hull_keeps_the_points_that_no_mixture_beats() -> None:
    assert hull([(1, 0.2), (2, 0.3), (3, 0.8), (4, 0.7), (1, 0.1)]) == [(1, 0.2), (3, 0.8)]
    assert hull([(1, 0.5)]) == [(1, 0.5)]


def test_an_area_is_the_mean_quality_over_the_budgets() -> None:
    assert area([(0, 0.0), (1, 1.0)], 0, 1) == pytest.approx(0.5)
    assert area([(0, 0.4), (1, 0.2)], 0, 1) == pytest.approx(0.4)  # nobody has to spend more for less


def test_the_oracle_upgrades_where_it_gains_most_per_joule() -> None:
    rows = [
        Row("a", {"small": 1, "large": 1}, {"small": 1, "large": 9}),
        Row("b", {"small": 0, "large": 1}, {"small": 1, "large": 5}),
        Row("c", {"small": 0, "large": 1}, {"small": 1, "large": 9}),
        Row("d", {"small": 0, "large": 0}, {"small": 1, "large": 9}),
    ]
    assert oracle(rows, ["small", "large"]) == [(1.0, 0.25), (2.0, 0.5), (4.0, 0.75)]


def made(count: int = 160) -> list[Row]:
    """``small`` answers sums; ``large`` answers everything, for ten times the joules."""
    rows = []
    for i in range(count):
        question = f"What is {i} + {3 * i}?" if i % 2 else f"Which river is in {chr(97 + i % 26)}{i}?"
        rows.append(Row(question, {"small": float(i % 2), "large": 1.0}, {"small": 1.0, "large": 10.0}))
    return rows


def test_policies_that_learn_come_near_the_oracle_where_questions_show_their_kind() -> None:
    found = compare(made(), learn=80, seeds=2)
    assert found["random"] == [0.0, 0.0]
    for name in ("cost_aware", "nearest neighbours"):
        assert min(found[name]) > 0.7, name
    assert max(max(values) for values in found.values()) <= 1.0 + 1e-9


def test_where_questions_show_nothing_no_policy_gains() -> None:
    rows = [Row(f"word{7919 * i}x", row.scores, row.joules) for i, row in enumerate(made())]
    found = compare(rows, learn=80, seeds=2)
    assert abs(found["cost_aware"][0] - found["best mixture of singles"][0]) < 0.15


def test_the_recorded_table_has_every_model_for_every_question() -> None:
    rows = read(TABLE)
    assert len(rows) == 305
    models = set(rows[0].scores)
    assert len(models) == 3
    for row in rows:
        assert set(row.scores) == set(row.joules) == models
        assert all(joules > 0 for joules in row.joules.values())
