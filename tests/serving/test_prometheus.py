"""What vLLM says at ``/metrics``, read."""

import pytest

from orkester.serving.engines import EngineMetrics
from orkester.serving.engines._prometheus import parse

#: As vLLM 0.32.0 said it after three requests of 11 tokens, the lines that matter and their neighbours.
CAPTURED = """\
# HELP process_open_fds Number of open file descriptors.
# TYPE process_open_fds gauge
process_open_fds 34.0
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="arithmetic-80k"} 0.0
# HELP vllm:num_requests_waiting Number of requests waiting to be processed.
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="arithmetic-80k"} 0.0
# HELP vllm:num_requests_waiting_by_reason Number of waiting requests by reason.
# TYPE vllm:num_requests_waiting_by_reason gauge
vllm:num_requests_waiting_by_reason{engine="0",model_name="arithmetic-80k",reason="capacity"} 0.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="arithmetic-80k",reason="deferred"} 0.0
# HELP vllm:kv_cache_usage_perc KV-cache usage. 1 means 100 percent usage.
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{engine="0",model_name="arithmetic-80k"} 0.0
# HELP vllm:prefix_cache_queries_total Prefix cache queries, in terms of number of queried tokens.
# TYPE vllm:prefix_cache_queries_total counter
vllm:prefix_cache_queries_total{engine="0",model_name="arithmetic-80k"} 33.0
# HELP vllm:prefix_cache_queries_created Prefix cache queries, in terms of number of queried tokens.
# TYPE vllm:prefix_cache_queries_created gauge
vllm:prefix_cache_queries_created{engine="0",model_name="arithmetic-80k"} 1.7955669997488074e+09
# HELP vllm:prefix_cache_hits_total Prefix cache hits, in terms of number of cached tokens.
# TYPE vllm:prefix_cache_hits_total counter
vllm:prefix_cache_hits_total{engine="0",model_name="arithmetic-80k"} 0.0
# HELP vllm:prefix_cache_hits_created Prefix cache hits, in terms of number of cached tokens.
# TYPE vllm:prefix_cache_hits_created gauge
vllm:prefix_cache_hits_created{engine="0",model_name="arithmetic-80k"} 1.7955669997488213e+09
# HELP vllm:external_prefix_cache_queries_total External prefix cache queries.
# TYPE vllm:external_prefix_cache_queries_total counter
vllm:external_prefix_cache_queries_total{engine="0",model_name="arithmetic-80k"} 0.0
# HELP vllm:num_preemptions_total Cumulative number of preemption from the engine.
# TYPE vllm:num_preemptions_total counter
vllm:num_preemptions_total{engine="0",model_name="arithmetic-80k"} 0.0
# HELP vllm:num_preemptions_created Cumulative number of preemption from the engine.
# TYPE vllm:num_preemptions_created gauge
vllm:num_preemptions_created{engine="0",model_name="arithmetic-80k"} 1.795566999748932e+09
"""

NAMES = {
    "running": "num_requests_running",
    "waiting": "num_requests_waiting",
    "kv_cache_usage": "kv_cache_usage_perc",
    "preemptions": "num_preemptions_total",
    "prefix_cache_queries": "prefix_cache_queries_total",
    "prefix_cache_hits": "prefix_cache_hits_total",
}
BUSY = EngineMetrics(
    running=7, waiting=3, kv_cache_usage=0.25, preemptions=2, prefix_cache_queries=640, prefix_cache_hits=128
)


def said(metrics: EngineMetrics, labels: str = '{engine="0",model_name="m"}') -> str:
    return "".join(f"vllm:{name}{labels} {getattr(metrics, field)}\n" for field, name in NAMES.items())


def test_what_a_real_vllm_says_is_read() -> None:
    assert parse(CAPTURED) == EngineMetrics(
        running=0, waiting=0, kv_cache_usage=0, preemptions=0, prefix_cache_queries=33, prefix_cache_hits=0
    )


@pytest.mark.parametrize(
    "labels",
    ["", "{}", '{model_name="a model, with } and { and = in its name",engine="0"}', r'{model_name="a \"quoted\" one"}'],
)
def test_labels_do_not_matter_whatever_is_in_them(labels: str) -> None:
    assert parse(said(BUSY, labels)) == BUSY


def test_several_engines_of_a_server_are_added_up_and_the_fullest_cache_counts() -> None:
    assert parse(said(BUSY, '{engine="0"}') + said(BUSY, '{engine="1"}').replace(" 0.25\n", " 0.5\n")) == EngineMetrics(
        running=14, waiting=6, kv_cache_usage=0.5, preemptions=4, prefix_cache_queries=1280, prefix_cache_hits=256
    )


@pytest.mark.parametrize(
    ("written", "value"), [("1.25e+06", 1.25e6), ("5e-1", 0.5), ("12 1795566999748", 12), ("\t3", 3), ("4\r", 4)]
)
def test_numbers_are_read_as_prometheus_writes_them(written: str, value: float) -> None:
    text = said(BUSY).replace(" 640\n", f" {written}\n")
    found = parse(text)
    assert found is not None
    assert found.prefix_cache_queries == value


@pytest.mark.parametrize("value", ["NaN", "+Inf", "many", ""])
@pytest.mark.parametrize("name", ["num_requests_running", "kv_cache_usage_perc", "num_preemptions_total"])
def test_what_is_no_number_is_not_said(name: str, value: str) -> None:
    lines = [line if name not in line else f"{line.rpartition(' ')[0]} {value}" for line in said(BUSY).splitlines()]
    assert parse("\n".join(lines)) is None
    assert parse("\n".join([*lines, f"vllm:{name} 0.5"])) is not None


def test_without_a_prefix_cache_nothing_was_looked_up_in_it() -> None:
    found = parse("".join(line for line in said(BUSY).splitlines(keepends=True) if "prefix_cache" not in line))
    assert found is not None
    assert (found.running, found.prefix_cache_queries, found.prefix_cache_hits) == (7, 0, 0)


@pytest.mark.parametrize("text", ["", "\x00\n", "<html>404</html>", CAPTURED.replace("vllm:", "sglang:")])
def test_what_someone_else_says_is_nothing(text: str) -> None:
    assert parse(text) is None
