"""Scores are made after the window: by scorers that answer at once, and by those that take long."""

import asyncio
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from orkester.errors import CallFailed, EngineError, OrkesterError
from orkester.evals.records.block import Block, ScoringCost
from orkester.evals.records.log import decode, encode
from orkester.evals.running.runner import BlockPlan, BlockRunner
from orkester.evals.scorers import Answered, DeferredScorer, Score, scorer
from orkester.evals.task import Example, Task
from orkester.graphs import Team
from orkester.serving.chat import ChatModel
from orkester.serving.energy import EstimateMeter, Sampler
from orkester.telemetry import TraceStore, chat_span
from orkester.testing.scripted import ChatCall, reply, scripted_models

ASK = [{"role": "user", "content": "Is it right?"}]
SINGLE = Team("single", {"model": "small", "temperature": 0.0})


@dataclass
class Slow:
    """A scorer that asks the model ``large``, and writes down when it was asked."""

    events: list[str] = field(default_factory=list)
    failures: list[CallFailed] = field(default_factory=list)
    value: float = 1.0
    models: Sequence[str] = ("large",)
    name: str = "slow"
    version: str = "1"
    calls_per_answer: int = 1
    at_once: int | None = None

    def fault(self, expected: Any) -> str:
        return f"no {expected}" if expected == "never" else ""

    async def evaluate(self, answered: Answered, models: Mapping[str, ChatModel]) -> Score:
        self.events.append(f"score {answered.answer}")
        if self.failures:
            raise self.failures.pop()
        asked = [await models["large"].chat(ASK, agent="judge", temperature=0.0, max_tokens=1) for _ in self.models]
        value = self.value if answered.answer == answered.expected else 0.0
        return Score(value=value, detail={"why": answered.question}, replies=tuple(asked))

    def key(self, answer: str) -> str:
        return answer


def task(chosen: Any) -> Task:
    return Task(
        name="small",
        shots=(),
        search=(),
        confirm=(),
        scorer=chosen,
        instruction="",
        max_tokens=8,
        extract=None,
        data_sha256="",
    )


EXAMPLES = tuple(Example(id=f"q{i}", question=f"question {i}", expected=f"answer {i}") for i in range(3))


def answer(call: ChatCall) -> str:
    """The last example gets a wrong answer."""
    number = str(call.content).removeprefix("question ")
    return f"answer {number}" if number != "2" else "wrong"


def spans_in(folder: Path) -> list[dict[str, Any]]:
    """The spans in the trace files of a folder."""
    return [
        span
        for path in folder.glob("spans-*.jsonl")
        for line in path.read_text().splitlines()
        for resource in json.loads(line)["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]


@dataclass(kw_only=True)
class Bench:
    """A runner with its models; ``judged`` counts how often the models of the scorer were made ready."""

    runner: BlockRunner
    models: Mapping[str, ChatModel] = field(default_factory=lambda: scripted_models(answer)[0])
    judged: int = 0

    async def judges(self, block: Block) -> Mapping[str, ChatModel]:
        assert all(math.isnan(result.score) for result in block.examples)  # not a number yet
        self.judged += 1
        return self.models

    def run(self, index: int = 0) -> Block:
        plan = BlockPlan(team=SINGLE, examples=EXAMPLES, phase="search", index=index)
        return asyncio.run(self.runner.run(plan, self.models, engines={}, judges=self.judges))


def bench(chosen: Any, **changes: Any) -> Bench:
    known: dict[str, Any] = {"task": task(chosen), "concurrency": 4, "deadline_s": 20.0, "seed": 1}
    return Bench(runner=BlockRunner(**{**known, "meter": Sampler(EstimateMeter())} | changes))


def test_it_is_asked_after_the_window_and_no_team_pays_for_it() -> None:
    slow = Slow()
    found = bench(slow).run()
    assert isinstance(slow, DeferredScorer)
    assert [result.score for result in found.examples] == [1.0, 1.0, 0.0]
    assert [result.score_detail for result in found.examples] == [{"why": f"question {i}"} for i in range(3)]
    assert [len(result.calls) for result in found.examples] == [1, 1, 1]
    assert {call.agent for result in found.examples for call in result.calls} == {"solo"}
    cost = found.scoring
    assert cost is not None
    assert (cost.scored, cost.known, cost.calls, cost.input_tokens, cost.output_tokens) == (3, 0, 3, 21, 6)
    assert cost.energy_j is not None
    assert decode(json.loads(encode(found))) == found


def test_the_same_answer_is_asked_about_once_in_a_run() -> None:
    slow = Slow()
    bench_ = bench(slow)
    first, second = bench_.run(), bench_.run(index=1)
    assert len(slow.events) == 3
    assert bench_.judged == 1
    assert [result.score for result in second.examples] == [result.score for result in first.examples]
    assert second.examples[0].score_detail == first.examples[0].score_detail
    assert second.scoring == ScoringCost(wall_s=0.0, scored=0, known=3, energy_j=0.0)


def test_a_run_that_goes_on_asks_about_no_answer_again() -> None:
    found = bench(Slow()).run()
    slow = Slow()
    again = bench(slow)
    again.runner.remember([found])
    assert [result.score for result in again.run(index=1).examples] == [1.0, 1.0, 0.0]
    assert slow.events == []


def test_an_answer_is_scored_again_when_a_model_did_not_answer() -> None:
    slow = Slow(failures=[CallFailed("timeout", "", 1)])
    bench_ = bench(slow)
    found = bench_.run()
    assert [result.score for result in found.examples] == [1.0, 1.0, 0.0]
    assert (len(slow.events), bench_.judged) == (4, 2)  # the models are made ready again, since one may have died


def test_the_run_ends_when_a_model_never_answers() -> None:
    slow = Slow(failures=[CallFailed("timeout", "no answer", 1) for _ in range(9)])
    with pytest.raises(EngineError, match=r"the scorer slow cannot go on: large did not answer.*Run the same command"):
        bench(slow).run()


@pytest.mark.parametrize("value", [1.5, -1.0, float("nan")])
def test_a_score_must_be_from_0_to_1(value: float) -> None:
    with pytest.raises(OrkesterError, match="the scorer slow must give a number from 0 to 1"):
        bench(Slow(value=value)).run()


def test_an_example_that_failed_scores_0_and_is_not_asked_about() -> None:
    slow = Slow()
    bench_ = bench(slow)
    bench_.models = scripted_models(lambda call: reply("") if "1" in str(call.content) else answer(call))[0]
    found = bench_.run()
    assert [result.score for result in found.examples] == [1.0, 0.0, 0.0]
    assert found.examples[1].score_detail is None
    assert len(slow.events) == 2


def test_a_scorer_that_answers_at_once_costs_nothing() -> None:
    found = bench(scorer("exact")).run()
    assert [result.score for result in found.examples] == [1.0, 1.0, 0.0]
    assert found.scoring is None


def test_the_score_is_an_event_of_the_span_of_its_example_which_ends_with_the_window(tmp_path: Path) -> None:
    class Late(Slow):
        async def evaluate(self, answered: Answered, models: Mapping[str, ChatModel]) -> Score:
            await asyncio.sleep(0.3)
            return await super().evaluate(answered, models)

    with TraceStore(tmp_path, study="small") as traces:
        found = bench(Late(), traces=traces).run()
    assert next(tmp_path.glob("spans-*.jsonl")).read_text().count('"gen_ai.evaluation.result"') == 3

    spans = [span for span in spans_in(tmp_path) if span["name"].startswith("example")]
    assert {span["traceId"] for span in spans} == {result.trace_id for result in found.examples}
    for span in spans:
        (event,) = span["events"]
        assert event["timeUnixNano"] == span["endTimeUnixNano"]
        assert (int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"])) / 1e9 < 0.25  # without the scoring


def test_calls_of_the_scorer_are_in_a_span_of_their_own(tmp_path: Path) -> None:
    class Traced(Slow):
        async def evaluate(self, answered: Answered, models: Mapping[str, ChatModel]) -> Score:
            with chat_span("large", {}):
                return await super().evaluate(answered, models)

    with TraceStore(tmp_path, study="small") as traces, traces.trial(0, {}) as trial:
        bench(Traced(), traces=traces).run()
    found = spans_in(tmp_path)
    (scoring,) = [span for span in found if span["name"] == "evaluate slow"]
    assert scoring["parentSpanId"] == f"{trial.get_span_context().span_id:016x}"
    chats = [span for span in found if span["name"] == "chat large"]
    assert [span["parentSpanId"] for span in chats] == [scoring["spanId"]] * 3


def test_what_was_not_scored_is_traced_nevertheless(tmp_path: Path) -> None:
    slow = Slow(failures=[CallFailed("timeout", "", 1) for _ in range(9)])
    with TraceStore(tmp_path, study="small") as traces, pytest.raises(EngineError):
        bench(slow, traces=traces).run()
    text = next(tmp_path.glob("spans-*.jsonl")).read_text()
    assert text.count('"name":"example q') + text.count('"name": "example q') == 3
    assert "gen_ai.evaluation.result" not in text


def test_a_block_without_scores_is_not_written() -> None:
    found = bench(scorer("exact")).run()
    unscored = replace(found, examples=tuple(replace(each, score=float("nan")) for each in found.examples))
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode(unscored)
