"""A small study on the real vLLM, end to end: two models resident, and a worker that is killed in a block."""

import base64
import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from vllms import arithmetic, engines_of, workers_of

import orkester
from orkester.optim.run.engine_log import read_events
from orkester.optim.run.events import BlockProgress, BlockRerun, Event
from orkester.serving.environments import VllmEnvironment

MODELS = ("arithmetic-80k", "arithmetic-580k")


@dataclass(frozen=True)
class Story:
    run: orkester.Run
    events: list[Event]


@pytest.fixture(scope="module")
def story(vllm: VllmEnvironment, folder: Path) -> Story:
    del vllm
    run, events = folder / "run", list[Event]()

    def kill_once(event: Event) -> None:
        in_second = isinstance(event, BlockProgress) and event.block == 2
        if in_second and not any(isinstance(each, BlockProgress) and each.block == 2 for each in events):
            workers = workers_of(run)
            assert workers
            for pid in workers:
                os.kill(pid, signal.SIGKILL)
        events.append(event)

    study = arithmetic(
        folder / "study",
        models=list(MODELS),
        search={
            "single": {"model": "any"},
            "vote": {"agents": 3, "model": MODELS[1], "temperature": 0.5},
            "cascade": {"first": MODELS[0], "then": MODELS[1], "votes": 2, "agreement": 1.0},
        },
        budget={"trials": 4},
    )
    found = orkester.tune(study, run, observer=kill_once)
    assert not engines_of(run)
    return Story(found, events)


def spans(path: Path) -> Iterator[dict[str, Any]]:
    """All spans of OTLP JSON lines, each with the attributes of its resource and its own as plain values."""

    def plain(attributes: list[dict[str, Any]]) -> dict[str, Any]:
        return {each["key"]: next(iter(each["value"].values())) for each in attributes}

    for line in path.read_text().splitlines():
        for resource in json.loads(line)["resourceSpans"]:
            about = plain(resource["resource"].get("attributes", []))
            for scope in resource["scopeSpans"]:
                for span in scope["spans"]:
                    yield {**span, "attributes": {**about, **plain(span.get("attributes", []))}}


def hexadecimal(text: str) -> str:
    """An id, from whichever of OTLP's two encodings the writer has."""
    return text if len(text) in {16, 32} else base64.b64decode(text).hex()


def test_it_ends_with_a_confirmed_front_in_spite_of_all(story: Story) -> None:
    results = story.run.results
    assert len(results.teams) == 4
    assert all(not result.infeasible for result in results.teams), [result.infeasible for result in results.teams]
    assert results.front
    for result in results.front:
        assert result.confirmed is not None
        assert result.confirmed.failures == {}
    answers = [example.answer for block in story.run.blocks for example in block.examples]
    assert all(answer is not None and answer.lstrip("-").isdigit() for answer in answers)
    assert any(example.score == 1 for block in story.run.blocks for example in block.examples)


def test_the_block_in_which_the_worker_was_killed_was_run_again_and_counted(story: Story) -> None:
    (rerun,) = [event for event in story.events if isinstance(event, BlockRerun)]
    (block,) = [block for block in story.run.blocks if block.reruns]
    assert (block.team, block.index, block.reruns) == (rerun.team.id, 1, 1)
    assert all(example.failure is None for example in block.examples)
    assert [result.reruns for result in story.run.results.teams if result.team == rerun.team] == [1]


def test_every_engine_was_started_once_but_for_the_one_that_died(story: Story) -> None:
    befell = read_events(story.run.path / "engines.jsonl")
    died = [event.model for event in befell if event.kind == "died"]
    assert died
    starts = [event.model for event in befell if event.kind == "started"]
    assert sorted(starts) == sorted([*MODELS, *died])
    assert sum(event.kind == "stopped" for event in befell) == len(MODELS)
    assert all(event.seconds > 0 for event in befell if event.kind == "started")


def test_every_call_says_how_long_it_waited_and_decoded(story: Story) -> None:
    calls = [call for block in story.run.blocks for example in block.examples for call in example.calls]
    assert calls
    for call in calls:
        assert call.queue_s is not None
        assert call.ttft_s is not None
        assert call.decode_s is not None
        assert 0 <= call.queue_s + call.ttft_s + call.decode_s <= call.latency_s
        assert call.ttft_s > 0
        assert call.output_tokens
        assert call.input_tokens


def test_every_block_says_how_busy_its_engines_were(story: Story) -> None:
    for block in story.run.blocks:
        assert set(block.engine_metrics) == set(block.engines)
        for said in block.engine_metrics.values():
            assert said["prefix_cache_queries"] >= 0
            assert said["preemptions"] == 0
    assert any(said["prefix_cache_queries"] > 0 for b in story.run.blocks for said in b.engine_metrics.values())
    assert {block.prefix_cache for block in story.run.blocks} == {"cold"}
    for facts in (facts for block in story.run.blocks for facts in block.engines.values()):
        assert facts["engine"] == "vllm"
        assert str(facts["version"]).startswith("vllm 0.")


def test_vllms_own_spans_are_children_of_our_calls(story: Story) -> None:
    traces = story.run.path / "traces"
    ours = {
        hexadecimal(span["spanId"]): span
        for path in traces.glob("spans-*.jsonl")
        for span in spans(path)
        if span["name"].startswith("chat ")
    }
    theirs = [span for path in traces.glob("vllm-*.jsonl") for span in spans(path) if span["name"] == "llm_request"]
    joined = [span for span in theirs if span.get("parentSpanId") in ours]  # those of probes have no parent
    calls = [call for block in story.run.blocks for example in block.examples for call in example.calls]
    assert len(joined) >= 0.9 * len(calls)  # the engine that was killed took some along
    for span in joined:
        parent = ours[span["parentSpanId"]]
        assert span["traceId"] == hexadecimal(parent["traceId"])
        assert span["attributes"]["gen_ai.request.model"] == parent["attributes"]["gen_ai.request.model"]
        assert int(parent["startTimeUnixNano"]) <= int(span["endTimeUnixNano"])


def test_the_report_says_how_often_engines_were_started(story: Story) -> None:
    text = story.run.report.read_text()
    assert all(name in text for name in MODELS)
    assert "vllm 0." in text
