"""Intervals, against published tables, by their properties, and by how often they cover what they should."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orkester.evals.stats.intervals import (
    MIN_BLOCKS,
    bootstrap_mean,
    mean_interval,
    quantile,
    quantile_interval,
    ratio_interval,
    student_t,
    student_tail,
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
    found = bootstrap_mean(values)
    assert found == bootstrap_mean(list(values))
    assert found is not None
    assert min(values) - spread <= found[0] <= found[1] <= max(values) + spread


def test_equal_values_have_an_interval_of_no_width() -> None:
    assert bootstrap_mean([3.0] * 8) == (3.0, 3.0)


def test_too_few_values_have_no_interval() -> None:
    assert bootstrap_mean([]) is None
    assert bootstrap_mean([1.0]) is None
    assert bootstrap_mean([1.0, 2.0]) is not None


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
}


@pytest.mark.parametrize("what", DRAWS)
def test_intervals_cover_the_truth_about_as_often_as_they_say(what: str) -> None:
    draw, truth = DRAWS[what]
    rng = np.random.default_rng(7)
    intervals = [interval for _ in range(400) if (interval := draw(rng)) is not None]
    assert len(intervals) == 400
    covered = sum(low <= truth <= high for low, high in intervals) / len(intervals)
    # 95 % is meant; four standard deviations of the count itself are 4.4 %, and small samples fall a little short.
    assert 0.88 <= covered <= 0.99


# -- Student's t, exactly ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("p", "freedom", "t"), [(0.999, 1, 318.309), (0.999, 2, 22.327), (0.999, 3, 10.215), (0.999, 7, 4.785)]
)
def test_students_t_is_exact_far_out_too(p: float, freedom: int, t: float) -> None:
    assert student_t(p, freedom) == pytest.approx(t, rel=1e-4)


@settings(max_examples=60, deadline=None)
@given(st.floats(0.001, 0.999), st.integers(1, 200))
def test_the_tail_of_students_t_is_its_quantile_turned_round(p: float, freedom: int) -> None:
    assert student_tail(student_t(p, freedom), freedom) == pytest.approx(1 - p, rel=1e-6)


def test_students_t_refuses_what_is_no_probability() -> None:
    with pytest.raises(ValueError, match=r"got p=1\.0"):
        student_t(1.0, 3)
    with pytest.raises(ValueError, match="got 0"):
        student_tail(1.0, 0)
    with pytest.raises(ValueError, match="freedom=0"):
        student_t(0.9, 0)


@given(st.floats(-40, 40))
@example(1e-8)
def test_the_tail_of_one_and_of_two_degrees_of_freedom_is_the_closed_form(t: float) -> None:
    assert student_tail(t, 1) == pytest.approx(math.atan2(1, t) / math.pi, rel=1e-9)
    assert student_tail(t, 2) == pytest.approx(0.5 - t / (2 * math.sqrt(2 + t * t)), rel=1e-9, abs=1e-15)


#: Computed by the sums and bisections that were here before scipy.
VALUES_OF_TEN = [0.8, 1.1, 2.9, 0.7, 1.3, 4.2, 0.9, 1.6, 1.0, 2.2]
RECORDED: list[tuple[object, object]] = [
    (student_tail(0.5, 1), 0.35241638234956674),
    (student_tail(1.7, 7), 0.06646444839127758),
    (student_tail(2.5, 20), 0.010616772719566181),
    (student_tail(6.0, 3), 0.00463635744614227),
    (student_tail(-3.0, 123), 0.9983655293184952),
    (student_t(0.6, 1), 0.32491969623290606),
    (student_t(0.975, 3), 3.1824463052837064),
    (student_t(0.995, 20), 2.8453397097861055),
    (student_t(0.9995, 7), 5.407882520861682),
    (student_t(0.001, 400), -3.1107312738164357),
    (wilson(0, 8), (0.0, 0.3244075648838801)),
    (wilson(7, 30), (0.11792388144489502, 0.4092832615812217)),
    (wilson(500, 500), (0.9923756595384479, 1.0)),
    (mean_interval(VALUES_OF_TEN), (1.0284365738200472, 2.962382811025809)),
    (bootstrap_mean(VALUES_OF_TEN), (1.0100000000000002, 2.5300000000000002)),
    (ratio_interval(VALUES_OF_TEN, [1, 2, 3, 2, 1, 2, 3, 2, 1, 2]), (0.4623234741375883, 1.2955712627045168)),
    (quantile_interval(VALUES_OF_TEN, 0.5), (0.8657657657657658, 2.4396396396396396)),
    (quantile_interval([i**1.5 for i in range(124)], 0.95), (1188.6606356133182, 1337.4355869212563)),
]


@pytest.mark.parametrize(("found", "recorded"), RECORDED)
def test_scipys_functions_give_what_our_own_gave(found: object, recorded: object) -> None:
    assert found == pytest.approx(recorded, rel=1e-9)


# -- order statistics -------------------------------------------------------------------------------------------------


def test_the_interval_of_a_median_lies_between_the_ranks_that_enclose_it() -> None:
    # P(Bin(20, ½) <= 5) = 0.0207 and <= 6 0.0577: from between the 6th and 7th to between the 14th and 15th.
    low, high = quantile_interval([float(i) for i in range(1, 21)], 0.5)
    assert low is not None
    assert high is not None
    assert 6 < low < 7
    assert low + high == pytest.approx(21)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=150), st.sampled_from([0.05, 0.5, 0.95]))
@example([0.0, 0.0, 0.0, 0.0, 63.0, 63.0], 0.5)
def test_ends_of_a_quantile_are_ordered_within_what_was_seen_and_turn_with_it(values: list[float], q: float) -> None:
    low, high = quantile_interval(values, q)
    if low is not None and high is not None:
        assert min(values) <= low <= high <= max(values)
    turned = quantile_interval([-value for value in values], 1 - q)
    assert turned == pytest.approx((None if high is None else -high, None if low is None else -low))


def test_an_end_beyond_everything_seen_is_none() -> None:
    for n, known in ((71, False), (72, True)):
        low, high = quantile_interval([float(i) for i in range(n)], 0.95)
        assert low is not None
        assert (high is not None) is known
    assert quantile_interval([1.0] * 5, 0.5) == (None, None)
    assert quantile_interval([1.0] * 6, 0.5) == (1.0, 1.0)
    assert quantile_interval([], 0.5) == (None, None)
    with pytest.raises(ValueError, match=r"got 1\.0"):
        quantile_interval([1.0], 1.0)


def test_a_quantile_of_thousands_has_an_interval() -> None:
    low, high = quantile_interval([float(i) for i in range(1, 5001)], 0.5)
    assert low is not None
    assert high is not None
    # The normal approximation of the ranks: 2500.5 ∓ 1.96 × √5000 ÷ 2.
    assert (low, high) == pytest.approx((2500.5 - 69.3, 2500.5 + 69.3), abs=1.0)


# -- skewed means and ratios ------------------------------------------------------------------------------------------


def test_the_interval_of_a_skewed_mean_reaches_further_to_the_long_side() -> None:
    values = list(np.random.default_rng(2).lognormal(0, 1, 30))
    found = mean_interval(values)
    assert found is not None
    low, high = found
    mean = sum(values) / len(values)
    assert low < mean < high
    assert high - mean > 1.2 * (mean - low)
    mirrored = mean_interval([-value for value in values])
    assert mirrored == pytest.approx((-high, -low))
    scaled = mean_interval([3 * value + 1 for value in values])
    assert scaled == pytest.approx((3 * low + 1, 3 * high + 1))


def test_without_skew_it_is_students() -> None:
    values = [1.0, 2.0, 3.0, 4.0, 5.0]
    half = 2.776 * math.sqrt(2.5 / 5)
    assert mean_interval(values) == pytest.approx((3 - half, 3 + half), rel=1e-3)
    assert mean_interval([2.0, 2.0, 2.0]) == (2.0, 2.0)
    assert mean_interval([1.0, 2.0]) is None


def test_the_ratio_of_equal_blocks_is_students_of_their_means() -> None:
    half = 4.303 * 1 / math.sqrt(3)
    assert ratio_interval([36.0, 40.0, 44.0], [4, 4, 4]) == pytest.approx((10 - half, 10 + half), rel=1e-3)
    assert ratio_interval([0.0, 0.0, 9.0], [1, 1, 1]) == pytest.approx((0.0, 3 + 4.303 * 3), rel=1e-3)
    assert ratio_interval([6.0, 9.0, 3.0], [2, 3, 1]) == (3.0, 3.0)
    assert ratio_interval([6.0] * (MIN_BLOCKS - 1), [2] * (MIN_BLOCKS - 1)) is None
    with pytest.raises(ValueError, match="they are 2 and 1"):
        ratio_interval([1.0, 2.0], [1])


#: 95 % meant. Found with 3,000 draws each: 95.5, 94.7, 94.8, 93.8, 91.8, 94.6 and 94.9 %. The bootstrap of this file
#: covers 92 to 94 % for medians of 20, 92 % for p95 of 124, 90 % for the mean of 40, 75 % for 3 blocks, 94 % for 8.
COVERS: dict[str, tuple[Callable[[np.random.Generator], tuple[float | None, float | None] | None], float]] = {
    "median of 20": (lambda rng: quantile_interval(rng.lognormal(0, 0.6, 20).tolist(), 0.5), 1.0),
    "median of 40 of a cascade": (
        lambda rng: quantile_interval(
            (np.where(rng.random(40) < 0.4, 5, 1) * np.exp(0.1 * rng.normal(size=40))).tolist(), 0.5
        ),
        math.exp(0.1 * 0.9674),
    ),
    "p95 of 124": (lambda rng: quantile_interval(rng.lognormal(0, 0.6, 124).tolist(), 0.95), math.exp(0.6 * 1.64485)),
    "mean of 20": (lambda rng: mean_interval(rng.lognormal(0, 0.6, 20).tolist()), math.exp(0.18)),
    "mean of 40, σ 1": (lambda rng: mean_interval(rng.lognormal(0, 1, 40).tolist()), math.exp(0.5)),
    "3 blocks": (lambda rng: ratio_interval(rng.lognormal(0, 0.2, 3).tolist(), [1] * 3), math.exp(0.02)),
    "8 blocks": (lambda rng: ratio_interval(rng.lognormal(0, 0.2, 8).tolist(), [1] * 8), math.exp(0.02)),
}


@pytest.mark.parametrize("what", COVERS)
def test_the_better_intervals_cover_what_they_say(what: str) -> None:
    draw, truth = COVERS[what]
    rng = np.random.default_rng(12)
    covered, times = 0, 1000
    for _ in range(times):
        low, high = draw(rng) or (None, None)
        covered += (low is None or low <= truth) and (high is None or truth <= high)
    # Two standard deviations of the count are 1.4 %. So heavy a tail is beyond any of them with 40 values.
    assert (0.89 if "σ 1" in what else 0.92) <= covered / times <= 0.98


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=60), st.sampled_from([0.05, 0.5, 0.95]))
def test_a_quantile_is_numpys(values: list[float], q: float) -> None:
    assert quantile(values, q) == float(np.quantile(values, q))
