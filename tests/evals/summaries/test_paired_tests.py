"""Racing: exactness where there is an exact answer, and by simulation how often a look errs."""

import math
from collections.abc import Callable, Mapping
from statistics import NormalDist

import hypothesis.strategies as st
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings

from orkester.errors import InputError
from orkester.evals.objectives import Direction, objective, objectives
from orkester.evals.records.block import Block, Call, ExampleResult
from orkester.evals.stats.rows import Rows
from orkester.evals.stats.weighting import (
    binomial,
    mean_lower,
    mean_upper,
    paired_quantile_p,
    quantile_lower,
    share_upper,
    weighted_mean_p,
)
from orkester.evals.summaries.paired_tests import (
    beaten_p,
    dominating_member,
    examples_needed,
    look_level,
    optimistic_bound,
)
from orkester.evals.summaries.rows import team_rows

Floats = npt.NDArray[np.float64]
BLOCK, LOOKS = 8, 8
QUALITY: Mapping[str, Direction] = {"quality": "maximize"}
LATENCY: Mapping[str, Direction] = {"latency_p50_s": "minimize"}
ENERGY: Mapping[str, Direction] = {"energy_j": "minimize"}
ALL: Mapping[str, Direction] = {**QUALITY, **LATENCY, **ENERGY}


def rows(block_sizes: tuple[int, ...] = (), **columns: Floats | list[float]) -> Rows:
    return Rows(columns={k: np.asarray(v, dtype=float) for k, v in columns.items()}, block_sizes=block_sizes)


def first(team: Rows, n: int) -> Rows:
    """The team after n examples."""
    kept = tuple(np.array(team.block_sizes)[np.cumsum(team.block_sizes) <= n]) if team.block_sizes else ()
    return Rows(columns={k: v[:n] for k, v in team.columns.items()}, block_sizes=kept)


def ever_beaten(candidate: Rows, member: Rows, objectives: Mapping[str, Direction], alpha: float) -> bool:
    """Whether the candidate is dropped at any look against a member that was measured whole."""
    level = look_level(alpha, LOOKS)
    looks = (first(candidate, BLOCK * k) for k in range(1, LOOKS + 1))
    return any(dominating_member(seen, [member], objectives, level=level) is not None for seen in looks)


# -- error over the looks ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("looks", "boundary"), [(1, 1.960), (2, 2.178), (5, 2.413), (10, 2.555)])
def test_the_boundary_is_pococks(looks: int, boundary: float) -> None:
    level = look_level(0.025, looks)
    assert 0.5 * math.erfc(boundary / math.sqrt(2)) == pytest.approx(level, rel=2e-3)


def test_more_looks_and_more_members_leave_less_for_each_but_more_than_bonferroni() -> None:
    levels = [look_level(0.05, looks) for looks in range(1, 9)]
    assert levels == sorted(levels, reverse=True)
    assert all(level >= 0.05 / looks for looks, level in enumerate(levels, 1))
    assert levels[7] > 2 * 0.05 / 8
    assert look_level(0.05, 8, members=5) == look_level(0.01, 8)


@pytest.mark.parametrize(("alpha", "looks", "members"), [(0.0, 8, 1), (0.5, 8, 1), (0.05, 0, 1), (0.05, 8, 0)])
def test_levels_of_nothing_are_refused(alpha: float, looks: int, members: int) -> None:
    with pytest.raises(ValueError, match=f"alpha={alpha}, looks={looks}, members={members}"):
        look_level(alpha, looks, members)


# -- exact answers ----------------------------------------------------------------------------------------------------


def sign_test(gained: int, lost: int) -> float:
    """Exact: so many lost ones or fewer."""
    n = gained + lost
    return sum(math.comb(n, i) for i in range(lost + 1)) / 2**n


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 30), st.integers(0, 12), st.integers(0, 20))
def test_right_and_wrong_answers_are_tested_by_mcnemars_mid_p(gained: int, lost: int, same: int) -> None:
    if not gained + lost + same:
        return
    member = [1.0] * gained + [0.0] * lost + [1.0] * same
    candidate = [0.0] * gained + [1.0] * lost + [1.0] * same
    p = beaten_p(rows(score=candidate), rows(score=member), QUALITY)
    # The middle of the exact p-values of this outcome and of the next better one.
    fewer = sign_test(gained + 1, lost - 1) if lost else 0.0
    assert p == pytest.approx((sign_test(gained, lost) + fewer) / 2 if gained else 1.0)


@settings(max_examples=80, deadline=None)
@given(st.integers(5, 40), st.integers(0, 12))
@example(18, 1)  # whose first step of Newton's leads to the pole
def test_weights_on_differences_agree_with_mcnemar(gained: int, lost: int) -> None:
    exact = sign_test(gained, lost)
    if exact < 0.3:
        found = weighted_mean_p(np.array([1.0] * gained + [-1.0] * lost), -1.0)
        assert found == pytest.approx(exact, rel=0.08)


@settings(max_examples=40, deadline=None)
@given(st.integers(5, 60), st.floats(0, 1), st.sampled_from([0.002, 0.01, 0.05]))
def test_the_bound_of_a_mean_is_clopper_and_pearsons_for_0_and_1(n: int, share: float, level: float) -> None:
    successes = round(n * share)
    bound = share_upper(successes, n, level)
    scores = np.array([1.0] * successes + [0.0] * (n - successes))
    assert mean_upper(scores, level) == bound
    # A hair beside 0 it is no longer a share, and the general bound takes over.
    assert mean_upper(np.where(scores == 0, 1e-9, scores), level) == pytest.approx(bound, abs=0.005)
    if successes < n:
        below = sum(math.comb(n, i) * bound**i * (1 - bound) ** (n - i) for i in range(successes + 1))
        assert below == pytest.approx(level, rel=1e-9)


def test_eight_answers_and_more_give_the_bound_that_is_tabulated() -> None:
    assert share_upper(0, 8, 0.05) == pytest.approx(1 - 0.05 ** (1 / 8), abs=1e-6)
    assert share_upper(8, 8, 0.05) == 1.0
    # Computed by the bisections that were there before scipy.
    assert share_upper(7, 30, 0.05) == pytest.approx(0.39394742252246356, rel=1e-9)
    assert share_upper(29, 30, 0.0002) == pytest.approx(0.9999933326888216, rel=1e-9)
    assert share_upper(66, 200, 0.002) == pytest.approx(0.4321767882584118, rel=1e-9)
    for wrong in ((-1, 8), (9, 8), (0, 0)):
        with pytest.raises(ValueError, match="successes"):
            share_upper(*wrong, 0.05)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.floats(0.01, 0.99))
def test_the_binomial_is_the_sum_of_its_terms(n: int, p: float) -> None:
    terms = [math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(n + 1)]
    assert binomial(n, p) == pytest.approx(np.cumsum(terms), rel=1e-9)


def test_weights_and_levels_are_what_they_were_before_scipy() -> None:
    values = np.array([0.8, 1.1, 2.9, 0.7, 1.3, 4.2, 0.9, 1.6, 1.0, 2.2])
    assert weighted_mean_p(values - 1.0, -1.0) == pytest.approx(0.0320910681659854, rel=1e-9)
    assert weighted_mean_p(values - 0.9, -4.0) == pytest.approx(0.21788418793068529, rel=1e-9)
    assert mean_lower(values, 0.002) == pytest.approx(0.7534565382171418, rel=1e-9)
    assert mean_upper(values / 5, 0.01) == pytest.approx(0.6136229216866198, rel=1e-9)
    assert look_level(0.05, 8) == pytest.approx(0.013026665973426542, rel=1e-9)
    assert look_level(0.01, 4, 5) == pytest.approx(0.0006330239684880616, rel=1e-9)


def test_a_quantile_of_one_team_is_bounded_by_its_order_statistics() -> None:
    values = np.arange(1.0, 21.0)
    assert quantile_lower(values, 0.5, 0.03) == 6.0  # P(Bin(20, ½) < 6) = 0.0207, < 7 0.0577
    assert quantile_lower(values[:4], 0.5, 0.01) == 0.0  # even the smallest of four is too large in 6 %


def test_quantiles_that_do_not_overlap_leave_the_chance_of_the_made_up_example() -> None:
    n = 10
    found = paired_quantile_p(np.arange(11.0, 21.0), np.arange(1.0, 11.0), 0.5)
    assert found == pytest.approx(0.5**n, rel=1.5)
    assert paired_quantile_p(np.arange(1.0, 11.0), np.arange(1.0, 11.0), 0.5) == 1.0


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.floats(0.1, 9), st.floats(0.1, 9)), min_size=6, max_size=40), st.sampled_from([0.5, 0.8]))
def test_a_rough_answer_is_on_the_same_side_as_the_whole_one(pairs: list[tuple[float, float]], q: float) -> None:
    more, less = (np.array(side) for side in zip(*pairs, strict=True))
    whole = paired_quantile_p(more, less, q)
    assert 0 < whole <= 1
    if whole <= 0.005:
        assert paired_quantile_p(more, less, q, exact_up_to=0.01) <= 0.01
    if whole >= 0.05:
        assert paired_quantile_p(more, less, q, exact_up_to=0.01) > 0.01


# -- what the claim is ------------------------------------------------------------------------------------------------


def strong(n: int = 32) -> tuple[Rows, Rows]:
    """A candidate that is worse in everything, and the member that beats it."""
    rng = np.random.default_rng(3)
    noise = rng.lognormal(0, 0.2, n)
    member = rows(score=np.ones(n), latency_s=noise, energy_j=5 * noise, calls=np.ones(n), failed=np.zeros(n))
    candidate = rows(
        score=(np.arange(n) % 3 == 0) * 1.0,
        latency_s=3 * noise,
        energy_j=20 * noise,
        calls=np.full(n, 3.0),
        failed=np.zeros(n),
    )
    return candidate, member


def test_a_team_is_beaten_when_every_objective_says_so_and_by_the_weakest_of_them() -> None:
    candidate, member = strong()
    each = {name: beaten_p(candidate, member, {name: direction}) for name, direction in ALL.items()}
    assert max(each.values()) < 0.001
    assert beaten_p(candidate, member, ALL) == max(each.values())
    assert dominating_member(candidate, [candidate, member], ALL, level=0.001) == 1
    assert dominating_member(member, [candidate], ALL, level=0.001) is None


@pytest.mark.parametrize("name", ALL)
def test_being_better_in_one_objective_saves_a_team(name: str) -> None:
    candidate, member = strong()
    columns = dict(candidate.columns)
    column = objective(name).column.name
    columns[column] = member.columns[column] * (1.0 if name == "quality" else 0.5)
    assert beaten_p(Rows(columns=columns), member, ALL) > 0.5


def test_a_team_never_beats_itself_and_what_is_not_there_is_not_shown() -> None:
    candidate, member = strong()
    assert beaten_p(member, member, {**ALL, "calls": "minimize"}) == 1.0
    assert beaten_p(member, member, {"calls": "minimize"}) == 1.0
    without = Rows(columns={k: v for k, v in member.columns.items() if k != "energy_j"})
    assert beaten_p(candidate, without, ALL) == 1.0
    assert beaten_p(without, member, ALL) == 1.0


def test_counts_that_agree_in_every_example_decide_nothing() -> None:
    candidate, member = strong()
    same = Rows(columns={**candidate.columns, "calls": np.ones(candidate.n)})
    objectives: Mapping[str, Direction] = {**ALL, "calls": "minimize", "failure_rate": "minimize"}
    assert beaten_p(same, member, objectives) == beaten_p(same, member, ALL)


def test_with_a_margin_equal_teams_can_be_told_to_be_no_better() -> None:
    candidate, member = strong(120)
    equal = Rows(columns={**candidate.columns, "score": member.columns["score"]})
    assert beaten_p(equal, member, ALL) == 1.0
    assert beaten_p(equal, member, ALL, margins={"quality": 0.05}) < 0.005
    assert beaten_p(equal, member, QUALITY, margins={"quality": 0.01}) > 0.2
    with pytest.raises(ValueError, match="quality has -1"):
        beaten_p(equal, member, QUALITY, margins={"quality": -1})


def test_joules_of_blocks_are_compared_by_block() -> None:
    rng = np.random.default_rng(5)
    sizes = (8,) * 6
    means = np.repeat(rng.lognormal(0, 0.1, 6), 8)
    member, candidate = rows(sizes, energy_j=means), rows(sizes, energy_j=1.6 * np.repeat(rng.lognormal(0, 0.1, 6), 8))
    by_block, by_example = (
        beaten_p(candidate, member, ENERGY),
        beaten_p(rows(energy_j=candidate.columns["energy_j"]), rows(energy_j=means), ENERGY),
    )
    assert by_example < by_block < 0.01  # 48 repeated numbers look like more than six measurements
    assert beaten_p(first(candidate, 8), member, ENERGY) == 1.0  # one block has no spread
    low = optimistic_bound(candidate, "energy_j", "minimize", 0.01)
    assert low is not None
    assert 0 < low < candidate.columns["energy_j"].mean()
    assert optimistic_bound(first(candidate, 8), "energy_j", "minimize", 0.01) == 0.0


def test_joules_per_success_are_beaten_by_fewer_joules_and_more_successes() -> None:
    candidate, member = strong()
    objectives: Mapping[str, Direction] = {"energy_j_per_success": "minimize"}
    assert beaten_p(candidate, member, objectives) < 0.001
    as_good = Rows(columns={**candidate.columns, "score": member.columns["score"]})
    assert beaten_p(as_good, member, objectives) == 1.0


def test_every_objective_can_be_raced_and_an_unknown_one_says_which() -> None:
    candidate, member = strong()
    columns = dict.fromkeys(
        (column for each in objectives().values() for column in each.columns), member.columns["energy_j"]
    )
    worse, better = Rows(columns={**columns, **candidate.columns}), Rows(columns={**columns, **member.columns})
    for name, each in objectives().items():
        assert 0 <= beaten_p(worse, better, {name: each.direction}) <= 1
        assert examples_needed(name, 0.01) >= 1
    for call in (
        lambda: beaten_p(candidate, member, {"beauty": "maximize"}),
        lambda: optimistic_bound(member, "beauty", "maximize", 0.01),
        lambda: examples_needed("beauty", 0.01),
    ):
        with pytest.raises(InputError, match=r"unknown objective 'beauty'\. Known: calls"):
            call()


def test_how_many_examples_a_tail_needs() -> None:
    assert examples_needed("latency_p50_s", 0.0039) == 9  # 0.5^8 is 0.0039062
    assert examples_needed("latency_p95_s", 0.002) == 122


def test_rows_of_blocks_leave_out_what_one_block_does_not_know() -> None:
    def example(i: int, tokens: int | None) -> ExampleResult:
        call = Call(agent="a", model="m", sample=0, start_s=0.0, latency_s=1.0, input_tokens=tokens, output_tokens=3)
        return ExampleResult(id=str(i), answer="x", score=i % 2, latency_s=1.0 + i, calls=(call,))

    def block(index: int, joules: float | None, tokens: int | None) -> Block:
        return Block(
            team="t", topology="single", knobs={}, phase="search", index=index, trial=0,
            started_at="2026-01-01T00:00:00Z", wall_s=4.0, concurrency=1, seed=1, energy_assumptions={}, engines={},
            energy_j=None if joules is None else {"cpu": joules}, energy_method="replay",
            examples=tuple(example(i, tokens) for i in range(2 + index)),
        )  # fmt: skip

    found = team_rows([block(0, 8.0, 5), block(1, 9.0, None)])
    assert found.block_sizes == (2, 3)
    assert found.columns["energy_j"].tolist() == [4.0, 4.0, 3.0, 3.0, 3.0]
    assert found.columns["score"].tolist() == [0, 1, 0, 1, 0]
    assert "output_tokens" in found.columns
    assert "input_tokens" not in found.columns
    assert "energy_j" not in team_rows([block(0, None, 5), block(1, 9.0, 5)]).columns
    with pytest.raises(ValueError, match="at least one"):
        team_rows([])


def test_rows_must_fit_together() -> None:
    with pytest.raises(ValueError, match="no columns"):
        rows()
    with pytest.raises(ValueError, match="the same length"):
        rows(score=[1.0], latency_s=[1.0, 2.0])
    with pytest.raises(ValueError, match=r"have 3 examples in total, but their sizes are \(2,\)"):
        rows((2,), score=[1.0, 0.0, 1.0])


def test_the_best_that_may_still_be() -> None:
    candidate, _ = strong()
    for name, direction in ALL.items():
        corner = optimistic_bound(candidate, name, direction, 0.01)
        column = candidate.columns[objective(name).column.name]
        middle = float(np.median(column) if name == "latency_p50_s" else column.mean())
        assert corner is not None
        assert corner > middle if direction == "maximize" else 0 < corner < middle
    assert optimistic_bound(candidate, "latency_p50_s", "maximize", 0.01) is None
    assert optimistic_bound(candidate, "cost_eur", "minimize", 0.01) is None
    per_success = optimistic_bound(candidate, "energy_j_per_success", "minimize", 0.01)
    assert per_success is not None
    assert 0 < per_success < candidate.columns["energy_j"].sum() / candidate.columns["score"].sum()
    with pytest.raises(ValueError, match=r"got 0\.7"):
        optimistic_bound(candidate, "quality", "maximize", 0.7)
    assert mean_lower(np.zeros(4), 0.01) == 0.0


# -- simulated: how often is it wrong at any look? --------------------------------------------------------------------
# All at a stated 5 % over eight looks after blocks of eight, seeds fixed. The rate that was found stands at each case,
# of answers and of blocks with 3,000 repetitions.


@pytest.mark.parametrize("p", [0.02, 0.5, 0.9, 0.98])
def test_a_share_is_ever_over_its_bound_as_seldom_as_stated(p: float) -> None:
    # Found: 0.000, 0.031, 0.034 and 0.037.
    level = look_level(0.05, LOOKS)
    right = np.cumsum(np.random.default_rng(1).random((4000, LOOKS * BLOCK)) < p, axis=1)[:, BLOCK - 1 :: BLOCK]
    bounds = [np.array([share_upper(s, n, level) for s in range(n + 1)]) for n in range(BLOCK, 65, BLOCK)]
    ever = np.any([p > bound[right[:, k]] for k, bound in enumerate(bounds)], axis=0)
    assert ever.mean() <= 0.05


def test_wilsons_bound_errs_more_often_than_it_says_at_these_levels() -> None:
    """Why Clopper and Pearson's: the exact chance that Wilson's upper bound of 16 answers is below the truth."""
    n, level = 16, 0.0022
    z = -NormalDist().inv_cdf(level)

    def wilson(s: int) -> float:
        share = s / n
        half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
        return 1.0 if s == n else (share + z * z / (2 * n) + half) / (1 + z * z / n)

    def errs(bound: Callable[[int], float], p: float) -> float:
        return sum(math.comb(n, s) * p**s * (1 - p) ** (n - s) for s in range(n + 1) if bound(s) < p)

    truths = np.linspace(0.02, 0.995, 40)
    assert max(errs(wilson, p) for p in truths) > 10 * level
    assert max(errs(lambda s: share_upper(s, n, level), p) for p in truths) <= level


Draw = Callable[[np.random.Generator, int], tuple[Rows, Rows]]


def lognormal(candidate: float, member: float, shared: float, of: str) -> Draw:
    """Equal medians (or means), each with its own σ; ``shared`` is the part of the variance that is the example's."""

    def draw(rng: np.random.Generator, n: int) -> tuple[Rows, Rows]:
        common, mine, other = rng.normal(size=(3, n))
        found = []
        for sigma, own in ((candidate, mine), (member, other)):
            logs = sigma * (math.sqrt(shared) * common + math.sqrt(1 - shared) * own)
            values = np.exp(logs - (sigma * sigma / 2 if of == "mean" else 0.0))
            found.append(rows(latency_s=values, energy_j=values))
        return found[0], found[1]

    return draw


def cascade_candidate(rng: np.random.Generator, n: int) -> tuple[Rows, Rows]:
    """55 % of the examples end after a quick first model; the member has the same median, but one hump."""
    values = np.where(rng.random(n) < 0.55, 1.0, 5.0) * np.exp(0.1 * rng.normal(size=n))
    other = math.exp(0.1 * 1.3352) * np.exp(0.2 * rng.normal(size=n))
    return rows(latency_s=values), rows(latency_s=other)


def cascade_member(rng: np.random.Generator, n: int) -> tuple[Rows, Rows]:
    """The member is the cascade, with the same mean joules."""
    values = np.where(rng.random(n) < 0.4, 5.0, 1.0) * np.exp(0.1 * rng.normal(size=n) - 0.005)
    return rows(energy_j=2.6 * np.exp(0.3 * rng.normal(size=n) - 0.045)), rows(energy_j=values)


def metered(draw: Draw) -> Draw:
    """The same, with joules known by block alone."""

    def drawn(rng: np.random.Generator, n: int) -> tuple[Rows, Rows]:
        found = []
        for team in draw(rng, n):
            means = team.columns["energy_j"].reshape(-1, BLOCK).mean(axis=1)
            found.append(rows((BLOCK,) * (n // BLOCK), energy_j=np.repeat(means, BLOCK)))
        return found[0], found[1]

    return drawn


def equal_answers(p: float) -> Draw:
    """Equally good; they share the examples' difficulty, so that two thirds of their answers agree by that alone."""

    def draw(rng: np.random.Generator, n: int) -> tuple[Rows, Rows]:
        easy = rng.random(n) < p
        own = rng.random((2, n)) < p
        kept = rng.random((2, n)) < 0.7
        both = np.where(kept, easy, own) * 1.0
        return rows(score=both[0]), rows(score=both[1])

    return draw


def equal_grades(rng: np.random.Generator, n: int) -> tuple[Rows, Rows]:
    common = rng.normal(size=n)
    grades = np.clip(np.round(2 + common + rng.normal(size=(2, n))), 0, 4) / 4
    return rows(score=grades[0]), rows(score=grades[1])


# Each at the edge: the candidate exactly as good as the member.
EDGES: dict[str, tuple[Draw, Mapping[str, Direction], int]] = {
    "answers 0.02": (equal_answers(0.02), QUALITY, 800),  # 0.000
    "answers 0.5": (equal_answers(0.5), QUALITY, 800),  # 0.031
    "answers 0.9": (equal_answers(0.9), QUALITY, 800),  # 0.010
    "answers 0.98": (equal_answers(0.98), QUALITY, 800),  # 0.000
    "grades": (equal_grades, QUALITY, 500),  # 0.010
    "medians, σ 0.3": (lognormal(0.3, 0.3, 0.5, "median"), LATENCY, 250),  # 0.016
    "medians, σ 1": (lognormal(1.0, 1.0, 0.0, "median"), LATENCY, 250),  # 0.016
    "medians, σ 0.3 against 1": (lognormal(0.3, 1.0, 0.3, "median"), LATENCY, 250),  # 0.024
    "median of a cascade": (cascade_candidate, LATENCY, 250),  # 0.044
    "means, σ 0.3": (lognormal(0.3, 0.3, 0.5, "mean"), ENERGY, 500),  # 0.000
    "means, σ 1": (lognormal(1.0, 1.0, 0.0, "mean"), ENERGY, 500),  # 0.022
    "means, σ 0.3 against 1": (lognormal(0.3, 1.0, 0.3, "mean"), ENERGY, 500),  # 0.016
    "by block, σ 0.3": (metered(lognormal(0.3, 0.3, 0.5, "mean")), ENERGY, 500),  # 0.041
    "by block, σ 0.6": (metered(lognormal(0.6, 0.6, 0.0, "mean")), ENERGY, 500),  # 0.040
    "by block, σ 0.3 against 0.6": (metered(lognormal(0.3, 0.6, 0.0, "mean")), ENERGY, 500),  # 0.055
    "by block, against a cascade": (metered(cascade_member), ENERGY, 500),  # 0.034
    "means against a cascade": (cascade_member, ENERGY, 500),  # 0.006
}


@pytest.mark.parametrize("what", EDGES)
def test_a_team_as_good_as_the_member_is_seldom_called_beaten_at_any_look(what: str) -> None:
    draw, objectives, times = EDGES[what]
    rng = np.random.default_rng(20)
    errors = sum(ever_beaten(*draw(rng, LOOKS * BLOCK), objectives, 0.05) for _ in range(times))
    # Three standard deviations of the count are allowed on top.
    assert errors / times <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / times)


# -- a whole race -----------------------------------------------------------------------------------------------------

FRONT = [(0.50, 1.0, 1.0), (0.60, 1.4, 1.5), (0.70, 2.0, 2.3), (0.80, 2.8, 3.4), (0.90, 4.0, 5.0)]


def race(rng: np.random.Generator, alpha: float) -> tuple[int, list[int]]:
    """True front members that were dropped, and the examples that each of the 20 dominated teams was given.

    Teams come in random order. Members are the teams measured whole that no other such team beats by its estimates: so
    they were chosen for doing well on these very examples. Difficulty is the example's and shared.
    """
    truths = list(FRONT)
    for _ in range(20):
        quality, latency, joules = FRONT[rng.integers(5)]
        truths.append(
            (quality - rng.uniform(0.02, 0.35), latency * rng.uniform(1.02, 2.5), joules * rng.uniform(1, 2.5))
        )
    n = LOOKS * BLOCK
    difficulty = rng.normal(size=n)
    teams = []
    for quality, latency, joules in truths:
        logit = math.log(max(quality, 0.02) / (1 - max(quality, 0.02))) * 1.25
        right = rng.random(n) < 1 / (1 + np.exp(-(logit - 1.2 * difficulty)))
        work = np.exp(0.25 * difficulty + 0.3 * rng.normal(size=n))
        teams.append(rows(score=right * 1.0, latency_s=latency * work, energy_j=joules * work))

    whole: list[int] = []
    spent: dict[int, int] = {}
    for index in map(int, rng.permutation(len(teams))):
        front = [teams[i] for i in whole if not any(ahead(teams[j], teams[i]) for j in whole)]
        level = look_level(alpha, LOOKS, max(1, len(front)))
        for look in range(1, LOOKS + 1):
            spent[index] = look * BLOCK
            if dominating_member(first(teams[index], look * BLOCK), front, ALL, level=level) is not None:
                break
        else:
            whole.append(index)
    return sum(i not in whole for i in range(5)), [spent[i] for i in range(5, 25)]


def ahead(one: Rows, other: Rows) -> bool:
    a, b = (
        (-r.columns["score"].mean(), np.median(r.columns["latency_s"]), r.columns["energy_j"].mean())
        for r in (one, other)
    )
    return all(x <= y for x, y in zip(a, b, strict=True)) and a != b


def test_a_race_drops_a_true_front_member_at_most_as_often_as_stated() -> None:
    # 50 races (250 chances) at a stated 5 % and at 20 %: none dropped, 59 and 55 of 64 examples given to a dominated
    # team. At 20 % without dividing by the members 0.8 % dropped and 46 examples, but see the twins below.
    rng = np.random.default_rng(8)
    runs = [race(rng, 0.2) for _ in range(20)]
    assert sum(dropped for dropped, _ in runs) / (5 * len(runs)) <= 0.05
    assert np.mean([n for _, spent in runs for n in spent]) < 0.95 * LOOKS * BLOCK


def test_five_members_just_as_good_and_faster_seldom_drop_a_team_together() -> None:
    """The worst case: equal quality keeps the team on the front, and five members try to show that it does not.

    Found in 250 times each at 0.5, 0.8 and 0.95: 1.6 %, 2.4 % and 0 % at a stated 5 %; undivided 12 %, 10 % and 2 %.
    """
    rng, n, times = np.random.default_rng(4), LOOKS * BLOCK, 120
    errors = 0
    level = look_level(0.05, LOOKS, members=5)
    for _ in range(times):
        easy = rng.random(n) < 0.8
        scores = np.where(rng.random((6, n)) < 0.6, easy, rng.random((6, n)) < 0.8) * 1.0
        work = rng.lognormal(0, 0.2, (6, n))
        members = [rows(score=s, latency_s=w, energy_j=w) for s, w in zip(scores[1:], work[1:], strict=True)]
        candidate = rows(score=scores[0], latency_s=5 * work[0], energy_j=5 * work[0])
        errors += any(
            dominating_member(first(candidate, BLOCK * look), members, ALL, level=level) is not None
            for look in range(1, LOOKS + 1)
        )
    assert errors / times <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / times)
