"""The block runner: one team, a few examples, one exclusive window."""

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import orkester.graphs
from orkester.errors import CallFailed, InputError
from orkester.evals.records.block import Block, Phase
from orkester.evals.records.log import decode, encode
from orkester.evals.running.runner import BlockPlan, BlockRunner, derive_seed
from orkester.evals.scorers import scorer
from orkester.evals.task import Example, Task
from orkester.graphs import Team
from orkester.serving.energy import EstimateMeter, Limits, Reading, Sampler, UnavailableMeter
from orkester.telemetry import TraceStore, chat_span
from orkester.testing.scripted import ChatCall, ScriptedModel, reply, scripted_models, turns

SINGLE = Team("single", {"model": "small", "temperature": 0.0})
NONE = UnavailableMeter("nothing to measure here")


def vote(agents: int = 3) -> Team:
    return Team("vote", {"agents": agents, "model": "small", "temperature": 0.7})


def examples(count: int) -> list[Example]:
    return [Example(id=f"q{i}", question=f"question {i}", expected=f"answer {i}") for i in range(count)]


def task(**changes: Any) -> Task:
    known: dict[str, Any] = {
        "name": "small",
        "shots": (),
        "search": (),
        "confirm": (),
        "scorer": scorer("exact"),
        "instruction": "",
        "max_tokens": 8,
        "extract": None,
        "data_sha256": "",
    }
    return Task(**{**known, **changes})


def runner(**changes: Any) -> BlockRunner:
    known: dict[str, Any] = {"task": task(), "meter": NONE, "concurrency": 4, "deadline_s": 20.0, "seed": 1}
    known |= changes
    return BlockRunner(**{**known, "meter": Sampler(known["meter"])})


async def run(
    models: Mapping[str, ScriptedModel],
    *,
    team: Team = SINGLE,
    count: int = 4,
    by: BlockRunner | None = None,
    **plan: Any,
) -> Block:
    known: dict[str, Any] = {"team": team, "examples": examples(count), "phase": "search", "index": 0, "trial": 0}
    return await (by or runner()).run(BlockPlan(**{**known, **plan}), models, engines={"small": {"engine": "none"}})


def right(call: ChatCall) -> str:
    """The right answer to every question."""
    return str(call.content).replace("question", "answer")


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


# -- what it leaves behind --------------------------------------------------------------------------------------------


async def test_a_block_says_what_was_run(tmp_path: Path) -> None:
    models, _ = scripted_models(right)
    by = runner(concurrency=2, seed=9, now=lambda: datetime(2026, 1, 2, 3, 4, 5, 678900, tzinfo=UTC))
    block = await run(models, team=vote(), by=by, phase="confirm", index=3, trial=None, reruns=1)
    assert (block.team, block.topology, block.knobs) == (vote().id, "vote", dict(vote().knobs))
    assert (block.phase, block.index, block.trial, block.reruns) == ("confirm", 3, None, 1)
    assert (block.concurrency, block.seed, block.started_at) == (2, 9, "2026-01-02T03:04:05.678+00:00")
    assert block.engines == {"small": {"engine": "none"}}
    assert decode(json.loads(encode(block))) == block


@settings(max_examples=15, deadline=None)
@given(count=st.integers(1, 9), concurrency=st.integers(1, 12), slow=st.integers(0, 8))
def test_results_are_in_the_order_of_the_data_however_long_each_takes(count: int, concurrency: int, slow: int) -> None:
    async def answer(call: ChatCall) -> str:
        await turns(slow * (count - int(str(call.content).split()[-1])))
        return right(call)

    async def main() -> Block:
        models, _ = scripted_models(answer)
        return await run(models, count=count, by=runner(concurrency=concurrency))

    block = asyncio.run(main())
    assert [example.id for example in block.examples] == [f"q{i}" for i in range(count)]
    assert [example.answer for example in block.examples] == [f"answer {i}" for i in range(count)]
    assert {example.score for example in block.examples} == {1.0}


async def test_every_team_is_asked_the_same_questions_in_the_same_order() -> None:
    by = runner(concurrency=1)
    orders: list[list[Any]] = []
    for team in (SINGLE, vote(1), vote(3)):
        models, asked = scripted_models(right)
        await run(models, team=team, by=by)
        orders.append(list(dict.fromkeys(call.content for call in asked)))
    assert orders == [[f"question {i}" for i in range(4)]] * 3


async def test_progress_counts_the_examples_done() -> None:
    models, _ = scripted_models(right)
    seen: list[int] = []
    plan = BlockPlan(team=SINGLE, examples=examples(5), phase="search", index=0)
    await runner(concurrency=2).run(plan, models, engines={}, progress=seen.append)
    assert seen == [1, 2, 3, 4, 5]


async def test_the_tasks_settings_reach_the_team() -> None:
    models, asked = scripted_models(lambda call: f"so\n#### {right(call)}")
    block = await run(models, by=runner(task=task(instruction="Be brief.", max_tokens=3, extract=r"#### (.+)")))
    assert {call.max_tokens for call in asked} == {3}
    assert {call.messages[0]["content"] for call in asked} == {"Be brief."}
    assert [example.answer for example in block.examples] == [f"answer {i}" for i in range(4)]


async def test_votes_are_counted_by_the_scorers_key() -> None:
    models, _ = scripted_models(lambda call: ("forty", "It is 7.0", "7")[call.sample])
    block = await run(models, team=vote(), count=1, by=runner(task=task(scorer=scorer("numeric"))))
    assert block.examples[0].answer == "It is 7.0"


# -- time -------------------------------------------------------------------------------------------------------------


async def test_no_more_examples_are_under_way_than_stated() -> None:
    for limit in (1, 2, 5):
        under_way, most = 0, 0

        async def answer(call: ChatCall) -> str:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            await turns(5)
            under_way -= 1
            return right(call)

        models, _ = scripted_models(answer)
        await run(models, count=9, by=runner(concurrency=limit))
        assert most == limit


async def test_blocks_run_one_at_a_time() -> None:
    under_way: set[str] = set()

    async def answer(call: ChatCall) -> str:
        under_way.add(call.agent)
        assert len(under_way) == 1, "two blocks were under way at once"
        await turns(5)
        return right(call)

    async def block_of(team: Team) -> Block:
        models, _ = scripted_models(answer)
        block = await run(models, team=team, by=by, count=6)
        under_way.clear()
        return block

    class Window:
        """A meter that fails when windows overlap."""

        method, assumptions, limits = "replay", {}, Limits()
        depth = 0

        def watch(self, domain: str, pids: tuple[int, ...]) -> None: ...

        def close(self) -> None: ...

        def read(self) -> Reading:
            self.depth += 1
            return Reading(time_s=0.0, energy_j={"reads": float(self.depth)})

    by = runner(meter=Window())
    blocks = await asyncio.gather(*(block_of(team) for team in (SINGLE, vote(), SINGLE)))
    assert [block.energy_j for block in blocks] == [{"reads": 1.0}] * 3  # none read between another's two
    assert all(example.failure is None for block in blocks for example in block.examples)


async def test_latency_is_from_submission_to_answer_and_the_window_holds_all() -> None:
    clock = Clock()

    async def answer(call: ChatCall) -> Any:
        clock.now_s += 2.0
        return reply(right(call), latency_s=1.5, attempts=2)

    models, _ = scripted_models(answer)
    block = await run(models, count=3, by=runner(concurrency=1, clock=clock))
    assert [example.latency_s for example in block.examples] == [2.0] * 3  # waiting for a place is not counted
    assert block.wall_s == 6.0
    (call,) = block.examples[2].calls
    assert (call.start_s, call.latency_s, call.attempts) == (0.0, 1.5, 2)


async def test_the_first_run_of_a_topology_belongs_to_no_window(monkeypatch: pytest.MonkeyPatch) -> None:
    module = orkester.graphs.debate.__name__
    monkeypatch.delitem(sys.modules, module)
    monkeypatch.delattr(orkester.graphs, "debate")
    orkester.graphs.TOPOLOGIES.refresh()
    loaded: list[bool] = []

    class Watching:
        method, assumptions, limits = "replay", {}, Limits()

        def watch(self, domain: str, pids: tuple[int, ...]) -> None: ...

        def close(self) -> None: ...

        def read(self) -> Reading:
            loaded.append(module in sys.modules)
            return Reading(time_s=0.0, energy_j={})

    models, asked = scripted_models(right)
    team = Team("debate", {"agents": 2, "rounds": 1, "model": "small", "temperature": 0.7})
    await run(models, team=team, count=1, by=runner(meter=Watching()))
    assert loaded == [True, True]
    assert {call.content.splitlines()[0] for call in asked} == {"question 0"}  # and costs no model call


# -- failures ---------------------------------------------------------------------------------------------------------


async def test_an_example_that_fails_scores_0_at_its_deadline_and_the_others_go_on() -> None:
    def answer(call: ChatCall) -> str:
        if call.content == "question 1":
            raise CallFailed("http 400", "no", attempts=3)
        return right(call)

    models, _ = scripted_models(answer)
    block = await run(models, by=runner(deadline_s=7.5))
    assert [example.failure for example in block.examples] == [None, "http 400", None, None]
    failed = block.examples[1]
    assert (failed.answer, failed.score, failed.latency_s) == (None, 0.0, 7.5)
    (call,) = failed.calls
    assert (call.failure, call.attempts, call.input_tokens) == ("http 400", 3, None)
    assert (failed.failure_message, call.failure_message) == ("no", "no")
    assert [example.score for example in block.examples] == [1.0, 0.0, 1.0, 1.0]


async def test_a_model_that_hangs_meets_the_deadline() -> None:
    async def answer(call: ChatCall) -> str:
        if call.content == "question 0" and call.sample:
            await asyncio.Event().wait()
        return right(call)

    models, _ = scripted_models(answer)
    block = await run(models, team=vote(), count=2, by=runner(deadline_s=0.15))
    hung, fine = block.examples
    assert (hung.failure, hung.answer, hung.score, hung.latency_s) == ("deadline", None, 0.0, 0.15)
    assert [call.failure for call in hung.calls] == [None, "cancelled", "cancelled"]
    assert (fine.failure, fine.answer) == (None, "answer 1")


async def test_every_call_is_recorded_those_that_failed_or_were_cancelled_too() -> None:
    started = asyncio.Event()

    async def answer(call: ChatCall) -> str:
        if call.sample == 0:
            return right(call)
        if call.sample == 1:
            await started.wait()
            raise CallFailed("http 500", attempts=4)
        started.set()
        await asyncio.Event().wait()
        return ""

    models, _ = scripted_models(answer)
    block = await run(models, team=vote(), count=1)
    (example,) = block.examples
    assert example.failure == "http 500"
    assert [(call.sample, call.failure, call.attempts) for call in example.calls] == [
        (0, None, 1),
        (1, "http 500", 4),
        (2, "cancelled", 1),
    ]
    assert [(call.input_tokens, call.output_tokens) for call in example.calls] == [(7, 2), (None, None), (None, None)]
    assert all(call.agent == "voter" and call.model == "small" for call in example.calls)


async def test_what_the_server_says_of_its_time_is_recorded() -> None:
    models, _ = scripted_models(lambda asked: reply(right(asked), queue_s=0.1, ttft_s=0.2, decode_s=None))
    block = await run(models, count=1)
    (call,) = block.examples[0].calls
    assert (call.queue_s, call.ttft_s, call.decode_s) == (0.1, 0.2, None)
    assert decode(json.loads(encode(block))) == block
    line = json.loads(encode(block))
    for said in line["examples"][0]["calls"]:  # as written before servers were asked
        del said["queue_s"], said["ttft_s"], said["decode_s"]
    old = decode(line)
    assert isinstance(old, Block)
    assert old.examples[0].calls[0].ttft_s is None


async def test_calls_are_in_the_order_of_their_start() -> None:
    clock = Clock()

    async def answer(call: ChatCall) -> str:
        clock.now_s += 1
        await turns(20 - 5 * call.sample)
        return right(call)

    models, _ = scripted_models(answer)
    block = await run(models, team=vote(), count=1, by=runner(clock=clock))
    assert [(call.sample, call.start_s) for call in block.examples[0].calls] == [(0, 0.0), (1, 1.0), (2, 2.0)]


async def test_a_graph_that_breaks_is_a_failed_example() -> None:
    def answer(call: ChatCall) -> str:
        raise ZeroDivisionError

    models, _ = scripted_models(answer)
    block = await run(models, count=1)
    assert block.examples[0].failure == "error ZeroDivisionError"


async def test_a_failed_example_is_not_scored() -> None:
    def answer(call: ChatCall) -> str:
        raise CallFailed("timeout")

    class Never:
        name, version = "never", "1"

        def score(self, answer: str, expected: Any) -> float:
            raise AssertionError("there was no answer to score")

        def key(self, answer: str) -> str:
            return answer

    models, _ = scripted_models(answer)
    block = await run(models, by=runner(task=task(scorer=Never())))
    assert {example.failure for example in block.examples} == {"timeout"}


async def test_a_scorer_that_breaks_ends_the_block_with_one_message(tmp_path: Path) -> None:
    (tmp_path / "breaking_scorer.py").write_text("def judge(answer, expected):\n    return 2\n")
    by = runner(task=task(scorer=scorer("breaking_scorer:judge", folder=tmp_path)))
    models, _ = scripted_models(right)
    with pytest.raises(InputError, match="must return a number from 0 to 1, but returned 2"):
        await run(models, by=by)
    with pytest.raises(InputError, match="must return a number from 0 to 1"):  # and the window is open again
        await run(models, by=by)


async def test_a_model_that_the_team_needs_and_has_not_ends_the_block() -> None:
    models, _ = scripted_models(right, "another")
    with pytest.raises(InputError, match="wants the model 'small'"):
        await run(models)


async def test_a_fault_of_our_own_is_not_taken_for_a_result() -> None:
    def fault(done: int) -> None:
        raise RuntimeError("a bug")

    models, _ = scripted_models(right)
    plan = BlockPlan(team=SINGLE, examples=examples(2), phase="search", index=0)
    with pytest.raises(ExceptionGroup) as raised:
        await runner().run(plan, models, engines={}, progress=fault)
    assert raised.group_contains(RuntimeError, match="a bug")


async def test_a_block_that_is_cancelled_lets_the_next_begin() -> None:
    begun = asyncio.Event()

    async def hang(call: ChatCall) -> str:
        begun.set()
        await asyncio.Event().wait()
        return ""

    by = runner()
    under_way = asyncio.create_task(run(scripted_models(hang)[0], by=by))
    await begun.wait()
    under_way.cancel()
    with pytest.raises(asyncio.CancelledError):
        await under_way
    block = await run(scripted_models(right)[0], by=by)
    assert {example.score for example in block.examples} == {1.0}


# -- seeds ------------------------------------------------------------------------------------------------------------


async def seeds(team: Team, *, phase: Phase = "search", seed: int = 1) -> dict[tuple[str, str, int], int]:
    models, asked = scripted_models(right)
    await run(models, team=team, by=runner(seed=seed), phase=phase)
    assert all(call.seed is not None for call in asked)
    return {(str(call.content), call.agent, call.sample): call.seed or 0 for call in asked}


async def test_teams_that_ask_the_same_thing_draw_the_same() -> None:
    few, many = await seeds(vote(3)), await seeds(vote(5))
    assert len(set(many.values())) == 4 * 5  # every draw its own
    assert few.items() <= many.items()


async def test_a_draw_does_not_depend_on_who_asks() -> None:
    cascade = Team("cascade", {"first": "small", "then": "large", "votes": 3, "temperature": 0.7, "agreement": 1.0})
    debate = Team("debate", {"agents": 3, "rounds": 1, "model": "small", "temperature": 0.7})
    alone = Team("single", {"model": "small", "temperature": 0.7})
    asked = [await seeds(team) for team in (vote(3), cascade, debate, alone)]
    drawn = [{(content, sample): seed for (content, _, sample), seed in one.items()} for one in asked]
    assert drawn[0] == drawn[1]
    assert drawn[0].items() < drawn[2].items()
    assert drawn[3].items() < drawn[0].items()


async def test_the_same_block_draws_the_same_again() -> None:
    assert await seeds(vote()) == await seeds(vote())


async def test_confirmation_and_another_study_draw_afresh() -> None:
    search = await seeds(vote())
    for other in (await seeds(vote(), phase="confirm"), await seeds(vote(), seed=2)):
        assert other.keys() == search.keys()
        assert not set(other.values()) & set(search.values())


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers() | st.text(), min_size=1, max_size=4))
def test_a_seed_is_one_that_every_engine_takes(parts: list[object]) -> None:
    assert 0 <= derive_seed(*parts) < 2**31
    assert derive_seed(*parts) == derive_seed(*parts) != derive_seed(*parts, "more")


def test_seeds_do_not_change_from_one_version_to_the_next() -> None:
    assert derive_seed(1, "search", "q0", 0) == 147615748


# -- energy -----------------------------------------------------------------------------------------------------------


async def test_energy_is_what_each_domain_used_in_the_window() -> None:
    cpu_s = {1: 10.0, 2: 50.0, 3: 0.5}
    meter = EstimateMeter(cpu_s=cpu_s.get, own_pid=1)
    meter.watch("engine:small", (2,))
    meter.watch("engine:idle", (3,))
    cpu_s[2] += 100.0  # before the window

    def answer(call: ChatCall) -> str:
        cpu_s[1] += 0.5
        cpu_s[2] += 1.0
        return right(call)

    models, _ = scripted_models(answer)
    block = await run(models, by=runner(meter=meter))
    cpu_s[2] += 100.0  # and after it
    assert block.energy_j == {"orkester": 4 * 0.5 * 8, "engine:small": 4 * 1.0 * 8, "engine:idle": 0.0}
    assert block.energy_method == "estimate"
    assert block.energy_assumptions == meter.assumptions


async def test_an_engine_that_starts_in_the_window_counts_with_its_start() -> None:
    cpu_s = {1: 0.0, 2: 3.0}
    meter = EstimateMeter(cpu_s=cpu_s.get, own_pid=1)

    def answer(call: ChatCall) -> str:
        meter.watch("engine:small", (2,))
        cpu_s[2] += 1.0
        return right(call)

    models, _ = scripted_models(answer)
    block = await run(models, count=1, by=runner(meter=meter))
    assert block.energy_j == {"orkester": 0.0, "engine:small": 32.0}


async def test_joules_are_shared_among_calls_and_join_the_trace(tmp_path: Path) -> None:
    """A second of engine time for each call, while that call is under way, by a clock that only calls move."""
    clock, cpu_s = Clock(), {1: 0.0, 2: 0.0}

    async def answer(call: ChatCall) -> Any:
        with chat_span("small", {}):
            clock.now_s += 1.0
            cpu_s[2] += 1.0
            if call.content == "question 1":
                raise CallFailed("http 400", "no", attempts=1)
            return reply(right(call), latency_s=1.0)

    meter = Sampler(EstimateMeter(cpu_s=cpu_s.get, own_pid=1, clock=clock))
    meter.watch("engine:small", (2,))
    models, _ = scripted_models(answer)
    with TraceStore(tmp_path, study="small") as traces:
        by = BlockRunner(task=task(), meter=meter, concurrency=1, deadline_s=20.0, seed=1, traces=traces, clock=clock)
        block = await run(models, count=3, by=by)
    calls = [call for example in block.examples for call in example.calls]
    assert block.energy_j == {"orkester": 0.0, "engine:small": 24.0}
    assert [call.failure for call in calls] == [None, "http 400", None]
    assert all(call.energy_j is not None and call.energy_j > 0 for call in calls)
    assert block.energy_unattributed_j is not None
    assert sum(call.energy_j or 0.0 for call in calls) + block.energy_unattributed_j == pytest.approx(24.0)
    assert block.attribution == "tokens"
    assert block.energy_idle_j is None
    rows = [json.loads(line) for line in (tmp_path / "energy-0000.jsonl").read_text().splitlines()]
    totals = [row for row in rows if row["name"] == "hw.energy"]
    assert sum(row["energy_j"] for row in totals) == 24.0
    assert {row["method"] for row in rows} == {"estimate"}
    assert sum(row["energy_j"] for row in rows if row["name"] != "hw.energy") == pytest.approx(24.0)
    spans = (tmp_path / "spans-0000.jsonl").read_text()
    shares = [row for row in rows if row.get("scope") == "chat"]
    assert len(shares) == 3
    assert all(row["span_id"] in spans and row["trace_id"] in spans for row in shares)
    assert decode(json.loads(encode(block))) == block


async def test_energy_that_cannot_be_had_is_none_and_not_0() -> None:
    models, _ = scripted_models(right)
    block = await run(models)
    assert block.energy_j is None
    assert block.energy_method == "unavailable"
    assert block.energy_assumptions == {"reason": "nothing to measure here"}


@pytest.mark.parametrize("readings", [(None, {"gpu:0": 5.0}), ({"gpu:0": 5.0}, None)])
async def test_a_meter_that_fails_at_one_end_gives_no_number(readings: Sequence[Mapping[str, float] | None]) -> None:
    class Failing:
        method, assumptions, limits = "replay", {}, Limits()

        def __init__(self) -> None:
            self.left = list(readings)

        def watch(self, domain: str, pids: tuple[int, ...]) -> None: ...

        def close(self) -> None: ...

        def read(self) -> Reading | None:
            energy_j = self.left.pop(0)
            return None if energy_j is None else Reading(time_s=0.0, energy_j=energy_j)

    models, _ = scripted_models(right)
    assert (await run(models, count=1, by=runner(meter=Failing()))).energy_j is None


# -- traces -----------------------------------------------------------------------------------------------------------


async def test_every_example_is_a_trace_with_its_score_or_its_failure(tmp_path: Path) -> None:
    def answer(call: ChatCall) -> str:
        if call.content == "question 1":
            raise CallFailed("http 400")
        return right(call)

    models, _ = scripted_models(answer)
    with TraceStore(tmp_path, study="small") as traces:
        await run(models, team=vote(), count=2, by=runner(traces=traces))
        (file,) = tmp_path.iterdir()
        spans = [  # on disk when the block ends
            span
            for line in file.read_text().splitlines()
            for resource in json.loads(line)["resourceSpans"]
            for scope in resource["scopeSpans"]
            for span in scope["spans"]
        ]
    roots = {span["name"]: span for span in spans if not span.get("parentSpanId")}
    assert set(roots) == {"example q0", "example q1"}
    assert len({span["traceId"] for span in spans}) == 2
    for name, kind, score in (("example q0", None, 1.0), ("example q1", "http 400", 0.0)):
        found = {a["key"]: next(iter(a["value"].values())) for a in roots[name]["attributes"]}
        assert found.get("error.type") == kind
        assert found["orkester.team.id"] == vote().id
        (event,) = roots[name]["events"]
        said = {a["key"]: next(iter(a["value"].values())) for a in event["attributes"]}
        assert said["gen_ai.evaluation.score.value"] == score
    agents = [span["name"] for span in spans if span["name"].startswith("invoke_agent")]
    assert agents.count("invoke_agent voter") >= 3
