"""A front can be believed: whole studies by the product's tuner on a generator's known truth, a few of them and small.

``python -m benchmarks.search.honesty`` asks the same of 200 worlds; what it found is in docs/search.md.
"""

import json
import math
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import ROOT

from orkester.evals.objectives import Estimate
from orkester.evals.summaries.measurement import Measurement

sys.path.insert(0, str(ROOT / "benchmarks"))

from search import honesty, simulation, studies
from search.simulation import BROKEN, FAULTS, Found, Plan

CALLS, SOUND, RACED = 300, 8, 2
#: With less it is all spent on a first look at each kind of team.
CALLS_WITH_A_FAULT = 450
#: A sound product is beyond a bound that often.
BY_CHANCE = 1e-4


@cache
def sound(seed: int) -> Found:
    return simulation.run(Plan(seed=seed, llm_calls=CALLS, held_out=32))


@cache
def faulty(fault: str, seed: int) -> Found:
    return simulation.run(Plan(seed=seed, llm_calls=CALLS_WITH_A_FAULT, fault=fault, held_out=32))


def most(n: int, share: float) -> int:
    """So many of n at most, unless something happens that is as rare as ``BY_CHANCE``."""
    above = 1.0
    for k in range(n + 1):
        above -= math.comb(n, k) * share**k * (1 - share) ** (n - k)
        if above < BY_CHANCE:
            return k
    return n


# -- a failing engine


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault not in {"absent", "seldom fails"}])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_failing_engine_is_never_on_the_front(fault: str, seed: int) -> None:
    found = faulty(fault, seed)
    begun = [result for result in found.results.teams if BROKEN.name in result.team.models]
    assert begun  # it was tried
    assert not [result for result in begun if result.on_front]
    for result in begun:
        if result.team.id in found.seen_to_fail:
            assert result.infeasible or result.stopped


@pytest.mark.parametrize("seed", [0, 1])
def test_a_team_that_was_seen_to_fail_is_not_on_the_front_however_seldom_it_does(seed: int) -> None:
    found = faulty("seldom fails", seed)
    assert found.seen_to_fail
    assert not {result.team.id for result in found.results.front} & found.seen_to_fail


def test_the_failing_engine_would_win_if_it_did_not_fail() -> None:
    """So the tests above say something: it is lost as late as can be, and until then it is what the search holds."""
    teams = [r for r in faulty("lost in confirmation", 0).results.teams if r.infeasible.startswith("in confirmation")]
    assert teams
    assert all(BROKEN.name in result.team.models and result.whole for result in teams)


def test_where_confirmation_empties_the_front_the_search_goes_on(tmp_path: Path) -> None:
    plan = Plan(seed=23, llm_calls=900, fault="lost in confirmation", examples=24, held_out=24)
    found = simulation.run(plan, tmp_path)
    assert found.sent["search"] >= 900
    assert found.results.front
    assert not [result for result in found.results.front if BROKEN.name in result.team.models]

    path = tmp_path / "blocks.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    phases = [json.loads(line).get("phase", "failed") for line in lines]
    # It went to and fro between the two, and a run that is killed anywhere takes the same way.
    assert phases.index("failed") < len(phases) - phases[::-1].index("search") - 1
    for cut in (phases.index("failed") + 1, len(lines) * 2 // 3, len(lines) - 1):
        path.write_bytes(b"".join(lines[:cut]))
        assert simulation.run(plan, tmp_path).results == found.results
        assert path.read_bytes() == b"".join(lines)


# -- intervals


def test_intervals_of_confirmed_values_hold_the_truth() -> None:
    places = [
        team["confirmed"][name][1]
        for s in range(SOUND)
        for team in studies.intervals(sound(s))
        for name in team["confirmed"]
    ]
    assert len(places) >= 40
    # Teams of a study share their examples: they count as a third of what they are.
    third = len(places) // 3
    assert sum(place != 0 for place in places) / 3 <= most(third, 0.07)


def test_every_member_of_the_front_is_confirmed_on_examples_of_its_own() -> None:
    for seed in range(SOUND):
        for result in sound(seed).results.front:
            assert result.confirmed is not None
            assert result.confirmed.examples >= 24
            assert result.confirmed.reused_calls == 0


# -- racing


def test_members_of_the_true_front_are_seldom_stopped() -> None:
    races = [studies.racing(simulation.run(Plan(seed=s, llm_calls=None, sampler="grid"))) for s in range(RACED)]
    total = {name: sum(race[name] for race in races) for name in races[0]}
    assert total["members"] >= 10 * RACED
    assert total["stopped"] >= RACED  # it is raced, and some are beaten
    assert total["members_stopped"] <= most(total["members"], 0.05)
    assert total["unbeaten_stopped"] <= most(total["unbeaten"], 0.05)


# -- the studies themselves


def test_the_same_plan_comes_to_the_same_and_another_sampler_seed_does_not() -> None:
    one, again, other = (
        simulation.run(Plan(seed=5, llm_calls=120, examples=24, held_out=24, again=again)) for again in (0, 0, 1)
    )
    assert [r.team.id for r in one.results.teams] == [r.team.id for r in again.results.teams]
    assert one.results == again.results
    assert [r.team.id for r in one.results.teams] != [r.team.id for r in other.results.teams]


def test_the_search_spends_its_budget_and_confirmation_makes_every_call_anew() -> None:
    found = sound(0)
    assert found.reason == f"{CALLS} LLM calls are sent"
    assert CALLS <= found.sent["search"] < CALLS + 5 * simulation.BLOCK
    assert found.sent["confirm"] == sum(r.confirmed.calls for r in found.results.teams if r.confirmed is not None)


def test_a_call_that_fails_costs_the_example_and_what_would_have_followed() -> None:
    found = faulty("always fails", 0)
    for result in found.results.teams:
        if result.search is None or BROKEN.name not in result.team.models[:1]:
            continue
        assert result.search.failures == {"http 500": result.search.examples}
        assert result.search.estimates["quality"].value == 0
        assert result.search.estimates["latency_p50_s"].value == simulation.DEADLINE_S


# -- what is made of them


def measured(**ends: tuple[float, float | None, float | None]) -> Measurement:
    estimates = {name: Estimate(value=v, low=low, high=high, n=24) for name, (v, low, high) in ends.items()}
    return Measurement(
        team="t",
        phase="confirm",
        examples=24,
        blocks=3,
        estimates=estimates,
        energy_method="simulated",
        failures={},
    )


def test_an_end_that_is_not_known_lies_beyond_everything_and_no_interval_is_not_counted() -> None:
    truth = {"quality": 0.5, "latency_p50_s": 2.0, "energy_j": 1.0}
    found = studies._places(
        measured(quality=(0.7, 0.6, 0.8), latency_p50_s=(1.5, 1.0, None), energy_j=(1.0, None, None)), truth
    )
    assert found == {"quality": [0.7, -1], "latency_p50_s": [1.5, 0]}
    assert studies._places(measured(energy_j=(0.5, 0.4, 0.9)), truth) == {"energy_j": [0.5, 1]}
    assert studies._places(None, truth) == {}


def test_a_share_over_studies_counts_teams_and_draws_studies() -> None:
    found = honesty.share([(10, 10), (10, 0)])
    assert (found["n"], found["count"], found["share"]) == (20, 10, 0.5)
    low, high = found["wilson"]
    assert 0.29 < low < 0.31
    assert 0.69 < high < 0.71
    assert found["bootstrap"] == [0.0, 1.0]  # two studies say next to nothing
    assert honesty.share([(0, 0)])["share"] is None


def test_gains_are_taken_seed_by_seed() -> None:
    found = honesty.compared([0.5, 0.6, 0.7, 0.9], [0.6, 0.7, 0.8, 0.8])
    assert (found["worse"], found["better"], found["n"]) == (1, 3, 4)
    assert found["mean_gain"] == pytest.approx(0.05)
    assert found["worst"] == pytest.approx(-0.1)
    assert honesty.compared([0.5], [0.49])["worse"] == 0  # within the noise


def team_of(**changes: Any) -> dict[str, Any]:
    known: dict[str, Any] = {
        "row": 0,
        "front": True,
        "probability": 0.9,
        "unbeaten": True,
        "ahead": True,
        "examples": 24,
        "confirmed": {"quality": [0.5, 0]},
        "search": {"quality": [0.5, 0]},
    }
    return {**known, **changes}


def test_winners_are_the_best_of_the_front_by_one_phase() -> None:
    def values(search: float, confirmed: float, place: int, **changes: Any) -> dict[str, Any]:
        return team_of(search={"quality": [search, 0]}, confirmed={"quality": [confirmed, place]}, **changes)

    study = {"intervals": [values(0.9, 0.6, 0), values(0.7, 0.8, -1), values(1.0, 1.0, 1, front=False)]}
    by_search = honesty.coverage([study], "confirmed", honesty._winner("search"))["quality"]
    by_confirmation = honesty.coverage([study], "confirmed", honesty._winner("confirmed"))["quality"]
    assert (by_search["n"], by_search["share"]) == (1, 1.0)
    assert (by_confirmation["n"], by_confirmation["share"], by_confirmation["below"]) == (1, 0.0, 1)
    assert honesty.coverage([study], "confirmed", honesty._everyone)["all"]["count"] == 1


def test_stated_probabilities_are_held_against_what_is_so() -> None:
    teams: Sequence[dict[str, Any]] = [
        team_of(probability=0.8),
        team_of(probability=0.9, unbeaten=False),
        team_of(probability=0.01, unbeaten=False),
        team_of(probability=None),
    ]
    found = honesty.calibration([{"intervals": teams}])
    assert found["0.75 to 0.95"]["stated"] == pytest.approx(0.85)
    assert found["0.75 to 0.95"]["share"] == 0.5
    assert found["0 to 0.05"]["share"] == 0.0
    assert found["0 to 0.05"]["with_ties"]["share"] == 1.0
    assert sum(each["n"] for each in found.values()) == 3


def test_every_seed_has_each_budget_and_every_fault_comes_round() -> None:
    found = [studies.plans(seed) for seed in range(len(FAULTS))]
    assert {each["faulty"].fault for each in found} == set(FAULTS) - {"absent"}
    for seed, each in enumerate(found):
        assert {plan.seed for plan in each.values()} == {seed}
        assert [each[str(calls)].llm_calls for calls in studies.BUDGETS] == list(studies.BUDGETS)


def test_figures_and_their_report_come_from_the_records_alone() -> None:
    records = {seed: {name: _record(plan) for name, plan in studies.plans(seed).items()} for seed in range(2)}
    found = honesty.figures(records)
    assert found["more_budget"]["front"]["300 to 1200"]["mean_gain"] == pytest.approx(0.6)
    assert found["failing"]["always fails"]["studies"] == 1
    assert found["dropped"]["all"]["true_front"]["count"] == 2
    text = honesty.report({"seeds": [0, 1], **found})
    assert "always fails" in text
    assert np.isfinite(found["confirmed_examples_mean"])


def _record(plan: Plan) -> dict[str, Any]:
    value = {300: 0.3, 600: 0.5, 900: 0.6, 1200: 0.9, None: 1.0}[plan.llm_calls]
    return {
        "fault": plan.fault,
        "cpu_s": 1.0,
        "front": 2,
        "value": value,
        "value_likely": value,
        "failing_on_front": [],
        "unseen_on_front": [],
        "racing": {
            "members": 5,
            "members_stopped": 1,
            "unbeaten": 6,
            "unbeaten_stopped": 1,
            "stopped": 3,
            "wrong": 1,
        },
        "intervals": [team_of()],
    }
