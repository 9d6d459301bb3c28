"""Sharing a meter's joules among requests."""

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orkester.serving.energy import Reading
from orkester.serving.energy.attribution import Attribution, Coefficients, Request, attribute, count_steps

COST = Coefficients(step_j=1.0, prompt_token_j=0.01, output_token_j=0.1, context_token_j=1e-4)
DOMAINS = ("gpu:0", "cpu:0", "engine:a", "engine:b", "orkester")


@st.composite
def request_lists(draw: st.DrawFn) -> list[Request]:
    found = []
    for number in range(draw(st.integers(0, 8))):
        start_s = draw(st.integers(-40, 140)) / 10
        length_s = draw(st.sampled_from([0.0, 0.05, 0.3, 1.0, 7.7, 30.0]))
        first_s = draw(st.none() | st.floats(0, 1).map(lambda share, s=start_s, n=length_s: s + share * n))
        found.append(
            Request(
                id=f"r{draw(st.integers(0, number))}",
                engine=draw(st.sampled_from("ab")),
                start_s=start_s,
                end_s=start_s + length_s,
                first_token_s=first_s,
                prompt_tokens=draw(st.none() | st.integers(0, 2000)),
                cached_tokens=draw(st.integers(0, 500)),
                output_tokens=draw(st.none() | st.integers(0, 300)),
            )
        )
    return found


@st.composite
def reading_lists(draw: st.DrawFn) -> list[Reading]:
    time_s, energy_j, found = 0.0, dict.fromkeys(DOMAINS, 5.0), []
    for _ in range(draw(st.integers(2, 12))):
        found.append(Reading(time_s=time_s, energy_j=dict(energy_j)))
        time_s += draw(st.sampled_from([0.0, 0.1, 0.5, 2.0]))
        energy_j = {name: value + draw(st.floats(0, 100)) for name, value in energy_j.items()}
    return found


def total(readings: list[Reading]) -> float:
    return sum(readings[-1].energy_j.values()) - sum(readings[0].energy_j.values())


def shared(readings: list[Reading], requests: list[Request], known: str = "ab", idle_w: float = 30.0) -> Attribution:
    return attribute(readings, requests, idle_w={"gpu:0": idle_w}, coefficients=dict.fromkeys(known, COST))


def line(end_s: float, parts: int, watts: float = 100.0, domain: str = "gpu:0") -> list[Reading]:
    times = [end_s * number / parts for number in range(parts + 1)]
    return [Reading(time_s=at, energy_j={domain: watts * at}) for at in times]


@settings(deadline=None)
@given(
    readings=reading_lists(), requests=request_lists(), known=st.sampled_from(["", "a", "ab"]), cut=st.integers(0, 11)
)
def test_every_joule_is_counted_once(readings: list[Reading], requests: list[Request], known: str, cut: int) -> None:
    for window in (readings, readings[cut // 2 :], readings[: cut + 1]):  # they overlap
        if len(window) < 2:
            continue
        found = shared(window, requests, known)
        assert found.total_j == pytest.approx(total(window), rel=1e-6, abs=1e-9)
        assert min([*found.requests_j.values(), found.idle_j, found.unattributed_j]) >= 0
        assert set(found.requests_j) == {request.id for request in requests}


@settings(deadline=None)
@given(readings=reading_lists(), requests=request_lists(), seed=st.integers(0, 99))
def test_the_order_of_requests_does_not_matter(readings: list[Reading], requests: list[Request], seed: int) -> None:
    other = random.Random(seed).sample(requests, len(requests))
    assert shared(readings, other).requests_j == pytest.approx(shared(readings, requests).requests_j, rel=1e-9)


@settings(deadline=None)
@given(requests=request_lists(), parts=st.integers(1, 40))
def test_finer_sampling_of_a_steady_counter_keeps_totals(requests: list[Request], parts: int) -> None:
    coarse, fine = shared(line(10, 1), requests), shared(line(10, parts), requests)
    assert fine.total_j == pytest.approx(coarse.total_j)
    assert fine.idle_j == pytest.approx(coarse.idle_j)


def test_finer_sampling_keeps_shares_where_the_work_is_steady() -> None:
    requests = [
        Request(id=name, engine="a", start_s=-5, first_token_s=-4, end_s=15, prompt_tokens=9, output_tokens=count)
        for name, count in (("few", 50), ("many", 150))
    ]
    no_context = {"a": Coefficients(step_j=1, prompt_token_j=0.01, output_token_j=0.1, context_token_j=0)}
    found = [attribute(line(10, n), requests, idle_w={}, coefficients=no_context).requests_j for n in (1, 73)]
    assert found[0] == pytest.approx(found[1])
    assert found[0]["many"] > found[0]["few"]


def test_a_step_is_shared_equally_and_own_work_is_ones_own() -> None:
    long = Request(id="l", engine="a", start_s=0, first_token_s=1, end_s=10, prompt_tokens=1000, output_tokens=100)
    short = Request(id="s", engine="a", start_s=0, first_token_s=1, end_s=10, prompt_tokens=100, output_tokens=100)
    assert count_steps([long, short]) == pytest.approx(100, rel=1e-6)
    cost = Coefficients(step_j=1, prompt_token_j=0.1, output_token_j=0.5, context_token_j=0)
    expected = {"l": 101 / 2 + 100 + 50, "s": 101 / 2 + 10 + 50}
    used = [Reading(time_s=at, energy_j={"gpu:0": j}) for at, j in ((0, 0.0), (10, sum(expected.values())))]
    found = attribute(used, [long, short], idle_w={}, coefficients={"a": cost})
    assert found.method == "affine"
    assert found.requests_j == pytest.approx(expected, rel=2e-3)


def test_a_counter_that_moves_seldom_is_spread_over_the_time_between_its_moves() -> None:
    """Read ten times a second, moves every 0.4 s: what is idle is the same as if it moved at every reading."""
    smooth = line(8.0, 80)
    coarse = [Reading(time_s=r.time_s, energy_j={"gpu:0": 40.0 * (i // 4)}) for i, r in enumerate(smooth)]
    idle_w, one = {"gpu:0": 60.0}, Request(id="r", engine="a", start_s=0, end_s=8, prompt_tokens=9, output_tokens=80)
    exact = attribute(smooth, [one], idle_w=idle_w, coefficients={})
    naive = attribute(coarse, [one], idle_w=idle_w, coefficients={})
    spread = attribute(coarse, [one], idle_w=idle_w, coefficients={}, refresh_s=0.4)
    assert exact.idle_j == pytest.approx(480)
    assert naive.idle_j < 200
    assert spread.idle_j == pytest.approx(480)
    assert spread.total_j == pytest.approx(total(coarse))


def test_a_process_is_shared_only_among_its_own_and_a_device_among_all() -> None:
    both = [
        Request(id=name, engine=name, start_s=0, first_token_s=1, end_s=10, prompt_tokens=10, output_tokens=10)
        for name in "ab"
    ]
    assert shared(line(10, 5, domain="engine:a"), both).requests_j == pytest.approx({"a": 1000, "b": 0})
    assert shared(line(10, 5, domain="cpu:0"), both).requests_j == pytest.approx({"a": 500, "b": 500})
    assert shared(line(10, 5, domain="orkester"), both).unattributed_j == pytest.approx(1000)


def test_without_coefficients_of_one_engine_all_is_shared_by_tokens() -> None:
    both = [
        Request(id=name, engine=name, start_s=0, first_token_s=5, end_s=10, prompt_tokens=50, output_tokens=count)
        for name, count in (("a", 50), ("b", 250))
    ]
    found = shared(line(10, 1), both, known="a", idle_w=0)
    assert found.method == "tokens"
    assert found.requests_j == pytest.approx({"a": 250, "b": 750}, rel=1e-4)


@pytest.mark.parametrize("known", ["", "a"])
def test_an_aborted_request_carries_what_its_like_would(known: str) -> None:
    full = Request(id="f", engine="a", start_s=0, first_token_s=1, end_s=10, prompt_tokens=100, output_tokens=90)
    aborted = Request(id="x", engine="a", start_s=0, end_s=10)
    found = shared(line(10, 10), [full, aborted], known).requests_j
    assert found["x"] == pytest.approx(found["f"], rel=0.02)


def test_where_nothing_is_counted_time_decides() -> None:
    lost = [Request(id=f"{n}", engine="a", start_s=0, end_s=n) for n in (2, 8)]
    found = shared(line(10, 1), lost, idle_w=0).requests_j
    assert found == pytest.approx({"2": 200, "8": 800})


def test_nobody_active_gets_nothing_and_nobody_pays_for_the_quiet() -> None:
    request = Request(id="r", engine="a", start_s=2, end_s=4, prompt_tokens=0, output_tokens=0)
    found = shared(line(10, 10), [request])
    assert found.idle_j == pytest.approx(300)
    assert found.requests_j["r"] == pytest.approx(140)
    assert found.unattributed_j == pytest.approx(560)


def test_a_counter_or_time_that_goes_back_is_refused() -> None:
    with pytest.raises(ValueError, match="gpu:0: its counter goes back"):
        shared([Reading(time_s=0, energy_j={"gpu:0": 2}), Reading(time_s=1, energy_j={"gpu:0": 1})], [])
    with pytest.raises(ValueError, match="times must not go back"):
        shared(line(1, 2)[::-1], [])


def test_a_request_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="must end after it starts"):
        Request(id="r", engine="a", start_s=2, end_s=1)
    with pytest.raises(ValueError, match="token counts must be 0 or more"):
        Request(id="r", engine="a", start_s=1, end_s=2, output_tokens=-1)


def test_a_thousand_requests_over_a_minute_take_under_a_second() -> None:
    rng = random.Random(1)
    many = [
        Request(id=f"{n}", engine="ab"[n % 2], start_s=at, end_s=at + 9, prompt_tokens=99, output_tokens=99)
        for n, at in enumerate(rng.uniform(-5, 58) for _ in range(1000))
    ]
    start_s = time.process_time()
    shared(line(60, 600), many)
    assert time.process_time() - start_s < 1
