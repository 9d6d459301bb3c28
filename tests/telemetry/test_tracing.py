"""Spans as they are on disk: their trees, links and names."""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from orkester.errors import CallFailed
from orkester.graphs import Team
from orkester.serving.catalogue import Model
from orkester.serving.client import ChatClient
from orkester.serving.engines import EngineOptions, FakeEngine, FakeScript, Fault
from orkester.telemetry import TraceStore, agent_span, attributes, chat_span, traceparent, workflow_span
from orkester.telemetry._processor import BufferedSpanProcessor

Span = dict[str, Any]

NAMES = {value for name, value in vars(attributes).items() if name.isupper() and value != attributes.OBJECTIVE_PREFIX}
#: What OpenTelemetry's SDK calls an exception that passed through a span.
SDK_EVENT = "exception"


def spans(directory: Path) -> list[Span]:
    """All spans on disk, in the order of their start."""
    found = []
    for file in sorted(directory.glob("spans-*.jsonl")):
        for line in file.read_text().splitlines():
            for resource in json.loads(line)["resourceSpans"]:
                for scope in resource["scopeSpans"]:
                    found += scope["spans"]
    return sorted(found, key=lambda span: int(span["startTimeUnixNano"]))


def one(found: list[Span], name: str) -> Span:
    matching = [span for span in found if span["name"] == name]
    assert len(matching) == 1, [span["name"] for span in found]
    return matching[0]


def values(span: Span) -> dict[str, Any]:
    """Attributes by name; OTLP's JSON wraps each in its type and writes whole numbers as text."""

    def plain(value: dict[str, Any]) -> Any:
        ((kind, content),) = value.items()
        if kind == "arrayValue":
            return [plain(item) for item in content["values"]]
        return int(content) if kind == "intValue" else content

    return {item["key"]: plain(item["value"]) for item in span["attributes"]}


def parent(span: Span) -> str:
    return str(span.get("parentSpanId", ""))


def links(span: Span) -> list[tuple[str, str]]:
    return [(link["traceId"], link["spanId"]) for link in span.get("links", [])]


def where(span: Span) -> tuple[str, str]:
    return span["traceId"], span["spanId"]


async def study(directory: Path, folder: Path, *faults: Fault) -> list[Span]:
    """A trial with two examples at once, by a vote of three on the fake engine."""
    engine = FakeEngine(FakeScript(accuracy=1.0, faults=list(faults)))
    team = Team("vote", {"agents": 3, "model": "small", "temperature": 0.7})
    try:
        endpoint = await engine.start(Model(name="small", source="none"), None, EngineOptions(), folder / "log")
        client = ChatClient("small", endpoint)

        async def example(number: int) -> None:
            with store.example(f"q{number}", {attributes.TEAM_ID: team.id, attributes.TRIAL_NUMBER: 4}) as span:
                try:
                    await team.answer(f"What is {number} + 3?", {"small": client})
                except CallFailed:
                    score = 0.0
                else:
                    score = 1.0
            store.score(f"{span.get_span_context().trace_id:032x}", scorer="exact", score=score)

        with TraceStore(directory, study="small") as store:
            store.begin_study(study_id="1234", objectives=["quality", "calls"])
            with store.trial(4, {attributes.TEAM_ID: team.id, f"{attributes.OBJECTIVE_PREFIX}quality": 1.0}):
                await asyncio.gather(*(example(number) for number in range(2)))
        await client.close()
    finally:
        await engine.stop()
    return spans(directory)


class TestTree:
    @pytest.fixture(scope="class")
    @classmethod
    def found(cls, tmp_path_factory: pytest.TempPathFactory) -> list[Span]:
        folder = tmp_path_factory.mktemp("study")
        return asyncio.run(study(folder / "traces", folder))

    def test_study_trial_and_examples_are_traces_of_their_own(self, found: list[Span]) -> None:
        roots = [span for span in found if not parent(span)]
        assert sorted(span["name"] for span in roots) == ["example q0", "example q1", "study small", "trial 4"]
        assert len({span["traceId"] for span in roots}) == 4

    def test_an_example_is_linked_to_its_trial_and_that_to_its_study(self, found: list[Span]) -> None:
        trial = one(found, "trial 4")
        assert links(trial) == [where(one(found, "study small"))]
        assert [links(one(found, f"example q{number}")) for number in range(2)] == [[where(trial)]] * 2

    def test_chats_are_in_agents_in_workflows_in_examples(self, found: list[Span]) -> None:
        for number in range(2):
            root = one(found, f"example q{number}")
            members = [span for span in found if span["traceId"] == root["traceId"]]
            assert len(members) == 1 + 1 + 3 + 3
            workflow = one(members, "invoke_workflow vote")
            assert parent(workflow) == root["spanId"]
            agents = [span for span in members if span["name"] == "invoke_agent voter"]
            assert [parent(span) for span in agents] == [workflow["spanId"]] * 3
            chats = [span for span in members if span["name"] == "chat small"]
            assert {parent(span) for span in chats} == {span["spanId"] for span in agents}
            assert {values(span)[attributes.CALL_SAMPLE] for span in chats} == {0, 1, 2}

    def test_a_span_ends_within_its_parent(self, found: list[Span]) -> None:
        by_id = {span["spanId"]: span for span in found}
        inner = [span for span in found if parent(span)]
        assert inner
        for span in inner:
            outer = by_id[parent(span)]
            assert int(outer["startTimeUnixNano"]) <= int(span["startTimeUnixNano"])
            assert int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"]) <= int(outer["endTimeUnixNano"])

    def test_every_name_is_in_one_file(self, found: list[Span]) -> None:
        used = {name for span in found for name in values(span)}
        events = {event["name"] for span in found for event in span.get("events", [])}
        in_events = {item["key"] for span in found for event in span.get("events", []) for item in event["attributes"]}
        own = {name for name in used if name.startswith(attributes.OBJECTIVE_PREFIX)}
        assert own == {"orkester.objective.quality"}
        assert used - own <= NAMES
        assert events == {attributes.EVALUATION_EVENT}
        assert in_events <= NAMES

    def test_what_is_said_of_a_call(self, found: list[Span]) -> None:
        chat = next(span for span in found if span["name"] == "chat small")
        said = values(chat)
        port = said.pop(attributes.SERVER_PORT)
        assert isinstance(port, int)
        sample = said.pop(attributes.CALL_SAMPLE)
        assert sample in {0, 1, 2}
        assert said == {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "fake",
            "gen_ai.request.model": "small",
            "gen_ai.request.temperature": 0.7,
            "gen_ai.request.max_tokens": 64,
            "gen_ai.agent.name": "voter",
            "gen_ai.usage.input_tokens": 9,
            "gen_ai.usage.output_tokens": 2,
            "gen_ai.usage.cache_read.input_tokens": 0,
            "gen_ai.response.finish_reasons": ["stop"],
            "server.address": "127.0.0.1",
            "openinference.span.kind": "LLM",
            "orkester.call.attempts": 1,
        }
        assert chat["kind"] in {3, "SPAN_KIND_CLIENT"}

    def test_what_is_said_of_an_example_and_its_score(self, found: list[Span]) -> None:
        root = one(found, "example q1")
        said = values(root)
        assert said[attributes.EXAMPLE_ID] == said[attributes.TEST_CASE_ID] == "q1"
        assert said[attributes.TRIAL_NUMBER] == 4
        (event,) = root["events"]
        assert values(event) == {"gen_ai.evaluation.name": "exact", "gen_ai.evaluation.score.value": 1.0}

    def test_what_was_asked_and_answered_is_not_written(self, found: list[Span]) -> None:
        text = json.dumps(found)
        assert "What is" not in text
        assert '"42"' not in text


async def test_a_failed_call_has_its_kind_and_its_tries(tmp_path: Path) -> None:
    found = await study(tmp_path / "traces", tmp_path, Fault(kind="400"))
    chats = {span["spanId"]: values(span) for span in found if span["name"] == "chat small"}
    failed = [span for span in found if chats.get(span["spanId"], {}).get(attributes.ERROR_TYPE) == "http 400"]
    assert len({span["traceId"] for span in failed}) == 2  # one at least of each example
    for span in failed:
        assert chats[span["spanId"]][attributes.CALL_ATTEMPTS] == 1
        assert span["status"]["code"] in {2, "STATUS_CODE_ERROR"}
        assert [event["name"] for event in span["events"]] == [SDK_EVENT]
    # Those that were under way when their team had failed already are no successes either.
    assert {said[attributes.ERROR_TYPE] for said in chats.values()} <= {"http 400", "cancelled"}
    assert not [said for said in chats.values() if attributes.USAGE_INPUT_TOKENS in said]


class TestStore:
    @pytest.fixture
    def directory(self, tmp_path: Path) -> Path:
        return tmp_path / "run" / "traces"

    def test_every_line_is_otlp_with_the_study_as_its_project(self, directory: Path) -> None:
        with TraceStore(directory, study="small") as store, store.trial(0, {}):
            pass
        (file,) = directory.iterdir()
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        assert lines
        for line in lines:
            assert set(line) == {"resourceSpans"}
            (resource,) = line["resourceSpans"]
            said = values(resource["resource"])
            assert said["service.name"] == "orkester"
            assert said[attributes.OPENINFERENCE_PROJECT] == "small"
            for scope in resource["scopeSpans"]:
                assert scope["scope"]["name"] == "orkester"
                for span in scope["spans"]:
                    assert re.fullmatch("[0-9a-f]{32}", span["traceId"])
                    assert re.fullmatch("[0-9a-f]{16}", span["spanId"])

    def test_flush_puts_ended_spans_on_disk(self, directory: Path) -> None:
        with TraceStore(directory, study="small") as store:
            with store.trial(0, {}):
                for number in range(700):  # more than one batch of the SDK
                    with store.example(f"q{number}", {}):
                        pass
                store.flush()
                assert len(spans(directory)) == 700  # the trial has not ended
            store.flush()
            assert one(spans(directory), "trial 0")

    def test_nothing_is_written_while_calls_are_under_way(self, directory: Path) -> None:
        with TraceStore(directory, study="small") as store:
            for number in range(600):
                with store.example(f"q{number}", {}):
                    pass
            assert spans(directory) == []

    def test_the_study_ends_with_its_store(self, directory: Path) -> None:
        with TraceStore(directory, study="small") as store:
            store.begin_study(study_id="1234", objectives=["quality"])
            store.flush()
            assert spans(directory) == []
        study_span = one(spans(directory), "study small")
        assert values(study_span) == {
            "test.suite.name": "small",
            "orkester.study.id": "1234",
            "orkester.study.objectives": ["quality"],
        }

    def test_every_process_has_a_file_of_its_own(self, directory: Path) -> None:
        code = (
            "import sys, pathlib\n"
            "from orkester.telemetry import TraceStore\n"
            "with TraceStore(pathlib.Path(sys.argv[1]), study='small') as store, store.trial(int(sys.argv[2]), {}):\n"
            "    pass\n"
        )
        for number in range(2):
            subprocess.run([sys.executable, "-c", code, str(directory), str(number)], check=True, timeout=60)
        assert [path.name for path in sorted(directory.iterdir())] == ["spans-0000.jsonl", "spans-0001.jsonl"]
        assert [span["name"] for span in spans(directory)] == ["trial 0", "trial 1"]

    def test_two_at_once_do_not_share_a_file(self, directory: Path) -> None:
        first, second = (TraceStore(directory, study=name) for name in ("one", "other"))
        with first, second, first.trial(1, {}), second.trial(2, {}):
            pass
        assert len(list(directory.iterdir())) == 2

    def test_a_number_that_was_used_is_not_used_again(self, directory: Path) -> None:
        for _ in range(2):
            with TraceStore(directory, study="small") as store, store.trial(0, {}):
                pass
        kept = (directory / "spans-0001.jsonl").read_bytes()
        (directory / "spans-0000.jsonl").unlink()
        with TraceStore(directory, study="small") as store, store.trial(1, {}):
            pass
        assert (directory / "spans-0001.jsonl").read_bytes() == kept
        assert (directory / "spans-0002.jsonl").exists()

    def test_spans_that_ended_are_kept_when_the_study_breaks(self, directory: Path) -> None:
        def break_it() -> None:
            with TraceStore(directory, study="small") as store, store.trial(0, {}), store.example("q0", {}):
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            break_it()
        assert {span["name"] for span in spans(directory)} == {"trial 0", "example q0"}

    def test_it_must_be_entered(self, directory: Path) -> None:
        with pytest.raises(RuntimeError, match="enter the TraceStore"):
            TraceStore(directory, study="small").tracer()
        TraceStore(directory, study="small").flush()
        assert not directory.exists()


def test_spans_do_not_gather_without_end() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BufferedSpanProcessor(exporter, max_spans=3))
    for number in range(8):
        provider.get_tracer("x").start_span(str(number)).end()
        assert len(exporter.get_finished_spans()) == (number + 1) // 3 * 3
    provider.shutdown()
    assert [span.name for span in exporter.get_finished_spans()] == [str(number) for number in range(8)]


class TestProcess:
    """The process belongs to whoever imports us."""

    @pytest.fixture
    def before(self) -> Iterator[object]:
        return trace.get_tracer_provider()

    def test_its_tracer_provider_is_left_alone(self, before: object, tmp_path: Path) -> None:
        with TraceStore(tmp_path, study="small") as store, store.example("q0", {}):
            assert trace.get_tracer_provider() is before
        assert trace.get_tracer_provider() is before

    def test_outside_an_example_spans_go_to_the_process_and_not_to_the_study(self, tmp_path: Path) -> None:
        with TraceStore(tmp_path, study="small") as store:
            with workflow_span("vote", team="t"), agent_span("voter", model="small"), chat_span("small", {}) as span:
                assert not span.is_recording()
            with store.example("q0", {}):
                pass
            with chat_span("small", {}) as span:
                assert not span.is_recording()
        assert [span["name"] for span in spans(tmp_path)] == ["example q0"]

    def test_without_a_trace_there_is_no_header(self) -> None:
        assert traceparent() is None
        with chat_span("small", {}):
            assert traceparent() is None

    def test_the_header_is_of_the_current_span(self, tmp_path: Path) -> None:
        with TraceStore(tmp_path, study="small") as store, store.example("q0", {}), chat_span("small", {}):
            header = traceparent()
        chat = one(spans(tmp_path), "chat small")
        assert header is not None
        assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-0[13]", header)
        assert header.split("-")[1:3] == [*where(chat)]

    async def test_studies_side_by_side_do_not_meet(self, tmp_path: Path) -> None:
        async def run(name: str) -> None:
            with TraceStore(tmp_path / name, study=name) as store:
                for number in range(3):
                    with store.example(f"{name}{number}", {}):
                        await asyncio.sleep(0)
                        with chat_span(name, {}):
                            await asyncio.sleep(0)

        await asyncio.gather(run("a"), run("b"))
        for name in "ab":
            found = [span["name"] for span in spans(tmp_path / name)]
            assert sorted(found) == sorted([f"chat {name}"] * 3 + [f"example {name}{number}" for number in range(3)])


def test_without_a_study_spans_do_nothing_and_need_no_sdk() -> None:
    code = (
        "import sys\n"
        "from orkester.telemetry import chat_span\n"
        "with chat_span('small', {}): pass\n"
        "print(any(name.startswith('opentelemetry.sdk') for name in sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "False\n"
