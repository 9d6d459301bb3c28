"""Intervals, against published tables, by their properties, and by how often they cover what they should."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orkester.evals.statistics import (
    MIN_BLOCKS,
    bootstrap_blocks,
    bootstrap_mean,
    bootstrap_quantile,
    student_t,
    wilson,
)

SHARES = st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


# -- Wilson -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    # Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17, 1998, table I.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_is_as_published(successes: int, n: int, low: float, high: float) -> None:
    assert wilson(successes, n) == pytest.approx((low, high), abs=5e-5)


@settings(max_examples=100, deadline=None)
@given(SHARES)
def test_wilson_contains_the_share_and_stays_within_0_and_1(asked: tuple[int, int]) -> None:
    successes, n = asked
    low, high = wilson(successes, n)
    assert 0 <= low <= successes / n <= high <= 1
    assert low < high


@settings(max_examples=100, deadline=None)
@given(SHARES)
def test_wilson_is_symmetric(asked: tuple[int, int]) -> None:
    successes, n = asked
    low, high = wilson(successes, n)
    assert wilson(n - successes, n) == pytest.approx((1 - high, 1 - low), abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(SHARES, st.integers(2, 20))
def test_wilson_narrows_with_more_of_the_same(asked: tuple[int, int], times: int) -> None:
    successes, n = asked
    low, high = wilson(successes, n)
    low_of_more, high_of_more = wilson(successes * times, n * times)
    assert high_of_more - low_of_more < high - low


@settings(max_examples=50, deadline=None)
@given(SHARES)
def test_wilson_widens_with_confidence_and_moves_with_successes(asked: tuple[int, int]) -> None:
    successes, n = asked
    low, high = wilson(successes, n)
    assert wilson(successes, n, 0.99)[0] <= low < high <= wilson(successes, n, 0.99)[1]
    if successes < n:
        next_low, next_high = wilson(successes + 1, n)
        assert next_low > low
        assert next_high > high


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (-1, 5), (6, 5)])
def test_wilson_refuses_what_is_no_share(successes: int, n: int) -> None:
    with pytest.raises(ValueError, match=f"got successes={successes}, n={n}"):
        wilson(successes, n)


# -- Student's t ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("p", "freedom", "t"),
    [
        (0.975, 1, 12.706),
        (0.975, 2, 4.303),
        (0.975, 3, 3.182),
        (0.975, 4, 2.776),
        (0.975, 5, 2.571),
        (0.975, 10, 2.228),
        (0.975, 30, 2.042),
        (0.975, 120, 1.980),
        (0.95, 1, 6.314),
        (0.95, 2, 2.920),
        (0.95, 5, 2.015),
        (0.95, 10, 1.812),
        (0.5, 7, 0.0),
    ],
)
def test_students_t_is_as_tabulated(p: float, freedom: int, t: float) -> None:
    assert student_t(p, freedom) == pytest.approx(t, rel=0.01)
    assert student_t(1 - p, freedom) == pytest.approx(-t, rel=0.01)


# -- the bootstrap ----------------------------------------------------------------------------------------------------

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30)


@settings(max_examples=40, deadline=None)
@given(VALUES)
def test_the_same_data_give_the_same_interval_within_their_range(values: list[float]) -> None:
    spread = max(abs(value) for value in values) * 1e-9
    for interval in (bootstrap_mean, lambda v: bootstrap_quantile(v, 0.5), lambda v: bootstrap_quantile(v, 0.95)):
        found = interval(values)
        assert found == interval(list(values))
        assert found is not None
        assert min(values) - spread <= found[0] <= found[1] <= max(values) + spread


def test_equal_values_have_an_interval_of_no_width() -> None:
    assert bootstrap_mean([3.0] * 8) == (3.0, 3.0)
    assert bootstrap_quantile([3.0] * 8, 0.95) == (3.0, 3.0)
    assert bootstrap_blocks([6.0] * 4, [2] * 4) == (3.0, 3.0)


def test_too_few_values_have_no_interval() -> None:
    assert bootstrap_mean([]) is None
    assert bootstrap_mean([1.0]) is None
    assert bootstrap_quantile([1.0], 0.5) is None
    assert bootstrap_mean([1.0, 2.0]) is not None
    for count in range(MIN_BLOCKS):
        assert bootstrap_blocks([1.0] * count, [4] * count) is None
    assert bootstrap_blocks([1.0, 2.0, 3.0], [4, 4, 4]) is not None


def test_as_many_totals_as_counts_are_needed() -> None:
    with pytest.raises(ValueError, match="got 3 and 2"):
        bootstrap_blocks([1.0, 2.0, 3.0], [4, 4])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1e5), st.integers(1, 16)), min_size=MIN_BLOCKS, max_size=12))
def test_blocks_lie_between_the_leanest_and_the_hungriest(blocks: list[tuple[float, int]]) -> None:
    totals, counts = [total for total, _ in blocks], [count for _, count in blocks]
    found = bootstrap_blocks(totals, counts)
    assert found is not None
    each = [total / count for total, count in blocks]
    assert min(each) - 1e-6 <= found[0] <= found[1] <= max(each) + 1e-6


def test_more_confidence_is_a_wider_interval() -> None:
    values = list(np.random.default_rng(1).normal(size=20))
    narrow, wide = bootstrap_mean(values, 0.5), bootstrap_mean(values, 0.99)
    assert narrow is not None
    assert wide is not None
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


Draw = Callable[[np.random.Generator], tuple[float, float] | None]

DRAWS: dict[str, tuple[Draw, float]] = {
    "mean of 10, normal": (lambda rng: bootstrap_mean(list(rng.normal(5, 2, 10))), 5),
    "mean of 30, exponential": (lambda rng: bootstrap_mean(list(rng.exponential(1, 30))), 1),
    "median of 25, exponential": (lambda rng: bootstrap_quantile(list(rng.exponential(1, 25)), 0.5), math.log(2)),
    "5 blocks of 4": (lambda rng: bootstrap_blocks(list(rng.normal(40, 8, 5)), [4] * 5), 10),
}


@pytest.mark.parametrize("what", DRAWS)
def test_intervals_cover_the_truth_about_as_often_as_they_say(what: str) -> None:
    draw, truth = DRAWS[what]
    rng = np.random.default_rng(7)
    intervals = [interval for _ in range(400) if (interval := draw(rng)) is not None]
    assert len(intervals) == 400
    covered = sum(low <= truth <= high for low, high in intervals) / len(intervals)
    # 95 % is meant; four standard deviations of the count itself are 4.4 %, and small samples fall a little short. The
    # plain percentile interval of 5 blocks covers 82 %.
    assert 0.88 <= covered <= 0.99
