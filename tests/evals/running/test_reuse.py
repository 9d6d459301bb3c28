"""Calls answered from the call store: the same answers, composed times, and joules that add up."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orkester.errors import CallFailed
from orkester.evals.records.agent_shares import agent_shares
from orkester.evals.records.block import Block
from orkester.evals.records.call_store import CallStore
from orkester.evals.records.log import BlockLog, decode, encode, read_records
from orkester.evals.running.calls import Keys, engine_fingerprint
from orkester.evals.running.replay import run_in_virtual_time
from orkester.evals.running.reuse import ALL_REUSED, SOME_REUSED, wall_s, with_reused
from orkester.evals.running.runner import BlockPlan, BlockRunner
from orkester.evals.scorers import scorer
from orkester.evals.summaries.measurement import measure
from orkester.evals.task import Example, Task
from orkester.graphs import Team
from orkester.serving.energy import EstimateMeter, Sampler, UnavailableMeter
from orkester.telemetry import TraceStore, chat_span
from orkester.testing.blocks import block, call, result
from orkester.testing.scripted import ChatCall, ScriptedModel, reply

ENGINES = {name: {"engine": "none", "port": 1, "slots": 4} for name in ("small", "large")}


def vote(agents: int = 3, temperature: float = 0.7) -> Team:
    return Team("vote", {"agents": agents, "model": "small", "temperature": temperature})


def cascade(votes: int = 3) -> Team:
    return Team("cascade", {"first": "small", "then": "large", "votes": votes, "temperature": 0.7, "agreement": 1.0})


def debate(agents: int = 2, rounds: int = 1) -> Team:
    return Team("debate", {"agents": agents, "rounds": rounds, "model": "small", "temperature": 0.7})


def single(model: str = "small", temperature: float = 0.7) -> Team:
    return Team("single", {"model": model, "temperature": temperature})


def task() -> Task:
    known: dict[str, Any] = {"name": "small", "shots": (), "search": (), "confirm": (), "scorer": scorer("exact")}
    return Task(**known, instruction="", max_tokens=8, extract=None, data_sha256="")


def seconds(asked: ChatCall) -> float:
    """What a call takes: no two of a team alike."""
    return 1.0 + asked.sample + (10.0 if asked.model == "large" else 0.0)


def agreeing(asked: ChatCall) -> str:
    return str(asked.content).splitlines()[0].replace("question", "answer")


def differing(asked: ChatCall) -> str:
    return f"{agreeing(asked)} {asked.sample if asked.model == 'small' else ''}"


class Bench:
    """A runner over models that answer by a function, with a clock and a meter that calls alone move."""

    def __init__(
        self, say: Callable[[ChatCall], str] = agreeing, *, metered: bool = True, traces: Any = None, **changes: Any
    ) -> None:
        self.now_s, self.cpu_s = 100.0, {1: 0.0, 2: 0.0, 3: 0.0}
        self.asked: list[ChatCall] = []

        def answer(asked: ChatCall) -> Any:
            with chat_span(asked.model, {}):
                taken_s = seconds(asked)
                self.now_s += taken_s
                self.cpu_s[1] += 0.25
                self.cpu_s[2 if asked.model == "small" else 3] += taken_s
                return reply(say(asked), latency_s=taken_s, finish_reason="stop")

        self.models = {name: ScriptedModel(name, answer, self.asked) for name in ENGINES}
        meter: Any = UnavailableMeter("none here")
        if metered:
            meter = EstimateMeter(cpu_s=self.cpu_s.get, own_pid=1, clock=lambda: self.now_s)
            meter.watch("engine:small", (2,))
            meter.watch("engine:large", (3,))
        known: dict[str, Any] = {"task": task(), "concurrency": 2, "deadline_s": 1000.0, "seed": 1, "traces": traces}
        known |= {"meter": Sampler(meter), "clock": lambda: self.now_s}
        self.runner = BlockRunner(**{**known, **changes})

    def plan(self, team: Team, *, first: int = 0, count: int = 2, **changes: Any) -> BlockPlan:
        examples = [
            Example(id=f"q{i}", question=f"question {i}", expected=f"answer {i}") for i in range(first, first + count)
        ]
        return BlockPlan(**{"team": team, "examples": examples, "phase": "search", "index": 0, "trial": 0} | changes)

    async def run(
        self, team: Team, store: CallStore | None = None, *, idle_w: Mapping[str, float] | None = None, **plan: Any
    ) -> Block:
        return await self.runner.run(self.plan(team, **plan), self.models, engines=ENGINES, store=store, idle_w=idle_w)


def calls(found: Block) -> list[Any]:
    return [each for example in found.examples for each in example.calls]


def balanced(found: Block) -> None:
    """Calls, idle and unattributed are the block's joules."""
    assert found.energy_j is not None
    parts = sum(each.energy_j for each in calls(found))
    parts += (found.energy_idle_j or 0.0) + found.energy_unattributed_j
    assert parts == pytest.approx(sum(found.energy_j.values()), rel=1e-9)
    residual = agent_shares([found])
    assert sum(each.energy_j or 0.0 for each in residual.agents) + (residual.residual_j or 0.0) + (
        residual.idle_j or 0.0
    ) == pytest.approx(sum(found.energy_j.values()) / len(found.examples))


# -- keys -------------------------------------------------------------------------------------------------------------


def key(**changes: Any) -> str | None:
    known: dict[str, Any] = {"engine": "e", "study": 1, "example": "q", "model": "m", "messages": [{"content": "hi"}]}
    known |= {"temperature": 0.0, "max_tokens": 8, "sample": 0, "seed": None} | changes
    keys = Keys({"m": known.pop("engine"), "n": "e"}, seed=known.pop("study"), example=known.pop("example"))
    return keys.key(known.pop("model"), known.pop("messages"), **known)


@pytest.mark.parametrize(
    "change",
    [
        {"engine": "other"},
        {"study": 2},
        {"example": "p"},
        {"model": "n"},
        {"messages": [{"content": "ho"}]},
        {"messages": [{"content": "hi"}, {"content": "hi"}]},
        {"temperature": 0.1},
        {"max_tokens": 9},
        {"sample": 1},
        {"seed": 3},
        {"response_format": {"type": "json_object"}},
    ],
)
def test_a_key_stands_for_all_that_an_answer_depends_on(change: dict[str, Any]) -> None:
    assert key() == key(temperature=0)
    assert len(key() or "") == 32
    assert key(**change) != key()


def test_keys_of_runs_that_exist_never_change() -> None:
    assert key() == key(response_format=None) == "abac229b5ac796b850c5f0419e42e03f"


def test_a_model_whose_engine_nobody_knows_has_no_keys() -> None:
    assert key(model="unheard of") is None


def test_a_call_that_an_example_repeats_is_another_draw() -> None:
    def made() -> list[str | None]:
        keys = Keys({"m": "e"}, seed=0, example="q")
        return [keys.key("m", [{"content": "hi"}], temperature=1.0, max_tokens=8, sample=0) for _ in range(3)]

    assert len(set(made())) == 3
    assert made() == made()


def test_an_engine_is_the_same_after_another_start() -> None:
    facts = {"engine": "vllm", "version": "1", "slots": 4}
    assert engine_fingerprint(facts) == engine_fingerprint({**facts, "port": 80, "pid": 7, "log": "x"})
    for other in ({"slots": 8}, {"version": "2"}, {"base_url": "http://elsewhere/v1"}):
        assert engine_fingerprint({**facts, **other}) != engine_fingerprint(facts)


# -- what is reused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("say", [agreeing, differing])
@pytest.mark.parametrize(
    ("before", "team"),
    [
        ((vote(5),), vote(3)),
        ((vote(5),), single()),
        ((vote(3),), vote(3)),
        ((vote(3), single("large", 0.0)), cascade()),
        ((cascade(),), cascade()),
        ((debate(3, 2),), debate(3, 1)),
    ],
    ids=str,
)
async def test_what_the_store_answers_is_what_the_team_answers(
    say: Callable[[ChatCall], str], before: Sequence[Team], team: Team
) -> None:
    """Answers, scores, calls and composed times are those of the real graph that makes every call."""
    bench = Bench(say)
    store = CallStore([await bench.run(each) for each in before])
    bench.asked.clear()
    screened = await bench.runner.screen(bench.plan(team), store)
    assert screened is not None
    assert not bench.asked
    assert await bench.run(team, store) == replace(screened, engines=ENGINES, started_at=ANY)
    assert not bench.asked
    measured = await Bench(say).run(team)
    assert len(bench.asked) == 0
    for found, real in zip(screened.examples, measured.examples, strict=True):
        assert (found.id, found.answer, found.score, found.failure) == (real.id, real.answer, real.score, None)
        assert found.composed
        assert found.trace_id is None
        assert {(c.agent, c.model, c.sample, c.output_tokens, c.latency_s, c.key) for c in found.calls} == {
            (c.agent, c.model, c.sample, c.output_tokens, c.latency_s, c.key) for c in real.calls
        }
        assert all(c.reused and c.text is None and c.span_id is None for c in found.calls)
        assert found.latency_s == pytest.approx(critical_s(found.calls))
    assert (screened.wall_s, screened.reused_calls) == (0.0, len(calls(screened)))
    assert screened.composed_wall_s == pytest.approx(max(each.latency_s for each in screened.examples))
    assert screened.energy_marks == (ALL_REUSED,)
    assert decode(json.loads(encode(screened))) == screened
    balanced(screened)


class _Any:
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = object.__hash__


ANY: Any = _Any()


def critical_s(made: Sequence[Any]) -> float:
    """Stages, by agent and round, each as long as its slowest."""
    stages: dict[float, float] = {}
    for each in made:
        stages[each.start_s] = max(stages.get(each.start_s, 0.0), each.latency_s)
    return sum(stages.values())


async def test_a_cascade_escalates_in_virtual_time_as_it_does_in_ours() -> None:
    bench = Bench(differing)
    store = CallStore([await bench.run(vote(3)), await bench.run(single("large", 0.0))])
    found = await bench.runner.screen(bench.plan(cascade()), store)
    assert found is not None
    assert [(c.agent, c.start_s) for c in found.examples[0].calls] == [
        ("first", 0.0),
        ("first", 0.0),
        ("first", 0.0),
        ("then", pytest.approx(3.0)),
    ]
    assert found.examples[0].latency_s == pytest.approx(3.0 + 11.0)


async def test_only_what_is_not_known_is_asked() -> None:
    """Two examples of four are known, and of the others nothing: half a block, measured."""
    bench = Bench()
    store = CallStore([await bench.run(vote(3))])
    assert await bench.runner.screen(bench.plan(vote(3), count=4), store) is None
    bench.asked.clear()
    seen: list[int] = []
    plan = bench.plan(vote(3), count=4)
    found = await bench.runner.run(plan, bench.models, engines=ENGINES, store=store, progress=seen.append)
    assert [each.content for each in bench.asked] == ["question 2"] * 3 + ["question 3"] * 3
    assert seen == [2, 3, 4]
    assert [each.id for each in found.examples] == ["q0", "q1", "q2", "q3"]
    assert [each.composed for each in found.examples] == [True, True, False, False]
    assert {each.score for each in found.examples} == {1.0}
    assert found.reused_calls == 6
    assert found.energy_marks[-1] == SOME_REUSED
    balanced(found)


async def test_an_example_with_half_its_calls_reused_has_a_composed_time() -> None:
    bench = Bench()
    store = CallStore([await bench.run(vote(3))])
    bench.asked.clear()
    found = await bench.run(vote(5), store)
    assert sorted((each.content, each.sample) for each in bench.asked) == [
        (f"question {i}", sample) for i in (0, 1) for sample in (3, 4)
    ]
    for example in found.examples:
        assert [(c.sample, c.reused, c.start_s) for c in example.calls] == [
            (i, i < 3, pytest.approx(0.0)) for i in range(5)
        ]
        assert example.composed
        assert example.latency_s == pytest.approx(5.0)  # the fifth voter's
        assert [c.text for c in example.calls] == [None] * 3 + [example.answer] * 2
    assert found.composed_wall_s == pytest.approx(5.0)
    balanced(found)
    # What was really used is apart from what it is charged with.
    assert found.energy_j is not None
    assert found.spent_j == pytest.approx(found.energy_j["engine:small"] + found.energy_j["orkester"])
    assert found.energy_j["engine:small"] == pytest.approx(8 * 2 * (4.0 + 5.0))
    assert found.energy_j["reused"] == pytest.approx(sum(c.energy_j for c in calls(found) if c.reused))


async def test_a_team_costs_alike_whether_its_calls_are_made_or_reused() -> None:
    """The same joules, but for Orkester's own, which go by the time that the window would have been longer."""
    bench = Bench()
    measured = await bench.run(vote(3))
    store = CallStore([measured])
    screened = await bench.runner.screen(bench.plan(vote(3)), store)
    assert screened is not None
    assert screened.energy_j is not None
    assert measured.energy_j is not None
    assert screened.energy_j["reused"] == pytest.approx(measured.energy_j["engine:small"])
    own_w = measured.energy_j["orkester"] / measured.wall_s
    assert screened.energy_j["reused:overhead"] == pytest.approx(own_w * (screened.composed_wall_s or 0.0))
    assert screened.spent_j == 0.0
    estimates = measure([screened]).estimates, measure([measured]).estimates
    for name in ("quality", "calls", "input_tokens", "output_tokens", "failure_rate"):
        assert estimates[0][name] == estimates[1][name]
    assert (measure([screened]).calls, measure([screened]).reused_calls) == (6, 6)
    assert (measure([measured]).calls, measure([measured]).reused_calls) == (6, 0)


async def test_idle_power_is_charged_for_the_time_that_was_saved() -> None:
    idle_w = {"engine:small": 2.0, "engine:large": 0.0}
    bench = Bench()
    first = await bench.run(vote(3), idle_w=idle_w)
    assert first.energy_idle_j == pytest.approx(2.0 * first.wall_s)
    store = CallStore([first])
    screened = await bench.runner.screen(bench.plan(vote(3)), store)
    assert screened is not None
    assert screened.energy_idle_j == pytest.approx(2.0 * (screened.composed_wall_s or 0.0))
    balanced(screened)
    mixed = await bench.run(vote(4), store, idle_w=idle_w)
    balanced(mixed)
    longer_s = max(0.0, (mixed.composed_wall_s or 0.0) - mixed.wall_s)
    assert mixed.energy_idle_j == pytest.approx(2.0 * (mixed.wall_s + longer_s))
    unknown = await bench.run(vote(5), store)  # this one does not know its idle power
    assert unknown.energy_idle_j is None
    balanced(unknown)


async def test_confirmation_makes_every_call() -> None:
    bench = Bench()
    store = CallStore([await bench.run(vote(3))])
    bench.asked.clear()
    found = await bench.run(vote(3), store, phase="confirm", trial=None)
    assert len(bench.asked) == 6
    assert found.reused_calls == 0
    assert (found.composed_wall_s, found.energy_marks) == (None, ())
    assert {(c.key, c.text, c.reused) for c in calls(found)} == {(None, None, False)}
    assert not any(example.composed for example in found.examples)
    assert await bench.runner.screen(bench.plan(vote(3), phase="confirm"), store) is None
    before = len(store)
    store.add(found)
    assert len(store) == before


async def test_without_a_store_every_call_is_made_and_kept_for_later() -> None:
    bench = Bench()
    found = await bench.run(vote(3))
    assert found.reused_calls == 0
    assert all(
        c.key and c.text == f"answer {i}" and c.finish_reason == "stop"
        for i, example in enumerate(found.examples)
        for c in example.calls
    )
    assert len({c.key for c in calls(found)}) == 6


async def test_a_failed_call_is_made_again() -> None:
    bench, fails = Bench(), True

    def say(asked: ChatCall) -> str:
        if fails and asked.sample == 1 and asked.content == "question 0":
            raise CallFailed("http 500", attempts=4)
        return agreeing(asked)

    bench = Bench(say)
    first = await bench.run(vote(2))
    assert [example.failure for example in first.examples] == ["http 500", None]
    store = CallStore([first])
    fails = False
    bench.asked.clear()
    again = await bench.run(vote(2), store)
    assert [(each.content, each.sample) for each in bench.asked] == [("question 0", 1)]
    assert {example.failure for example in again.examples} == {None}


async def test_an_example_that_fails_beside_reused_calls_keeps_what_was_spent() -> None:
    def say(asked: ChatCall) -> str:
        if asked.sample == 2:
            raise CallFailed("http 400")
        return agreeing(asked)

    bench = Bench(say)
    store = CallStore([await bench.run(vote(2))])
    found = await bench.run(vote(3), store)
    for example in found.examples:
        assert (example.failure, example.score, example.answer, example.latency_s) == ("http 400", 0.0, None, 1000.0)
        assert sorted((c.sample, c.reused, c.failure) for c in example.calls) == [
            (0, True, None),
            (1, True, None),
            (2, False, "http 400"),
        ]
    balanced(found)


async def test_the_deadline_holds_for_composed_times() -> None:
    bench = Bench(differing)
    known = [await bench.run(vote(3)), await bench.run(single("large", 0.0))]
    strict = Bench(differing, deadline_s=12.0)  # the cascade takes 3 s and then 11 s
    screened = await strict.runner.screen(strict.plan(cascade()), CallStore(known))
    mixed = await strict.run(cascade(), CallStore(known[:1]))
    for found in (screened, mixed):
        assert found is not None
        for example in found.examples:
            assert (example.failure, example.answer, example.score) == ("deadline", None, 0.0)
            assert example.latency_s == 12.0
            assert example.calls[-1].failure == "cancelled"
        balanced(found)
    assert screened is not None
    assert screened.composed_wall_s == pytest.approx(12.0)


async def test_other_engine_options_are_another_engine() -> None:
    bench = Bench()
    store = CallStore([await bench.run(vote(3))])
    bench.asked.clear()
    other = {name: {**facts, "slots": 8} for name, facts in ENGINES.items()}
    found = await bench.runner.run(bench.plan(vote(3)), bench.models, engines=other, store=store)
    assert (found.reused_calls, len(bench.asked)) == (0, 6)
    faster = Team("vote", vote(3).knobs, {"prefix_caching": True})
    assert await bench.runner.screen(bench.plan(faster), store) is None  # nobody knows its engine yet
    restarted = {name: {**facts, "port": 99} for name, facts in ENGINES.items()}
    found = await bench.runner.run(bench.plan(vote(3)), bench.models, engines=restarted, store=store)
    assert found.reused_calls == 6


async def test_a_graph_that_time_changes_is_charged_one_call_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks something else in the rerun, which nobody answered: then there is a bound, no lower than the truth."""
    bench = Bench()
    store = CallStore([await bench.run(vote(2))])

    async def answer(self: Team, question: Any, models: Any, settings: Any = None) -> str:
        known = await models["small"].chat(
            [{"role": "user", "content": question}], agent="a", temperature=0.7, max_tokens=8, sample=0
        )
        live = type(models["small"]).__name__ == "RecordingModel"
        await models["small"].chat(
            [{"role": "user", "content": f"{question} {live}"}], agent="b", temperature=0.7, max_tokens=8, sample=1
        )
        return str(known.text)

    monkeypatch.setattr(Team, "answer", answer)
    found = await bench.run(single(), store, count=1)
    (example,) = found.examples
    assert [(c.agent, c.reused) for c in example.calls] == [("b", False), ("a", True)]
    assert example.latency_s == pytest.approx(2.0 + 1.0)
    assert (example.answer, example.composed) == ("answer 0", True)
    balanced(found)


# -- joules that cannot be had ----------------------------------------------------------------------------------------


async def test_without_a_meter_calls_are_reused_without_joules() -> None:
    bench = Bench(metered=False)
    store = CallStore([await bench.run(vote(3))])
    for found in (await bench.runner.screen(bench.plan(vote(2)), store), await bench.run(vote(4), store)):
        assert found is not None
        assert found.reused_calls > 0
        assert (found.energy_j, found.spent_j, found.energy_idle_j, found.energy_unattributed_j) == (None,) * 4
        assert {c.energy_j for c in calls(found)} == {None}
        assert "energy_j" not in measure([found]).estimates


async def test_calls_without_joules_are_made_again_where_there_is_a_meter() -> None:
    blind = Bench(metered=False)
    store = CallStore([await blind.run(vote(3))])
    bench = Bench()
    found = await bench.run(vote(3), store)
    assert found.reused_calls == 0
    assert len(bench.asked) == 6
    store.add(found)
    assert await bench.runner.screen(bench.plan(vote(3)), store) is not None
    # A meter that fails once takes its calls with it.
    failed = replace(found, energy_j=None, energy_unattributed_j=None, attribution="")
    failed = replace(
        failed,
        examples=tuple(replace(e, calls=tuple(replace(c, energy_j=None) for c in e.calls)) for e in failed.examples),
    )
    assert await bench.runner.screen(bench.plan(vote(3)), CallStore([failed])) is None
    assert await bench.runner.screen(bench.plan(vote(3)), CallStore([failed, found])) is not None


async def test_joules_of_another_meter_do_not_count() -> None:
    bench = Bench()
    found = replace(await bench.run(vote(3)), energy_method="nvml")
    assert await bench.runner.screen(bench.plan(vote(3)), CallStore([found])) is None


def test_a_window_without_joules_leaves_the_block_without() -> None:
    known = block(energy_idle_j=0.5, energy_unattributed_j=0.5, energy_error_j=0.4, wall_s=2.0, attribution="tokens")
    store = CallStore([known])
    mine = (result(calls=(call(energy_j=1.0, reused=True), call(energy_j=None))),)
    dark = with_reused(block(energy_j=None, energy_marks=("a counter failed",), examples=mine), [4.0], store)
    assert (dark.energy_j, dark.energy_marks) == (None, ("a counter failed", SOME_REUSED))
    lit = with_reused(block(energy_j={"engine:small": 2.0}, wall_s=1.0, examples=mine), [4.0], store)
    assert lit.energy_j == pytest.approx({"engine:small": 2.0, "reused": 1.0, "reused:overhead": 3.0 * 0.5})
    assert lit.energy_error_j == pytest.approx(0.1 * (1.0 + 1.5))  # a tenth, as in the block that was measured
    untouched = block()
    assert with_reused(untouched, [1.0, 1.0], store) is untouched


# -- the store --------------------------------------------------------------------------------------------------------


async def test_a_resumed_run_knows_what_the_first_one_did(tmp_path: Path) -> None:
    bench, store = Bench(), CallStore()
    with BlockLog(tmp_path / "blocks.jsonl") as log:
        for team in (vote(3), cascade(), debate()):
            found = await bench.run(team, store)
            log.append(found)
            store.add(found)
    read = CallStore(read_records(tmp_path / "blocks.jsonl").blocks)
    assert len(read) == len(store) > 0
    plan = bench.plan(cascade(2))
    one, other = await bench.runner.screen(plan, store), await bench.runner.screen(plan, read)
    assert one is not None
    assert other is not None
    assert replace(one, started_at="") == replace(other, started_at="")


async def test_a_call_that_is_known_stays_what_it_was_and_is_not_copied() -> None:
    bench = Bench()
    first, second = await bench.run(vote(3)), await bench.run(vote(3))
    store = CallStore([first])
    known = len(store)
    store.add(second)
    assert len(store) == known == 6
    (made, *_) = calls(first)
    found = store.recall(made.key, "estimate")
    assert found is not None
    assert (found.text, found.latency_s, found.energy_j, found.reused) == (made.text, 1.0, made.energy_j, True)
    assert found.text is made.text
    assert store.recall("unheard of", "estimate") is None


def test_an_empty_store_knows_nothing() -> None:
    store = CallStore()
    assert len(store) == 0
    assert store.overhead("estimate") is None
    assert store.engines(["small"], {}) is None


async def test_spans_and_the_energy_table_are_of_what_was_sent(tmp_path: Path) -> None:
    with TraceStore(tmp_path, study="small") as traces:
        bench = Bench(traces=traces)
        first = await bench.run(vote(3))
        spans = (tmp_path / "spans-0000.jsonl").read_text().count('"chat small"')
        rows = len((tmp_path / "energy-0000.jsonl").read_text().splitlines())
        store = CallStore([first])
        assert await bench.runner.screen(bench.plan(vote(3)), store) is not None
        assert (tmp_path / "spans-0000.jsonl").read_text().count('"chat small"') == spans == 6
        assert len((tmp_path / "energy-0000.jsonl").read_text().splitlines()) == rows
        mixed = await bench.run(vote(4), store)
    table = [json.loads(line) for line in (tmp_path / "energy-0000.jsonl").read_text().splitlines()[rows:]]
    totals = sum(row["energy_j"] for row in table if row["name"] == "hw.energy")
    assert totals == pytest.approx(mixed.spent_j)
    assert totals == pytest.approx(sum(row["energy_j"] for row in table if row["name"] != "hw.energy"))
    assert (tmp_path / "spans-0000.jsonl").read_text().count('"chat small"') == 8


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0, 100), max_size=12), st.integers(1, 5))
def test_a_window_is_as_long_as_its_places_let_it_be(taken_s: list[float], concurrency: int) -> None:
    async def simulated() -> float:
        loop, places = asyncio.get_running_loop(), asyncio.Semaphore(concurrency)

        async def one(each_s: float) -> None:
            async with places:
                await asyncio.sleep(each_s)

        begun = loop.time()
        await asyncio.gather(*(one(each_s) for each_s in taken_s))
        return loop.time() - begun

    assert wall_s(taken_s, concurrency) == pytest.approx(run_in_virtual_time(simulated), abs=1e-6)


# -- thoughts ---------------------------------------------------------------------------------------------------------


def thinking(asked: ChatCall) -> str:
    """The first draw of each question is a thought that was cut off; the others answer after their thought."""
    return "<think>answer 9, or" if asked.sample == 0 else f"<think>answer 9?</think>{agreeing(asked)}<|im_end|>"


async def test_a_thought_is_no_vote_and_the_record_keeps_it() -> None:
    found = await Bench(thinking).run(vote(3))
    assert [(each.answer, each.score) for each in found.examples] == [("answer 0", 1.0), ("answer 1", 1.0)]
    first, second, _ = found.examples[0].calls
    assert (first.text, first.thought) == ("<think>answer 9, or", "unanswered")
    assert (second.text, second.thought) == ("<think>answer 9?</think>answer 0<|im_end|>", "answered")
    assert first.thought_tokens == first.output_tokens


async def test_only_thoughts_are_no_answer_and_score_0() -> None:
    found = await Bench(lambda asked: f"<think>{agreeing(asked)}").run(vote(3))
    assert [(each.answer, each.score, each.failure) for each in found.examples] == [("", 0.0, None)] * 2


@pytest.mark.parametrize("team", [vote(3), cascade(), debate(), single()], ids=lambda team: team.topology)
async def test_reused_thoughts_give_the_same_answers(team: Team) -> None:
    bench = Bench(thinking)
    made = await bench.run(team)
    asked = len(bench.asked)
    again = await bench.run(team, CallStore([made]))
    assert len(bench.asked) == asked
    assert [(each.answer, each.score) for each in again.examples] == [(e.answer, e.score) for e in made.examples]
    assert [(c.thought, c.thought_tokens, c.thought_estimated) for c in calls(again)] == [
        (c.thought, c.thought_tokens, c.thought_estimated) for c in calls(made)
    ]


async def test_a_thought_is_not_shown_to_other_agents() -> None:
    bench = Bench(thinking)
    await bench.run(debate(agents=3))
    later = [str(asked.content) for asked in bench.asked if asked.sample >= 3]
    assert later
    assert not any("think" in text or "answer 9" in text for text in later)
    assert any("answer 0" in text for text in later)


async def test_confirmation_records_why_a_reply_ended_but_not_its_text() -> None:
    found = await Bench(thinking).run(single(), phase="confirm", trial=None)
    assert {(call.finish_reason, call.text, call.thought) for call in calls(found)} == {("stop", None, "unanswered")}
