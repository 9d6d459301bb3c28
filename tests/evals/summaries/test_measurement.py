"""What blocks add up to, and who used what."""

import dataclasses
import statistics
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orkester.errors import OrkesterError
from orkester.evals.footprint import Footprint
from orkester.evals.objectives import objectives
from orkester.evals.records.agent_shares import agent_shares
from orkester.evals.records.block import Block
from orkester.evals.stats.intervals import (
    MIN_BLOCKS,
    bootstrap_mean,
    mean_interval,
    quantile_interval,
    ratio_interval,
    wilson,
)
from orkester.evals.summaries.measurement import measure
from orkester.testing.blocks import TEAM, block, call, result


def failed(number: int = 0, kind: str = "deadline") -> Any:
    """An example that failed at a deadline of 20 s."""
    return result(
        number, answer=None, score=0.0, latency_s=20.0, failure=kind, calls=(call(failure=kind, **UNCOUNTED),)
    )


OF_JOULES = {name for name, objective in objectives().items() if objective.of_joules}
PRICED = Footprint(
    region="SE",
    carbon_g_per_kwh=36.0,
    year=2023,
    source="a test",
    pue=1.5,
    price_eur_per_kwh=0.2,
    gpu_hour_eur=3.6,
)
UNCOUNTED = {"input_tokens": None, "output_tokens": None, "cached_tokens": None}


def blocks(*parts: tuple[Any, ...], **changes: Any) -> list[Block]:
    return [block(index=index, examples=part, **changes) for index, part in enumerate(parts)]


# -- measure ----------------------------------------------------------------------------------------------------------


def test_a_measurement_has_every_objective_with_what_it_stands_on() -> None:
    found = measure([block(index=index, examples=4, energy_idle_j=1.0) for index in range(3)], PRICED)
    assert (found.team, found.phase, found.examples, found.blocks) == (TEAM.id, "search", 12, 3)
    assert set(found.estimates) == set(objectives())
    assert {estimate.n for estimate in found.estimates.values()} == {12}
    assert (found.energy_method, found.failures) == ("estimate", {})


def test_values_are_per_example() -> None:
    parts = (
        (result(0, calls=(call(), call(sample=1))), result(1, score=0.0, latency_s=0.75)),
        (result(2, latency_s=1.0),),
    )
    found = {name: estimate.value for name, estimate in measure(blocks(*parts)).estimates.items()}
    assert found == pytest.approx(
        {
            "quality": 2 / 3,
            "latency_p50_s": 0.75,
            "latency_p95_s": 0.975,
            "latency_mean_s": 2 / 3,
            "input_tokens": 80 / 3,
            "output_tokens": 20 / 3,
            "calls": 4 / 3,
            "failure_rate": 0.0,
            "energy_j": 8 / 3,
            "energy_j_per_success": 8 / 2,
        }
    )


def test_intervals_are_those_of_the_statistics() -> None:
    latencies = [0.1, 0.2, 0.3, 0.9, 0.5, 0.6]
    examples = [result(i, latency_s=s, score=float(i % 2)) for i, s in enumerate(latencies)]
    made = blocks(*((one, other) for one, other in zip(examples[::2], examples[1::2], strict=True)))
    found = measure(made).estimates
    expected = {
        "quality": wilson(3, 6),
        "failure_rate": wilson(0, 6),
        "latency_p50_s": quantile_interval(latencies, 0.5),
        "latency_p95_s": quantile_interval(latencies, 0.95),
        "latency_mean_s": mean_interval(latencies),
        "energy_j": ratio_interval([4.0] * 3, [2] * 3),
    }
    assert {name: (found[name].low, found[name].high) for name in expected} == expected


def test_scores_between_0_and_1_have_the_interval_of_a_mean() -> None:
    scores = [0.0, 0.25, 1.0, 0.5]
    found = measure([block(examples=tuple(result(i, score=s) for i, s in enumerate(scores)))]).estimates
    assert found["quality"].value == 0.4375
    assert (found["quality"].low, found["quality"].high) == bootstrap_mean(scores)
    assert found["energy_j_per_success"].value == 4.0  # over 0.5, not from it


def test_too_little_has_a_value_but_no_interval() -> None:
    found = measure([block(examples=1)]).estimates
    for name in ("latency_p50_s", "latency_mean_s", "calls", "energy_j"):
        assert found[name].low is found[name].high is None
    assert found["quality"].low is not None  # a share has one, however wide
    assert measure([block(index=i) for i in range(MIN_BLOCKS - 1)]).estimates["energy_j"].low is None
    assert measure([block(index=i) for i in range(MIN_BLOCKS)]).estimates["energy_j"].low is not None


def test_failures_score_0_count_by_kind_and_at_their_deadline() -> None:
    found = measure([block(examples=(result(0), failed(1), failed(2, "http 400"), failed(3)))])
    assert found.failures == {"deadline": 2, "http 400": 1}
    assert found.estimates["failure_rate"].value == 0.75
    assert found.estimates["quality"].value == 0.25
    assert found.estimates["latency_p95_s"].value == 20.0
    assert found.estimates["input_tokens"].value == 20 / 4  # what failed was not counted, and is not expected to be


def test_failures_with_the_same_cause_are_counted_together_by_the_words_of_the_first() -> None:
    words = [
        ("http 400", "you requested 4096 tokens"),
        ("http 400", "you requested 51 tokens (req_abc123)"),
        ("deadline", None),
        ("http 400", "you requested 52 tokens (req_xyz789)"),
        ("http 500", "you requested 4096 tokens"),
        ("http 400", "you requested 53 tokens (req_klm123)"),
    ]
    examples = tuple(
        dataclasses.replace(failed(i, kind), failure_message=message) for i, (kind, message) in enumerate(words)
    )
    assert measure([block(examples=examples)]).failures == {
        "http 400: you requested 51 tokens (req_abc123)": 3,
        "http 400: you requested 4096 tokens": 1,
        "deadline": 1,
        "http 500: you requested 4096 tokens": 1,
    }


def test_joules_per_success_have_an_interval_where_every_block_has_a_success() -> None:
    right, wrong = result(), result(1, score=0.0)
    blocks = [block(index=i, examples=(right, wrong)) for i in range(MIN_BLOCKS)]
    found = measure(blocks).estimates["energy_j_per_success"]
    assert (found.low, found.high) == ratio_interval([4.0] * MIN_BLOCKS, [1] * MIN_BLOCKS)
    assert found.value == 4.0
    without = measure([*blocks, block(index=MIN_BLOCKS, examples=(wrong,))]).estimates["energy_j_per_success"]
    assert (without.low, without.high) == (None, None)


def test_where_everything_failed_there_are_no_tokens_and_no_joules_per_success() -> None:
    found = measure([block(examples=(failed(0), failed(1)))])
    assert found.estimates["quality"].value == 0
    assert not {"input_tokens", "output_tokens", "energy_j_per_success"} & set(found.estimates)


@pytest.mark.parametrize("absent", ["input_tokens", "output_tokens"])
def test_an_answer_that_was_not_counted_leaves_no_number_of_tokens(absent: str) -> None:
    uncounted = result(1, calls=(call(), call(**{absent: None})))
    found = measure([block(examples=(result(0), uncounted))]).estimates
    assert absent not in found
    assert {"input_tokens", "output_tokens"} - {absent} <= set(found)


def test_energy_that_was_not_had_is_no_number() -> None:
    without = block(energy_j=None, energy_method="unavailable")
    found = measure([without])
    assert found.energy_method == "unavailable"
    assert not {"energy_j", "energy_j_per_success"} & set(found.estimates)
    # One block without is enough: a sum of the others would be too small.
    found = measure([block(), block(index=1, energy_j=None)])
    assert "energy_j" not in found.estimates


def test_joules_of_different_methods_are_not_added_up() -> None:
    with pytest.raises(OrkesterError) as raised:
        measure([block(), block(index=1, energy_method="nvml")])
    assert "(estimate, nvml) and cannot be added up" in str(raised.value)
    with pytest.raises(OrkesterError, match=r"\(estimate, unavailable\)"):
        measure([block(), block(index=1, energy_method="unavailable", energy_j=None)])


@pytest.mark.parametrize("made", [[], [block(), block(team="another")], [block(), block(phase="confirm")]])
def test_only_blocks_of_one_team_in_one_phase_are_measured(made: list[Block]) -> None:
    with pytest.raises(ValueError, match="the same team and phase"):
        measure(made)


# -- the meter's error, idle power, grams and euros --------------------------------------------------------------------


def test_a_meters_own_error_widens_the_intervals_of_what_follows_from_joules() -> None:
    sure = [block(index=i, energy_idle_j=0.5 + i, energy_j={"gpu:0": 4.0 + i}) for i in range(3)]
    unsure = [dataclasses.replace(one, energy_error_j=0.6) for one in sure]
    before, after = measure(sure, PRICED).estimates, measure(unsure, PRICED).estimates
    by = 3 * 0.6 / 6  # joules an example
    for name, change in {
        "energy_j": by,
        "energy_j_per_success": by,
        "energy_idle_j": by,
        "co2e_g": PRICED.co2e_g(by),
        "cost_eur": PRICED.cost_eur(by, 0.0),
    }.items():
        assert after[name].value == before[name].value
        assert after[name].low == pytest.approx(max(0.0, (before[name].low or 0.0) - (change or 0.0)))
        assert after[name].high == pytest.approx((before[name].high or 0.0) + (change or 0.0))
    assert {n: e for n, e in after.items() if n not in OF_JOULES} == {
        n: e for n, e in before.items() if n not in OF_JOULES
    }


def test_joules_per_success_are_off_by_the_error_per_success() -> None:
    made = [block(index=i, examples=(result(), result(1, score=0.0)), energy_error_j=1.0) for i in range(3)]
    found = measure(made).estimates
    assert (found["energy_j"].low, found["energy_j"].high) == pytest.approx((1.5, 2.5))
    assert (found["energy_j_per_success"].low, found["energy_j_per_success"].high) == pytest.approx((3.0, 5.0))


def test_no_interval_is_below_0_and_an_error_alone_makes_none() -> None:
    made = [block(index=i, energy_error_j=100.0) for i in range(3)]
    assert measure(made, PRICED).estimates["energy_j"].low == 0
    (low, high) = (measure(made[:1], PRICED).estimates[n] for n in ("energy_j", "cost_eur"))
    assert low.low is low.high is high.low is high.high is None


def test_grams_and_euros_are_of_joules_and_hours() -> None:
    made = [
        block(index=i, energy_j={"gpu:0": 7.2e6}, wall_s=1800.0) for i in range(3)
    ]  # 2 kWh, half an hour, 2 examples
    found = measure(made, PRICED).estimates
    assert found["co2e_g"].value == pytest.approx(2 * 1.5 * 36 / 2)
    assert found["cost_eur"].value == pytest.approx((2 * 1.5 * 0.2 + 0.5 * 3.6) / 2)
    rented = dataclasses.replace(PRICED, price_eur_per_kwh=None)
    assert measure(made, rented).estimates["cost_eur"].value == pytest.approx(0.9)
    free = dataclasses.replace(rented, gpu_hour_eur=None)
    assert "cost_eur" not in measure(made, free).estimates
    assert not {"co2e_g", "cost_eur"} & set(measure(made).estimates)


def test_without_joules_there_are_no_grams_and_no_euros() -> None:
    found = measure([block(), block(index=1, energy_j=None)], PRICED).estimates
    assert not OF_JOULES & set(found)


def test_idle_joules_are_absent_where_one_block_does_not_know_them() -> None:
    known, unknown = block(energy_idle_j=1.0), block(index=1)
    assert measure([known]).estimates["energy_idle_j"].value == 0.5
    assert "energy_idle_j" not in measure([known, unknown]).estimates
    assert measure([block(energy_idle_j=0.0)]).estimates["energy_idle_j"].value == 0


def test_marks_are_counted_by_blocks() -> None:
    marks = ("foreign process", "too short", "too short")
    found = measure([block(energy_marks=marks), block(index=1, energy_marks=("too short",)), block(index=2)])
    assert found.energy_marks == {"foreign process": 1, "too short": 2}


# -- agents' shares ---------------------------------------------------------------------------------------------------


def test_an_engines_joules_are_shared_by_tokens() -> None:
    first = call(agent="first", input_tokens=30, cached_tokens=20, output_tokens=10)  # 20: the cached cost nothing
    then = call(agent="then", input_tokens=50, cached_tokens=0, output_tokens=10)  # 60
    other = call(agent="then", model="large", input_tokens=1, output_tokens=1)
    made = block(
        examples=(result(0, calls=(first, then)), result(1, calls=(other,))),
        energy_j={"orkester": 2.0, "engine:small": 8.0, "engine:large": 5.0, "engine:idle": 1.0, "gpu:0": 3.0},
    )
    found = agent_shares([made])
    assert [(share.agent, share.model, share.energy_j) for share in found.agents] == [
        ("first", "small", 1.0),
        ("then", "small", 3.0),
        ("then", "large", 2.5),
    ]
    assert found.residual_j == pytest.approx(3.0)  # orkester, the idle engine, the GPU's own


def test_an_agents_use_is_per_example() -> None:
    made = block(
        examples=(
            result(0, calls=(call(latency_s=0.1), call(sample=1, latency_s=0.3, cached_tokens=12))),
            result(1, calls=(call(latency_s=0.2, output_tokens=7),)),
        )
    )
    (share,) = agent_shares([made]).agents
    assert dataclasses.asdict(share) == {
        "agent": "voter",
        "model": "small",
        "calls": 1.5,
        "input_tokens": 30.0,
        "output_tokens": 8.5,
        "cached_tokens": 6.0,
        "latency_p50_s": statistics.median([0.1, 0.2, 0.3]),
        "energy_j": 1.5,
        "thought_tokens": None,
        "thoughts_estimated": False,
    }


def test_an_agent_with_an_answer_that_was_not_counted_has_no_tokens() -> None:
    made = block(examples=(result(0, calls=(call(), call(sample=1, cached_tokens=None, output_tokens=None))),))
    (share,) = agent_shares([made]).agents
    assert (share.input_tokens, share.output_tokens, share.cached_tokens) == (40.0, None, None)


def test_joules_of_calls_that_were_not_counted_belong_to_nobody() -> None:
    made = block(examples=(result(0, calls=(call(**UNCOUNTED),)),))
    found = agent_shares([made])
    assert found.agents[0].energy_j == 0
    assert found.residual_j == 4.0


def test_calls_that_have_joules_keep_them() -> None:
    first, then = call(agent="first", energy_j=1.0), call(agent="then", output_tokens=900, energy_j=0.25)
    failed_call = call(agent="then", failure="timeout", energy_j=0.25, **UNCOUNTED)
    made = block(
        examples=(result(calls=(first, then, failed_call)), result(1, calls=())),
        energy_j={"gpu:0": 4.0},
        energy_idle_j=2.0,
        attribution="affine",
    )
    found = agent_shares([made])
    assert [(share.agent, share.energy_j) for share in found.agents] == [("first", 0.5), ("then", 0.25)]
    assert (found.idle_j, found.method) == (1.0, "affine")
    assert found.residual_j == pytest.approx(0.25)


def test_older_records_are_shared_by_tokens_beside_newer_ones() -> None:
    newer = block(index=1, examples=(result(calls=(call(energy_j=2.0),)),), energy_idle_j=1.0, attribution="affine")
    older = block(examples=1)
    found = agent_shares([older, newer])
    assert found.agents[0].energy_j == (3.0 + 2.0) / 2
    assert (found.idle_j, found.method) == (None, "affine, tokens")
    assert found.residual_j == pytest.approx((1.0 + 2.0) / 2)  # the newer one's idle power too, since not all know it


@pytest.mark.parametrize("made", [[], [block(energy_j=None)], [block(), block(index=1, energy_j=None)]])
def test_without_energy_there_are_no_shares_of_it(made: list[Block]) -> None:
    found = agent_shares(made)
    assert found.residual_j is None
    assert found.idle_j is None
    assert found.method == ""
    assert all(share.energy_j is None for share in found.agents)


COUNTS = st.none() | st.integers(0, 10**5)
CALLS = st.builds(
    call,
    agent=st.sampled_from(["first", "then"]),
    model=st.sampled_from(["small", "large"]),
    input_tokens=COUNTS,
    output_tokens=COUNTS,
    cached_tokens=COUNTS,
    failure=st.none() | st.just("timeout"),
)
JOULES = st.dictionaries(
    st.sampled_from(["orkester", "engine:small", "engine:large", "engine:idle", "gpu:0"]), st.floats(0, 1e5)
)
EXAMPLES = st.builds(result, calls=st.lists(CALLS, max_size=5).map(tuple))
BLOCKS = st.lists(
    st.builds(block, examples=st.lists(EXAMPLES, min_size=1, max_size=4).map(tuple), energy_j=JOULES),
    min_size=1,
    max_size=4,
)


@settings(max_examples=150, deadline=None)
@given(BLOCKS)
def test_shares_and_the_residual_are_the_meters_total(made: list[Block]) -> None:
    found = agent_shares(made)
    shares = [share.energy_j for share in found.agents if share.energy_j is not None]
    assert len(shares) == len(found.agents)
    assert found.residual_j is not None
    total = sum(joules for one in made for joules in (one.energy_j or {}).values())
    per_example = total / sum(len(one.examples) for one in made)
    tolerance = 1e-6 * max(1.0, per_example)
    assert sum(shares) + found.residual_j == pytest.approx(per_example, abs=tolerance)
    assert all(share >= 0 for share in shares)
    assert found.residual_j >= -tolerance
    # What is no engine's is no agent's.
    free = sum(j for one in made for name, j in (one.energy_j or {}).items() if not name.startswith("engine:"))
    assert found.residual_j >= free / sum(len(one.examples) for one in made) - tolerance


SHARED = st.builds(
    block,
    examples=st.lists(
        st.builds(
            result,
            calls=st.lists(
                st.builds(call, agent=st.sampled_from(["first", "then"]), energy_j=st.none() | st.floats(0, 10)),
                max_size=5,
            ).map(tuple),
        ),
        min_size=1,
        max_size=4,
    ).map(tuple),
    energy_j=st.floats(1e3, 1e5).flatmap(lambda joules: st.sampled_from([{"gpu:0": joules}, {"engine:small": joules}])),
    energy_idle_j=st.none() | st.floats(0, 500),
    attribution=st.sampled_from(["affine", "tokens", ""]),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(SHARED | st.builds(block, energy_j=JOULES), min_size=1, max_size=4))
def test_agents_idle_power_and_the_residual_are_the_meters_total(made: list[Block]) -> None:
    found = agent_shares(made)
    assert found.residual_j is not None
    shares = sum(share.energy_j or 0.0 for share in found.agents) + (found.idle_j or 0.0)
    total = measure(made).estimates["energy_j"].value
    assert shares + found.residual_j == pytest.approx(total, rel=1e-6, abs=1e-6)
    assert found.residual_j >= -1e-6 * max(1.0, total)


@settings(max_examples=30, deadline=None)
@given(BLOCKS, st.randoms(use_true_random=False))
def test_the_order_of_blocks_changes_no_value(made: list[Block], rng: Any) -> None:
    shuffled = list(made)
    rng.shuffle(shuffled)
    one, other = measure(made).estimates, measure(shuffled).estimates
    assert {name: e.value for name, e in one.items()} == pytest.approx({name: e.value for name, e in other.items()})


# -- objectives -------------------------------------------------------------------------------------------------------


def test_objectives_say_what_they_are() -> None:
    for name, objective in objectives().items():
        assert objective.name == name
        assert objective.meaning.endswith(".")
        assert (objective.direction == "maximize") is (name == "quality")
        unit = {"s": "s", "j": "J", "g": "g", "eur": "EUR"}.get(
            name.removesuffix("_per_success").rpartition("_")[2], ""
        )
        assert objective.unit == unit
        assert objective.of_joules is (name.startswith("energy") or unit in {"g", "EUR"})
