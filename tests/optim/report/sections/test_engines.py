"""The report's section on engines, and what servers say of calls, as plain values."""

import re
from typing import Any

import pytest

from orkester.evals.records.log import Records
from orkester.optim.report._waterfall import has_parts, waterfall
from orkester.optim.report.sections.engines import engine_tables
from orkester.optim.report.sections.members import member
from orkester.optim.report.sections.methods import methods
from orkester.optim.run.engine_log import EngineUse
from orkester.optim.run.results import results
from orkester.testing.blocks import block, call, result

SAID = {
    "running_mean": 6.0,
    "running_max": 8.0,
    "waiting_mean": 0.5,
    "waiting_max": 3.0,
    "kv_cache_usage_mean": 0.25,
    "kv_cache_usage_max": 0.5,
    "preemptions": 2.0,
    "prefix_cache_queries": 1000.0,
    "prefix_cache_hits": 400.0,
    "samples": 3,
    "missed": 0,
}


def use(**changes: Any) -> EngineUse:
    counts = {
        **dict.fromkeys(("starts", "sleeps", "wakes", "restarts", "deaths", "stops"), 0),
        **dict.fromkeys(("start_s", "sleep_s", "wake_s"), 0.0),
    }
    return EngineUse(**{"model": "small", "options": {}, "reasons": {}, "energy_j": None, **counts, **changes})


def test_only_columns_with_something_in_them_are_shown() -> None:
    (table,) = engine_tables([use(starts=1, start_s=33.0, stops=1), use(model="large", starts=2, start_s=130.0)], [])
    assert table["heads"] == ["started"]
    assert [(row["model"], row["options"], row["cells"]) for row in table["rows"]] == [
        ("small", "", [("1", "33 s")]),
        ("large", "", [("2", "2.2 min")]),
    ]


def test_joules_of_starts_and_swaps_are_shown_where_there_are_some() -> None:
    (table,) = engine_tables([use(starts=1, start_s=33.0, energy_j=1234.0), use(model="large", starts=1)], [])
    assert table["heads"] == ["started", "joules"]
    assert [row["cells"][1] for row in table["rows"]] == [("1,234", ""), ("–", "")]


def test_what_befell_engines_is_shown_with_its_reasons_by_configuration() -> None:
    tuned = {"max_num_active_seqs": 8, "prefix_caching": True}
    uses = [
        use(starts=1, start_s=10.0, sleeps=2, sleep_s=3.0, wakes=1, wake_s=0.5),
        use(options=tuned, starts=3, start_s=99.0, deaths=1, restarts=1, reasons={"its process ended": 1, "wrong": 1}),
    ]
    (table,) = engine_tables(uses, [])
    assert table["heads"] == ["started", "put to sleep", "woken", "woke wrong", "died"]
    first, second = table["rows"]
    assert first["cells"] == [("1", "10 s"), ("2", "3 s"), ("1", "0.5 s"), ("–", ""), ("–", "")]
    assert second["cells"] == [("3", "1.6 min"), ("–", ""), ("–", ""), ("1", ""), ("1", "")]
    assert second["options"] == "max_num_active_seqs=8, prefix_caching=true"
    assert second["note"] == "1 × its process ended; 1 × wrong"


def test_how_busy_engines_were_is_summed_up_over_blocks_by_configuration() -> None:
    tuned = {"max_num_active_seqs": 8}
    blocks = [
        block(engine_metrics={"small": SAID}),
        block(index=1, engine_metrics={"small": {**SAID, "running_mean": 2.0, "running_max": 20.0, "samples": 1}}),
        block(
            engine_options=tuned,
            engine_metrics={"small": {**SAID, "prefix_cache_queries": 0.0, "preemptions": 0.0}},
        ),
    ]
    (table,) = engine_tables([], blocks)
    assert table["heads"] == [
        "running requests", "waiting requests", "KV cache in use", "preemptions", "prefix cache hits"
    ]  # fmt: skip
    plain, searched = table["rows"]
    assert plain["cells"] == [
        ("5", "at most 20"), ("0.5", "at most 3"), ("25 %", "at most 50 %"), ("4", ""), ("40 %", "of 2,000 tokens")
    ]  # fmt: skip
    assert plain["note"] == "4 samples in 2 blocks"
    assert searched["options"] == "max_num_active_seqs=8"
    assert searched["cells"][3:] == [("0", ""), ("–", "")]


QUIET = {"preemptions": 0.0, "prefix_cache_queries": 0.0, "prefix_cache_hits": 0.0, "samples": 0, "missed": 0}


@pytest.mark.parametrize("said", [{}, {"small": {"samples": 0, "missed": 4}}, {"small": QUIET}])
def test_engines_that_say_nothing_have_no_table(said: dict[str, dict[str, float]]) -> None:
    assert engine_tables([], [block(engine_metrics=said)]) == []


def test_a_block_without_a_sample_in_it_counts_for_the_counters_alone() -> None:
    short = {"preemptions": 1.0, "prefix_cache_queries": 10.0, "prefix_cache_hits": 10.0, "samples": 0, "missed": 0}
    (table,) = engine_tables([], [block(engine_metrics={"small": short})])
    assert table["heads"] == ["preemptions", "prefix cache hits"]
    assert table["rows"][0]["cells"] == [("1", ""), ("100 %", "of 10 tokens")]


@pytest.mark.parametrize(
    ("states", "said"),
    [
        ([""], ""),
        (["cold", "cold"], "emptied before each team's measurement"),
        (["kept"], "not emptied between teams: the engine cannot"),
        (["warm", "warm"], "not emptied between teams, as the study asked for"),
        (["kept", "cold"], "those before it; not emptied between teams: the engine cannot"),
    ],
)
def test_what_became_of_prefix_caches_is_among_the_methods(states: list[str], said: str) -> None:
    shown = methods({}, [block(prefix_cache=state) for state in states])["prefix_cache"]
    assert said in shown
    assert bool(said) == bool(shown)


# -- calls ------------------------------------------------------------------------------------------------------------


def rows_of(*calls: Any) -> dict[str, list[str]]:
    blocks = [block(examples=tuple(result(i, calls=(each,)) for i, each in enumerate(calls)))]
    found = results(Records(blocks=blocks, failures=()), {"quality": "maximize"}, {}, {"search": 1, "confirm": 1})
    shown = member(found.teams[0], blocks)
    return {row["label"]: row["cells"] for row in shown["agents"]}


def test_agents_have_medians_of_what_the_server_said_of_their_calls() -> None:
    calls = [call(queue_s=q, ttft_s=0.02, decode_s=None) for q in (0.001, 0.005, 0.003)]
    rows = rows_of(*calls, call(queue_s=None, ttft_s=None, decode_s=None))
    assert rows["… in the engine's queue"] == ["0.003", ""]
    assert rows["… to the first token"] == ["0.02", ""]
    assert "… for the tokens after it" not in rows


def test_agents_whose_server_says_nothing_have_no_such_rows() -> None:
    assert not [label for label in rows_of(call()) if "queue" in label or "token after" in label]


def drawn(svg: str) -> dict[str, tuple[float, float]]:
    found = re.findall(r'<rect class="(\w+)" x="([\d.]+)" y="\d+" width="([\d.]+)"', svg)
    return {kind: (float(x), float(width)) for kind, x, width in found}


def test_a_call_that_the_server_told_of_is_drawn_in_shades_that_end_where_it_ends() -> None:
    told = result(latency_s=1.0, calls=(call(start_s=0.0, latency_s=1.0, queue_s=0.1, ttft_s=0.2, decode_s=0.4),))
    assert has_parts(told)
    svg = waterfall(told)
    bars = drawn(svg)
    assert list(bars) == ["other", "decode", "prefill", "queue"]
    start, whole = bars["other"]
    for kind, begins, share in (("queue", 0.3, 0.1), ("prefill", 0.4, 0.2), ("decode", 0.6, 0.4)):
        assert bars[kind][0] == pytest.approx(start + begins * whole, abs=0.2)
        assert bars[kind][1] == pytest.approx(share * whole, abs=0.2)
    assert "; 0.1 s in the queue; 0.2 s to the first token; 0.4 s for the tokens after it</title>" in svg


def test_parts_that_are_longer_than_their_call_stay_in_it() -> None:
    bars = drawn(waterfall(result(calls=(call(start_s=0.0, latency_s=0.2, queue_s=9.0, ttft_s=0.1, decode_s=0.15),))))
    start, whole = bars["other"]
    assert all(start - 0.1 <= x and x + width <= start + whole + 0.1 for x, width in bars.values())
    assert bars["queue"][1] == 0


def test_a_call_that_the_server_did_not_tell_of_is_one_bar() -> None:
    silent = result(calls=(call(),))
    assert not has_parts(silent)
    assert waterfall(silent).count("<rect") == 1
