"""Choosing one team: the recommended one, by one quantity, within limits, keeping a share of the best."""

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from chosen import THREE, TWO, dominates, entry, of, together
from hypothesis import given, settings
from hypothesis import strategies as st

import orkester
from orkester.errors import InputError, OrkesterError
from orkester.optim.insight.choosing import Choice, best
from orkester.optim.run.results import Results, TeamResult

VALUES = st.integers(0, 8).map(lambda n: n / 8)
POINTS_OF_THREE = st.lists(st.tuples(VALUES, VALUES, VALUES), min_size=1, max_size=8)


def agents(choice: Choice) -> int:
    return size(choice.result)


def size(result: TeamResult) -> int:
    return int(result.team.knobs.get("agents", 1))


def point(result: TeamResult, found: Results) -> list[float]:
    assert result.search is not None
    return [result.search.estimates[name].value for name in found.objectives]


# -- the recommended team ---------------------------------------------------------------------------------------------


def test_the_best_quality_is_recommended_where_no_cheaper_team_comes_near() -> None:
    chosen = best(of([(1.0, 100.0), (0.9, 20.0), (0.5, 10.0), (0.4, 0.0)]))
    assert agents(chosen) == 2
    assert chosen.rule == "recommended"
    assert chosen.why.endswith("No cheaper team keeps its quality.")


def test_a_stated_loss_of_quality_makes_the_cheapest_team_within_it_the_recommended_one() -> None:
    found = of([(1.0, 100.0), (0.99, 30.0), (0.9, 20.0), (0.5, 10.0)])
    assert [agents(best(found, loss=loss)) for loss in (0.0, 0.02, 0.1, 0.6)] == [2, 3, 4, 5]
    why = best(found).why
    assert "Its quality is within 2 % of the best one: vote: agents=2" in why
    assert "which takes 3.3 [?, ?] × the energy_j." in why
    with pytest.raises(InputError, match=r"the loss must be from 0 to below 1 \(100 %\), but got 1"):
        best(found, loss=1)


@settings(deadline=None)
@given(points=POINTS_OF_THREE)
def test_costs_never_outvote_quality(points: list[tuple[float, float, float]]) -> None:
    found = of(points, THREE)
    quality, *_ = point(best(found).result, found)
    assert quality >= 0.98 * max(each[0] for each in points)


@settings(deadline=None)
@given(points=POINTS_OF_THREE, seed=st.randoms())
def test_neither_the_order_nor_a_worse_team_changes_what_is_recommended(
    points: list[tuple[float, float, float]], seed: Any
) -> None:
    wanted = point(best(of(points, THREE)).result, of(points, THREE))
    worse = (min(p[0] for p in points), max(p[1] for p in points) + 1, max(p[2] for p in points) + 1)
    other = [*points, worse]
    seed.shuffle(other)
    assert point(best(of(other, THREE)).result, of(other, THREE)) == wanted


@settings(deadline=None)
@given(points=POINTS_OF_THREE)
def test_what_is_chosen_is_beaten_by_nobody(points: list[tuple[float, float, float]]) -> None:
    found = of(points, THREE)
    wishes: list[dict[str, Any]] = [{}, {"best_in": "latency_p50_s"}, {"keep": {"quality": 0.9}, "best_in": "energy_j"}]
    for asked in wishes:
        chosen = best(found, **asked)
        ours = point(chosen.result, found)
        assert not any(dominates(other, ours, list(THREE.values())) for other in points)
        assert chosen.result in chosen.candidates


@settings(deadline=None)
@given(points=POINTS_OF_THREE, scale=st.sampled_from([2.0**-30, 0.5, 1024.0]))
def test_units_do_not_change_what_is_recommended(points: list[tuple[float, float, float]], scale: float) -> None:
    points = [(quality, latency + 1, energy + 1) for quality, latency, energy in points]
    scaled = [(quality, latency, scale * energy) for quality, latency, energy in points]
    assert agents(best(of(points, THREE))) == agents(best(of(scaled, THREE)))


def test_a_study_of_one_objective_has_its_best() -> None:
    chosen = best(of([(0.5,), (0.9,), (0.9,)], {"quality": "maximize"}))
    assert agents(chosen) in {3, 4}


def test_without_quality_the_first_objective_counts_as_quality() -> None:
    found = together(
        entry(2, {"latency_p50_s": 1.0, "energy_j": 9.0}),
        entry(3, {"latency_p50_s": 1.01, "energy_j": 2.0}),
        entry(4, {"latency_p50_s": 3.0, "energy_j": 1.0}),
        objectives={"latency_p50_s": "minimize", "energy_j": "minimize"},
    )
    assert agents(best(found)) == 3
    assert best(found).verdict.name == "latency_p50_s"  # type: ignore[union-attr]


# -- best in one ------------------------------------------------------------------------------------------------------


def test_the_best_in_an_objective_gives_up_least_elsewhere() -> None:
    found = together(
        entry(2, {"quality": 0.9, "energy_j": 20.0, "latency_p50_s": 3.0}),
        entry(3, {"quality": 0.9, "energy_j": 30.0, "latency_p50_s": 1.0}),
        entry(4, {"quality": 0.1, "energy_j": 10.0, "latency_p50_s": 2.9}),
        objectives=THREE,
    )
    chosen = best(found, best_in="quality")
    assert agents(chosen) == 2 + 1
    assert chosen.why == (
        "It is best in quality of the 3 teams on the front; 1 other with the same value gives up more elsewhere."
    )
    assert agents(best(found, best_in="energy_j")) == 4


def test_the_best_in_what_is_no_objective_is_looked_for_among_all_teams() -> None:
    found = together(
        entry(2, {"quality": 0.9, "energy_j": 20.0, "calls": 5.0}),
        entry(3, {"quality": 0.8, "energy_j": 30.0, "calls": 2.0}),
        entry(4, {"quality": 0.7, "energy_j": 31.0, "calls": 2.0}),  # as good in calls, but beaten by the one before
        entry(5, {"quality": 0.7, "energy_j": 31.0}),
    )
    assert [size(member) for member in found.front] == [2]
    chosen = best(found, best_in="calls")
    assert agents(chosen) == 3
    assert not chosen.result.on_front
    assert "of the 2 teams that no other such team beats, calls counted too" in chosen.why


# -- limits -----------------------------------------------------------------------------------------------------------


#: The one that is beaten is the quickest in the tail.
LIMITED = together(
    entry(2, {"quality": 0.9, "energy_j": 20.0, "latency_p95_s": 5.0}),
    entry(3, {"quality": 0.7, "energy_j": 10.0, "latency_p95_s": 4.0}),
    entry(4, {"quality": 0.8, "energy_j": 25.0, "latency_p95_s": 2.0}),
)


def test_a_limit_on_what_is_no_objective_may_choose_a_team_that_others_beat() -> None:
    found = LIMITED
    assert [size(member) for member in found.front] == [2, 3]
    chosen = best(found, at_most={"latency_p95_s": 3})
    assert agents(chosen) == 4
    assert not chosen.result.on_front
    assert chosen.excluded == {"latency_p95_s <= 3": 2}
    assert chosen.why.endswith("It is the only team within latency_p95_s <= 3 that no other such team beats.")
    assert list(chosen.values) == ["quality", "energy_j", "latency_p95_s"]


@settings(deadline=None)
@given(points=POINTS_OF_THREE, most=VALUES, least=VALUES)
def test_limits_hold_and_nobody_within_them_beats_the_choice(
    points: list[tuple[float, float, float]], most: float, least: float
) -> None:
    teams = [entry(i, {"quality": q, "energy_j": e, "calls": c}) for i, (q, e, c) in enumerate(points, start=2)]
    found = together(*teams)
    within = [(q, e) for q, e, c in points if c <= most and q >= least]
    try:
        chosen = best(found, at_most={"calls": most}, at_least={"quality": least})
    except OrkesterError:
        assert not within
        return
    assert tuple(point(chosen.result, found)) in within
    assert not any(dominates(other, point(chosen.result, found), list(TWO.values())) for other in within)


def test_limits_that_exclude_nobody_change_nothing() -> None:
    found = of([(1.0, 100.0), (0.9, 20.0), (0.5, 10.0), (0.4, 0.0)])
    free, loose = best(found), best(found, at_most={"energy_j": 100.0}, at_least={"quality": 0.0})
    assert loose.result is free.result
    assert loose.excluded == {"energy_j <= 100": 0, "quality >= 0": 0}


def test_a_limit_has_to_hold_in_the_search_and_in_confirmation() -> None:
    def chosen(searched: float, confirmed: float) -> int:
        found = together(
            entry(2, {"quality": 0.9, "energy_j": searched}, {"quality": 0.9, "energy_j": confirmed}),
            entry(3, {"quality": 0.1, "energy_j": 1.0}, {"quality": 0.1, "energy_j": 1.0}),
        )
        return agents(best(found, at_most={"energy_j": 10}, best_in="quality"))

    assert chosen(9.0, 10.0) == 2
    assert chosen(9.0, 11.0) == 3
    assert chosen(11.0, 9.0) == 3


def test_nothing_within_the_limits_is_said_with_how_many_each_excludes_and_the_nearest() -> None:
    found = LIMITED
    with pytest.raises(OrkesterError) as failed:
        best(found, at_most={"latency_p95_s": 1.5, "energy_j": 15})
    assert failed.value.exit_code == 1
    four, three = found.teams[2].team, found.teams[1].team
    remedy = 'constraints: {latency_p95_s: "<= 1.5", energy_j: "<= 15"} in a study file'
    assert str(failed.value).splitlines() == [
        "no team keeps to all limits; 3 could be chosen:",
        f"  latency_p95_s <= 1.5 excludes 3; nearest: 2 by {four}",
        "  energy_j <= 15 excludes 2",
        f"Nearest to all: {three}: latency_p95_s 4",
        f"Loosen a limit, or search for such teams: {remedy}",
    ]


def test_the_nearest_is_said_with_where_it_was_measured_and_who_was_not_looked_at() -> None:
    found = together(
        entry(2, {"quality": 0.9, "energy_j": 9.0}, {"quality": 0.9, "energy_j": 11.0}),
        entry(3, {"quality": 0.95, "energy_j": 12.0}, {"quality": 0.9, "energy_j": 8.0}),
        entry(4, {"quality": 0.95, "energy_j": 1.0}, whole=False),
    )
    with pytest.raises(OrkesterError) as failed:
        best(found, at_most={"energy_j": 8.5})
    first, line, part, *_ = str(failed.value).splitlines()
    assert first == "no team keeps to the limit; 2 could be chosen:"
    assert line == f"  energy_j <= 8.5 excludes 2; nearest: 11 in confirmation by {found.teams[0].team}"
    assert part == "Not considered: 1 that were measured only on a part of the examples"
    with pytest.raises(OrkesterError, match=r"nearest: 12 in the search by"):
        best(replace(found, teams=found.teams[1:]), at_most={"energy_j": 8.5})


def test_who_was_not_measured_in_it_keeps_to_no_limit() -> None:
    teams = entry(2, {"quality": 0.9, "energy_j": 9.0}), entry(3, {"quality": 0.5, "energy_j": 20.0, "calls": 3.0})
    assert agents(best(together(*teams), at_most={"calls": 5})) == 3
    with pytest.raises(OrkesterError, match="calls <= 1 excludes 2; nearest: 3 by vote: agents=3"):
        best(together(*teams), at_most={"calls": 1})


def test_a_quantity_that_nobody_within_the_limits_was_measured_in_is_said() -> None:
    teams = entry(2, {"quality": 0.9, "energy_j": 9.0}), entry(3, {"quality": 0.5, "energy_j": 20.0, "calls": 3.0})
    with pytest.raises(OrkesterError, match="none of the 1 teams within the limits was measured in calls"):
        best(together(*teams), at_most={"energy_j": 10}, best_in="calls")


def test_failures_and_parts_are_never_chosen() -> None:
    good = {"quality": 1.0, "energy_j": 0.0, "calls": 0.0}
    found = together(
        entry(2, {"quality": 0.5, "energy_j": 9.0, "calls": 3.0}),
        entry(3, good, infeasible="failure_rate is 1, not <= 0"),
        entry(4, good, whole=False),
    )
    wishes: list[dict[str, Any]] = [{}, {"best_in": "calls"}, {"at_most": {"calls": 3}}]
    for asked in wishes:
        assert agents(best(found, **asked)) == 2


def test_a_run_without_a_feasible_team_says_why() -> None:
    found = together(entry(2, {"quality": 0.5, "energy_j": 9.0}, infeasible="failure_rate is 1, not <= 0"))
    with pytest.raises(
        OrkesterError, match=r"none of the 1 tried was measured whole .*\n  failure_rate is 1, not <= 0"
    ):
        best(found)


# -- a share of the best ----------------------------------------------------------------------------------------------


def test_ninety_percent_of_the_best_quality_at_least_energy() -> None:
    found = of([(1.0, 100.0), (0.9, 20.0), (0.89, 10.0), (0.4, 0.0)])
    chosen = best(found, keep={"quality": 0.9}, best_in="energy_j")
    assert agents(chosen) == 3
    assert [size(candidate) for candidate in chosen.candidates] == [2, 3]
    assert chosen.why == (
        "It is best in energy_j of the 2 teams on the front with at least 90 % of the best quality (quality >= 0.9)."
    )
    assert agents(best(found, keep={"quality": 1.0}, best_in="energy_j")) == 2


def test_the_best_is_the_best_within_the_limits() -> None:
    found = of([(1.0, 100.0), (0.9, 20.0), (0.82, 10.0), (0.4, 0.0)])
    asked: dict[str, Any] = {"keep": {"quality": 0.9}, "best_in": "energy_j"}
    assert agents(best(found, **asked)) == 3
    assert agents(best(found, **asked, at_most={"energy_j": 50})) == 4


def test_of_what_is_to_be_small_a_share_is_a_quotient() -> None:
    found = of([(1.0, 100.0), (0.9, 20.0), (0.8, 10.0)])
    assert agents(best(found, keep={"energy_j": 0.5}, best_in="quality")) == 3  # at most 20 J
    assert agents(best(found, keep={"energy_j": 0.51}, best_in="quality")) == 4
    assert agents(best(found, keep={"quality": 0.85})) == 3


def test_shares_that_nobody_keeps_together_are_said() -> None:
    found = of([(1.0, 100.0), (0.9, 20.0), (0.4, 10.0)])
    with pytest.raises(OrkesterError) as failed:
        best(found, keep={"quality": 0.95, "energy_j": 0.9})
    assert failed.value.exit_code == 1
    assert "of 3 candidates they are kept by: quality >= 0.95: 1; energy_j <= 11.11: 1. Ask for less" in str(
        failed.value
    )


# -- which values -----------------------------------------------------------------------------------------------------


def test_confirmed_values_decide_where_all_candidates_have_them() -> None:
    lucky = entry(2, {"quality": 0.95, "energy_j": 20.0}, {"quality": 0.6, "energy_j": 20.0})
    sound = entry(3, {"quality": 0.9, "energy_j": 10.0}, {"quality": 0.9, "energy_j": 10.0})
    chosen = best(together(lucky, sound), best_in="quality")
    assert (agents(chosen), chosen.phase, chosen.values["quality"].value) == (3, "confirm", 0.9)
    assert chosen.doubts == []
    found = together(lucky, replace(sound, confirmed=None))
    chosen = best(found, best_in="quality")
    assert (agents(chosen), chosen.phase, chosen.values["quality"].value) == (2, "search", 0.95)
    assert chosen.doubts == ["1 of the 2 candidates were not confirmed, so the values of the search decided."]
    chosen = best(found, best_in="energy_j")
    assert chosen.doubts[0].startswith("It was not confirmed on held-out examples")


def test_a_confirmation_on_few_examples_does_not_overrule_the_search() -> None:
    values = {"quality": 0.9, "energy_j": 10.0}, {"quality": 1.0, "energy_j": 50.0}
    teams = entry(2, *values), entry(3, {"quality": 0.95, "energy_j": 20.0}, {"quality": 0.7, "energy_j": 20.0})
    assert best(together(*teams)).phase == "confirm"
    started = entry(2, *values, confirmed_n=9)
    chosen = best(together(started, teams[1]), at_most={"energy_j": 40}, best_in="energy_j")
    assert (agents(chosen), chosen.phase) == (2, "search")
    assert best(together(entry(2, *values, confirmed_n=10), teams[1])).phase == "confirm"


def test_what_was_not_measured_in_confirmation_is_compared_in_the_search() -> None:
    search = {"quality": 0.9, "energy_j": 10.0, "energy_j_per_success": 11.0}
    found = together(entry(2, search, {"quality": 0.0, "energy_j": 10.0}))
    assert best(found).phase == "confirm"
    assert best(found, best_in="energy_j_per_success").phase == "search"


# -- what is not certain ----------------------------------------------------------------------------------------------


def test_teams_whose_intervals_overlap_in_what_decides_are_not_told_apart() -> None:
    found = together(
        entry(2, {"quality": (0.9, 0.8, 0.95), "energy_j": (30.0, 29.0, 31.0)}),
        entry(3, {"quality": (0.8, 0.7, 0.8), "energy_j": (20.0, 19.0, 21.0)}),
        entry(4, {"quality": (0.6, 0.5, 0.7), "energy_j": (10.0, None, None)}),
    )
    assert [size(r) for r in best(found, best_in="quality").unclear] == [3]
    assert [size(r) for r in best(found, best_in="energy_j").unclear] == [3, 2]  # without an interval, nothing tells


def test_an_end_that_is_not_known_is_taken_to_go_on_for_ever() -> None:
    found = together(
        entry(2, {"quality": 0.9, "energy_j": (30.0, 25.0, None)}),
        entry(3, {"quality": 0.8, "energy_j": (20.0, 19.0, 24.0)}),
        entry(4, {"quality": 0.7, "energy_j": (10.0, 9.0, None)}),
    )
    # Ten joules may be endlessly many, so nothing is above them; 24 are surely less than 25.
    assert [size(r) for r in best(found, best_in="energy_j").unclear] == [3, 2]
    least = together(*[team for team in found.teams if size(team) != 4])
    assert best(least, best_in="energy_j").unclear == []


def test_a_confirmation_that_is_settled_counts_however_few_its_examples() -> None:
    both = {"quality": 0.9, "energy_j": 30.0}, {"quality": 0.5, "energy_j": 35.0}
    other = entry(3, {"quality": 0.8, "energy_j": 20.0}, {"quality": 0.8, "energy_j": 20.0}, confirmed_n=100)
    few = entry(2, *both, confirmed_n=24)
    assert best(together(few, other), best_in="quality").phase == "search"
    settled = best(together(replace(few, settled=True), other), best_in="quality")
    assert (settled.phase, agents(settled)) == ("confirm", 3)


def test_an_interval_that_reaches_beyond_a_limit_or_a_share_is_a_doubt() -> None:
    found = together(
        entry(2, {"quality": (1.0, 0.9, 1.0), "energy_j": 30.0, "calls": 2.0}),
        entry(3, {"quality": (0.9, 0.85, 0.95), "energy_j": (20.0, None, None), "calls": (2.0, 1.0, 2.5)}),
    )
    found = replace(found, teams=[replace(t, confirmed=replace(t.search, phase="confirm")) for t in found.teams])  # type: ignore[type-var]
    asked: dict[str, Any] = {
        "at_most": {"calls": 2.25, "energy_j": 30},
        "keep": {"quality": 0.9},
        "best_in": "energy_j",
    }
    chosen = best(found, **asked)
    assert chosen.doubts == [
        "Its calls may be 2.5: the interval reaches beyond calls <= 2.25.",
        "Its energy_j has no interval: how safely it keeps to energy_j <= 30 is not known.",
        "Its quality may be 0.85: the interval reaches beyond quality >= 0.9.",
    ]


# -- beside a single agent --------------------------------------------------------------------------------------------


def test_a_choice_is_compared_with_the_best_single_agent() -> None:
    single = entry(1, {"quality": 0.8, "energy_j": 10.0, "failure_rate": 0.0})
    worse = replace(
        entry(1, {"quality": 0.5, "energy_j": 5.0, "failure_rate": 0.0}),
        team=orkester.Team("single", {"model": "tiny", "temperature": 0.0}),
    )
    found = together(single, worse, entry(2, {"quality": 0.9, "energy_j": 25.0, "failure_rate": 0.0}))
    against = best(found, best_in="quality").against
    assert against is not None
    assert against.single.team == single.team
    assert against.ratios == {"quality": pytest.approx(1.125), "energy_j": pytest.approx(2.5)}
    assert against.phase == "search"
    nothing = replace(found, objectives={"failure_rate": "minimize"})
    assert best(nothing, best_in="quality").against.ratios == {"failure_rate": None}  # type: ignore[union-attr]


def test_the_best_single_agent_is_compared_with_itself_and_without_one_there_is_no_comparison() -> None:
    alone = together(entry(1, {"quality": 0.8, "energy_j": 10.0}, {"quality": 0.7, "energy_j": 10.0}))
    against = best(alone).against
    assert against is not None
    assert against.phase == "confirm"
    assert set(against.ratios.values()) == {1.0}
    assert best(of([(0.5, 1.0)])).against is None


def test_confirmation_says_which_single_agent_is_the_best() -> None:
    lucky = entry(1, {"quality": 0.9, "energy_j": 20.0}, {"quality": 0.6, "energy_j": 20.0})
    sound = replace(
        entry(1, {"quality": 0.8, "energy_j": 10.0}, {"quality": 0.8, "energy_j": 10.0}),
        team=orkester.Team("single", {"model": "large", "temperature": 0.0}),
    )
    against = best(together(lucky, sound)).against
    assert against is not None
    assert against.single.team == sound.team
    beaten = entry(2, {"quality": 0.95, "energy_j": 15.0}, {"quality": 0.95, "energy_j": 15.0})
    searched = best(together(replace(lucky, confirmed=None), sound, beaten)).against
    assert searched is not None
    assert searched.single.team == lucky.team  # not confirmed, since it was beaten: the search decides
    assert searched.phase == "search"


# -- what is asked wrongly --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"at_most": {"energy": 3}}, r"unknown objective 'energy' \(did you mean 'energy_j'\?\)"),
        ({"best_in": "qualty"}, r"unknown objective 'qualty' \(did you mean 'quality'\?\)"),
        ({"keep": {"joules": 0.9}}, "unknown objective 'joules'"),
        ({"at_least": {"quality": math.nan}}, "a lower limit of quality must be a number, but got nan"),
        ({"at_most": {"quality": math.inf}}, "an upper limit of quality must be a number, but got inf"),
        ({"keep": {"quality": 0}}, "must be over 0 and up to 1"),
        ({"keep": {"quality": 90}}, r"must be over 0 and up to 1 \(100 %\), but got 90"),
        ({"keep": {"quality": math.nan}}, "must be over 0"),
        ({"at_most": {"cost_eur": 1}}, r"cost_eur was not measured in this run: .* energy\.price_eur_per_kwh"),
        ({"best_in": "co2e_g"}, r"co2e_g was not measured in this run: .* energy\.region"),
        ({"keep": {"energy_idle_j": 0.9}}, "energy_idle_j was not measured in this run: orkester doctor says which"),
        ({"best_in": "output_tokens"}, "output_tokens was not measured in this run: the engine did not count"),
        ({"best_in": "calls"}, "calls was not measured in this run: take another objective"),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_to_do(asked: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        best(of([(0.5, 1.0), (0.4, 0.5)]), **asked)


def test_a_share_of_less_than_nothing_is_refused() -> None:
    with pytest.raises(InputError, match=r"the best quality is -0\.5, and a share of a negative number means nothing"):
        best(of([(-0.5, 1.0)]), keep={"quality": 0.9})


def test_joules_of_different_methods_are_not_compared() -> None:
    values = {"quality": 0.5, "energy_j": 2.0}
    found = together(entry(2, values), entry(3, values, method="estimate"), objectives={"quality": "maximize"})
    with pytest.raises(InputError, match=r"energy_j: this run holds joules of different methods \(estimate, nvml\)"):
        best(found, at_most={"energy_j": 3})
    assert best(found).result.on_front


# -- shapes -----------------------------------------------------------------------------------------------------------


def test_limits_are_written_so_that_they_are_read_again_as_they_were() -> None:
    found = of([(0.5, 1e-7), (0.6, 1.0)])
    chosen = best(found, at_most={"energy_j": 1e-7 * 3, "quality": 1e20})
    assert list(chosen.excluded.items()) == [(f"energy_j <= {1e-7 * 3!r}", 1), ("quality <= 1e+20", 0)]


def test_a_choice_is_plain_json() -> None:
    found = together(
        entry(1, {"quality": 0.8, "energy_j": 10.0}),
        entry(2, {"quality": (0.9, 0.8, None), "energy_j": 25.0, "calls": 2.0}),
    )
    shown = best(found, at_least={"calls": 1}).as_json()
    assert json.loads(json.dumps(shown)) == shown
    assert shown["id"] == found.teams[1].team.id
    assert shown["values"]["quality"] == {"value": 0.9, "low": 0.8, "high": None, "n": 40}
    assert shown["values_of"] == "search"
    assert shown["energy_method"] == "nvml"
    assert shown["excluded"] == {"calls >= 1": 1}
    assert shown["against_single"]["ratios"]["energy_j"] == 2.5


def test_a_run_on_disk_is_chosen_from_by_its_public_name(finished_run: Any) -> None:
    run = orkester.open_run(finished_run)
    chosen = orkester.best(run, best_in="quality")
    assert chosen.result in run.results.front
    assert chosen.phase == "confirm"
    top = max(member.confirmed.estimates["quality"].value for member in run.results.front if member.confirmed)
    assert chosen.values["quality"].value == top
