"""What the report is put together from: numbers, drawings, axes."""

import re

import pytest

from orkester.cli.results import _plain
from orkester.evals.objectives import Estimate
from orkester.evals.records.agent_shares import AgentShare
from orkester.evals.records.block import Block, Call, ExampleResult
from orkester.graphs import Team, topologies, topology
from orkester.optim.report._drawing import draw
from orkester.optim.report._joules import joules, power_range
from orkester.optim.report._numbers import duration, fact, facts, interval, number, unit
from orkester.optim.report._plot import ends
from orkester.optim.report._waterfall import typical, waterfall


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"), (0.0, "0"), (1.0, "1"), (0.12345, "0.123"), (999.4, "999"), (12345.6, "12,346"),
        (0.00001234, "1.23e-05"), (2.5e7, "2.50e+07"), (-0.5, "-0.5"),
    ],
)  # fmt: skip
def test_numbers_have_three_digits(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.23, "0.23 s"), (28.4, "28 s"), (90, "1.5 min"), (5400, "1.5 h")])
def test_durations_are_in_the_unit_that_reads_best(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("weights_bytes", 161216, "weights: 161 kB"),
        ("memory_bytes", 25276502016, "memory: 25.3 GB"),
        ("start_timeout_s", 120.0, "start timeout: 120 s"),
        ("low_w_per_core", 3.0, "low: 3 W per core"),
        ("prefix_caching", True, "prefix caching: yes"),
        ("gpus", [], "gpus: none"),
        ("vllm_options", {"enforce-eager": True, "seed": 3}, "vllm options: enforce-eager=true, seed=3"),
        ("vllm_options", {}, "vllm options: none"),
        ("gpus", ["A", "B"], "gpus: A, B"),
    ],
)
def test_facts_are_said_in_words(name: str, value: object, text: str) -> None:
    assert fact(name, value) == text


def test_what_is_not_known_is_left_out() -> None:
    assert facts({"engine": "fake", "weights_sha256": None}) == "engine: fake"


def test_an_estimate_without_an_interval_says_so() -> None:
    assert interval(Estimate(value=2.0, low=None, high=None, n=3)) == {"value": "2", "range": "no interval"}
    assert interval(None)["value"] == "–"


def test_joules_carry_their_method() -> None:
    assert unit("energy_j", "estimate") == "J, estimate"
    assert unit("energy_j_per_success", "nvml") == "J, nvml"
    assert unit("latency_p50_s", "estimate") == "s"


def share(agent: str, model: str, calls: float = 2.0) -> AgentShare:
    return AgentShare(
        agent=agent,
        model=model,
        calls=calls,
        input_tokens=1.0,
        output_tokens=1.0,
        cached_tokens=None,
        latency_p50_s=0.1,
        energy_j=None,
    )


@pytest.mark.parametrize("name", topologies())
def test_every_topology_is_drawn_whole_and_within_its_frame(name: str) -> None:
    knobs = {knob: spec.default for knob, spec in topology(name).knobs.items()}
    svg = draw(Team(name, knobs), [])
    graph = topology(name).graph.get_graph()
    for node in graph.nodes:
        assert f">{node.strip('_')}<" in svg
    assert svg.count("marker-end") == len(graph.edges)
    assert svg.count("conditional") == sum(bool(edge.conditional) for edge in graph.edges)
    _, _, width, height = map(float, re.findall(r'viewBox="([^"]+)"', svg)[0].split())
    for path in re.findall(r'<path d="(M[^"]+)" (?:class|marker-end)', svg):
        for x, y in re.findall(r"([-\d.]+),([-\d.]+)", path):
            assert 0 <= float(x) <= width
            assert 0 <= float(y) <= height


def test_a_long_model_name_is_cut_at_its_front_and_whole_on_hovering() -> None:
    name = "some-organisation/a-model-with-a-long-name-1.7B-Instruct"
    svg = draw(Team("single", {"model": name, "temperature": 0.0}), [share("solo", name)])
    assert f"<title>2 × {name}</title>" in svg
    assert ">…" in svg
    assert "1.7B-Instruct</text>" in svg


def test_an_agent_on_two_models_has_both_in_its_box() -> None:
    team = Team("single", {"model": "a", "temperature": 0.0})
    assert "2 × a + 0.5 × b</text>" in draw(team, [share("solo", "a"), share("solo", "b", 0.5)])


def example(name: str, latency_s: float, *, calls: int = 2, failure: str | None = None) -> ExampleResult:
    made = tuple(
        Call(agent=f"agent-{i}", model="m", sample=i, start_s=0.1 * i, latency_s=0.5, input_tokens=3, output_tokens=4)
        for i in range(calls)
    )
    return ExampleResult(id=name, answer="x", score=1.0, latency_s=latency_s, failure=failure, calls=made)


def block(*examples: ExampleResult, method: str = "estimate", **assumptions: object) -> Block:
    return Block(
        team="t", topology="single", knobs={}, phase="search", index=0, trial=0, started_at="", wall_s=1.0,
        concurrency=1, seed=0, energy_j=None, energy_method=method, energy_assumptions=assumptions, examples=examples,
        engines={},
    )  # fmt: skip


def test_the_typical_example_has_the_median_latency_of_those_answered() -> None:
    blocks = [
        block(example("slow", 3.0), example("failed", 2.1, failure="http 400")),
        block(example("quick", 1.0), example("middle", 2.0), example("silent", 1.9, calls=0)),
    ]
    found = typical(blocks)
    assert found is not None
    assert found.id == "middle"
    assert typical([block(example("failed", 1.0, failure="timeout"))]) is None
    assert typical([]) is None


def test_a_waterfall_has_a_bar_for_each_call_to_scale() -> None:
    svg = waterfall(example("e", 2.0, calls=3))
    bars = [(float(x), float(width)) for x, width in re.findall(r'<rect x="([\d.]+)" y="\d+" width="([\d.]+)"', svg)]
    assert len(bars) == 3
    assert {width for _, width in bars} == {bars[0][1]}
    assert bars[1][0] - bars[0][0] == pytest.approx(bars[0][1] / 5, abs=0.2)
    assert "agent-2 on m: 0.5 s from 0.2 s, 3 + 4 tokens" in svg
    assert ">2 s</text>" in svg


def test_calls_beyond_what_fits_are_counted() -> None:
    svg = waterfall(example("e", 20.0, calls=30))
    assert svg.count("<rect") == 24
    assert "and 6 more calls" in svg


def test_the_range_of_a_power_model_is_given_as_factors() -> None:
    model = {"active_w_per_core": 8.0, "low_w_per_core": 2.0, "high_w_per_core": 16.0}
    found = power_range([block(**model), block(**model)])
    assert found is not None
    assert (found["low"], found["high"], found["factors"], found["watts"]) == (0.25, 2.0, "0.25–2", "8")
    assert power_range([block(**model), block(**{**model, "high_w_per_core": 20.0})]) is None
    assert power_range([block(reason="it runs elsewhere", method="unavailable")]) is None
    assert joules([block(**model)]) == "estimate"
    assert joules([]) == "unavailable"


def test_an_end_that_is_not_known_is_open_in_tables_and_has_no_bar() -> None:
    def of(low: float | None, high: float | None) -> Estimate:
        return Estimate(value=2.0, low=low, high=high, n=40)

    assert [interval(of(*ends))["range"] for ends in ((1.5, 3.0), (1.5, None), (None, 3.0), (None, None))] == [
        "1.5–3",
        "≥ 1.5",
        "≤ 3",
        "no interval",
    ]
    assert [ends(of(*known)) for known in ((1.5, None), (None, 3.0), (None, None))] == [[1.5], [3.0], []]
    assert [_plain(of(*ends)) for ends in ((1.5, 3.0), (1.5, None), (None, 3.0), (None, None))] == [
        "2 \\[1.5, 3]",
        "2 \\[≥ 1.5]",
        "2 \\[≤ 3]",
        "2",
    ]
