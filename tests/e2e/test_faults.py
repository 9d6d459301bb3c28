"""Each thing that can go wrong with a model or its engine: the study goes on, and nothing faulty wins."""

import asyncio
import json
import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from support import quick_folder, write_study

import orkester
from orkester.errors import EngineError
from orkester.evals.records.block import Block
from orkester.optim.run.events import BlockProgress, BlockRerun, EngineChanged, EnginesStarting, Event
from orkester.optim.run.results import TeamResult
from orkester.serving.catalogue import Model
from orkester.serving.engines import EngineOptions, FakeEngine, FakeScript

#: Four teams: two of the healthy model alone, one of the other, one that needs both.
SEARCH: dict[str, Any] = {
    "single": {"model": "any"},
    "vote": {"agents": 2, "model": "small"},
    "cascade": {"first": "small", "then": "large", "votes": 2, "agreement": 1.0},
}
#: What the failures of each fault are called.
KINDS: dict[str, set[str]] = {
    "400": {"http 400"},
    "401": {"http 401"},
    "404": {"http 404"},
    "429": {"http 429"},
    "500": {"http 500"},
    "503": {"http 503"},
    "hang": {"deadline", "timeout"},  # the example's and the call's are the same: either may come first
    "cut": {"connection"},
    "not_json": {"bad reply"},
    "no_choices": {"bad reply"},
    "empty": {"empty answer"},
    "null": {"bad reply"},
}


#: Deadline of an example where some never end; long for a healthy one.
HANG_S = 3.0


def study(folder: Path, *faults: dict[str, Any], **changes: Any) -> Path:
    engine = {"fake": {"data": "data.jsonl", "accuracy": {"small": 0.5, "large": 1.0}, "faults": list(faults)}}
    settings = {
        "examples": 8,
        "block": 4,
        "concurrency": 4,
        "deadline_s": 20,
    }
    return write_study(
        folder / "study",
        whole=True,
        **{"engine": engine, "search": SEARCH, "measure": settings, "budget": {"trials": 4}, **changes},
    )


def expect_whole_blocks(run: orkester.Run, asked: orkester.Study) -> None:
    """Every block there is has its own place and all its examples, in order; no team has a hole."""
    sizes = {"search": asked.search_examples, "confirm": asked.task.confirm}
    size = asked.file.measure.block
    places = [(block.team, block.phase, block.index) for block in run.blocks]
    assert len(set(places)) == len(places)
    for block in run.blocks:
        expected = sizes[block.phase][block.index * size : (block.index + 1) * size]
        assert [example.id for example in block.examples] == [example.id for example in expected]
        assert block.index == 0 or (block.team, block.phase, block.index - 1) in places


def blocks_of(run: orkester.Run, result: TeamResult, phase: str) -> list[Block]:
    return [block for block in run.blocks if block.team == result.team.id and block.phase == phase]


@pytest.fixture(scope="module")
def all_kinds() -> Iterator[tuple[orkester.Study, orkester.Run]]:
    """A healthy model, and one for each fault, alone; one of them after votes of the healthy one too."""
    models = ["small", *(f"with_{kind}" for kind in KINDS)]
    faults = [{"kind": kind, "models": [f"with_{kind}"]} for kind in KINDS]
    search = {**SEARCH, "cascade": {**SEARCH["cascade"], "then": "with_400"}}
    with quick_folder() as folder:
        path = study(
            folder,
            *faults,
            models=models,
            search=search,
            measure={"examples": 8, "block": 4, "concurrency": 4, "deadline_s": HANG_S},
            budget={"trials": 40},
        )
        yield orkester.load_study(path), orkester.tune(path, folder / "run")


def test_with_every_fault_about_the_study_ends_with_a_healthy_front(
    all_kinds: tuple[orkester.Study, orkester.Run],
) -> None:
    asked, run = all_kinds
    expect_whole_blocks(run, asked)
    assert len(run.results.teams) == len(asked.space) == 3 + len(KINDS)
    healthy = [result for result in run.results.teams if result.team.models == ("small",)]
    assert len(healthy) == 2
    for result in healthy:
        assert result.infeasible == ""
        assert len(blocks_of(run, result, "search")) == 2
        assert all(example.failure is None for block in blocks_of(run, result, "search") for example in block.examples)
    assert run.results.front
    assert {result.team.id for result in run.results.front} <= {result.team.id for result in healthy}
    for result in run.results.front:
        assert result.confirmed is not None
        assert result.confirmed.examples == 5


@pytest.mark.parametrize("kind", KINDS)
def test_a_team_with_a_faulty_model_is_infeasible_and_its_reason_readable(
    all_kinds: tuple[orkester.Study, orkester.Run], kind: str
) -> None:
    _, run = all_kinds
    results = {r.team.topology: r for r in run.results.teams if f"with_{kind}" in r.team.models}
    assert set(results) == ({"single", "cascade"} if kind == "400" else {"single"})
    storage = f"sqlite:///{run.path / 'optuna.db'}"
    told = {t.user_attrs.get("team"): t for t in optuna.load_study(study_name="small", storage=storage).trials}
    for result in results.values():
        assert not result.on_front
        assert re.fullmatch(
            rf"failure_rate is \S+, not <= 0 \(\d × ({'|'.join(KINDS[kind])})(: .+)?\)", result.infeasible
        )
        trial = told[result.team.id]
        assert trial.user_attrs["infeasible"] == result.infeasible
        assert trial.constraints["failure_rate <= 0"] > 0
        (first,) = blocks_of(run, result, "search")  # what failed in the first block cannot be made up for
        failed = [example for example in first.examples if example.failure is not None]
        assert all(e.answer is None and e.score == 0 and e.latency_s == HANG_S for e in failed)
        calls = {call.failure for e in failed for call in e.calls if call.model != "small"}
        assert calls <= KINDS[kind] | ({"cancelled"} if kind == "hang" else set())
    assert results["single"].infeasible.startswith("failure_rate is 1, not <= 0 (4 × ")


def test_a_model_that_fails_one_call_in_ten_is_not_on_the_front_either(quick_path: Path) -> None:
    path = study(
        quick_path,
        {"kind": "null", "models": ["large"], "share": 0.1},
        examples=60,
        measure={"examples": 40, "block": 20},
    )
    run = orkester.tune(path, quick_path / "run")
    expect_whole_blocks(run, orkester.load_study(path))
    failed = {block.team for block in run.blocks for example in block.examples if example.failure is not None}
    single = next(r for r in run.results.teams if r.team.topology == "single" and "large" in r.team.models)
    assert single.team.id in failed
    assert single.search is not None
    assert 0 < single.search.estimates["failure_rate"].value < 0.5
    assert run.results.front
    assert all(result.confirmed is not None for result in run.results.front)
    assert {result.team.id for result in run.results.teams if result.infeasible} == failed


def test_failures_that_a_study_allows_cost_quality_and_no_more(quick_path: Path) -> None:
    path = study(
        quick_path,
        {"kind": "400", "models": ["large"], "share": 0.3},
        constraints={"failure_rate": "<= 0.9"},
        budget={"trials": 4},
    )
    run = orkester.tune(path, quick_path / "run")
    expect_whole_blocks(run, orkester.load_study(path))
    assert all(not result.infeasible for result in run.results.teams)
    assert all(len(blocks_of(run, result, "search")) == 2 for result in run.results.teams)
    failed = [example for block in run.blocks for example in block.examples if example.failure == "http 400"]
    assert failed
    assert all(example.score == 0 for example in failed)


@pytest.mark.parametrize("kind", ["429", "503", "cut"])
def test_a_fault_that_passes_is_tried_again_and_no_example_fails(quick_path: Path, kind: str) -> None:
    path = study(quick_path, {"kind": kind, "models": ["large"], "times": 2})
    run = orkester.tune(path, quick_path / "run")
    expect_whole_blocks(run, orkester.load_study(path))
    assert all(not result.infeasible for result in run.results.teams)
    calls = [call for block in run.blocks for example in block.examples for call in example.calls]
    assert all(call.failure is None for call in calls)
    assert sum(call.attempts - 1 for call in calls) == 2


# -- engines that die -------------------------------------------------------------------------------------------------


def engine_pids(model: str = "") -> list[int]:
    """Fake engines that this process has started and that still run, all or those of one model."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            lines = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
            command = (status.parent / "cmdline").read_text()
        except OSError:
            continue  # it has ended meanwhile
        ours = lines.get("PPid") == str(os.getpid()) and not lines["State"].startswith("Z")
        if ours and "_fake_server.py" in command and (not model or f'"model": "{model}"' in command):
            found.append(int(status.parent.name))
    return found


def killing(seen: list[Event], phase: str, block: int) -> Callable[[Event], None]:
    """An observer that keeps the events, and once kills the engine of the team whose block is under way."""
    done = False

    def observe(event: Event) -> None:
        nonlocal done
        seen.append(event)
        if not done and isinstance(event, BlockProgress) and (event.phase, event.block) == (phase, block):
            done = True
            (pid,) = engine_pids(event.team.models[0])
            os.kill(pid, signal.SIGKILL)

    return observe


@pytest.mark.parametrize(("phase", "number"), [("search", 2), ("confirm", 1)])
def test_an_engine_that_dies_in_a_block_is_started_again_and_the_block_run_again(
    quick_path: Path, phase: str, number: int
) -> None:
    engine = {"fake": {"data": "data.jsonl", "latency_s": 0.02}}  # so that examples are under way when it dies
    path = study(quick_path, engine=engine, measure={"examples": 8, "block": 4, "concurrency": 2})
    seen: list[Event] = []
    run = orkester.tune(path, quick_path / "run", observer=killing(seen, phase, number))
    expect_whole_blocks(run, orkester.load_study(path))
    (rerun,) = [event for event in seen if isinstance(event, BlockRerun)]
    model = rerun.team.models[0]
    assert rerun.reason == f"the engine of {model} died"
    assert [event.models for event in seen if isinstance(event, EnginesStarting)].count((model,)) == 2
    (block,) = [block for block in run.blocks if block.reruns]
    assert (block.team, block.phase, block.index, block.reruns) == (rerun.team.id, phase, number - 1, 1)
    assert all(example.failure is None for example in block.examples)
    assert [result.reruns for result in run.results.teams if result.team == rerun.team] == [1]
    assert all(not result.infeasible for result in run.results.teams)  # an accident is not the team's fault
    (died,) = [event.event for event in seen if isinstance(event, EngineChanged) and event.event.kind == "died"]
    assert died.energy_j is not None
    assert died.energy_j > 0  # those of the block that was lost
    assert engine_pids() == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["die", "freeze"])
def test_a_model_whose_engine_always_dies_or_hangs_makes_its_teams_infeasible_and_the_study_goes_on(
    quick_path: Path, kind: str
) -> None:
    measure = {"examples": 8, "block": 4, "deadline_s": HANG_S}
    path = study(quick_path, {"kind": kind, "models": ["large"]}, measure=measure)
    seen: list[Event] = []
    run = orkester.tune(path, quick_path / "run", observer=seen.append)
    expect_whole_blocks(run, orkester.load_study(path))
    faulty = [result for result in run.results.teams if "large" in result.team.models]
    healthy = [result for result in run.results.teams if "large" not in result.team.models]
    assert len(faulty) == len(healthy) == 2
    assert all(not result.infeasible and len(blocks_of(run, result, "search")) == 2 for result in healthy)
    assert run.results.front
    assert all(result in healthy and result.confirmed is not None for result in run.results.front)
    log = quick_path / "run" / "logs" / "large.log"
    for result in faulty:
        assert result.search is None
        assert not result.on_front
        assert result.infeasible.startswith("the engine of large died ")
        assert f"the whole log: {log}" in result.infeasible
    assert log.exists()
    assert 2 <= sum(isinstance(event, BlockRerun) for event in seen) <= 6
    assert engine_pids() == []
    again = orkester.tune(path, quick_path / "run")  # what was given up is not tried again
    assert [(r.team.id, r.infeasible) for r in again.results.teams] == [
        (r.team.id, r.infeasible) for r in run.results.teams
    ]


def test_an_engine_that_does_not_start_ends_the_study_with_its_last_words(quick_path: Path) -> None:
    path = study(quick_path)
    rows = [json.dumps({"id": f"q{i}", "question": "?", "solution": "!"}) for i in range(20)]
    (path.parent / "broken.jsonl").write_text("\n".join(rows))  # the fake engine wants "answer", and breaks
    path = study(quick_path, engine={"fake": {"data": "broken.jsonl"}})
    with pytest.raises(EngineError) as raised:
        orkester.tune(path, quick_path / "run")
    message = str(raised.value)
    assert raised.value.exit_code == 1
    assert message.startswith("the fake engine of ")
    assert "ended while starting (exit code 1). Last lines of its log:\n" in message
    assert "KeyError: 'answer'" in message
    assert f"the whole log: {quick_path / 'run' / 'logs'}" in message
    assert len(message.splitlines()) <= 24
    assert orkester.open_run(quick_path / "run").results.teams == []
    assert engine_pids() == []


# -- endpoints that someone else runs ---------------------------------------------------------------------------------


def test_an_endpoint_that_is_not_there_ends_the_study(quick_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and nobody listens
        address = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        path = study(quick_path, engine={"base_url": address})
        with pytest.raises(EngineError, match=f"{address} cannot be reached") as raised:
            orkester.tune(path, quick_path / "run")
    assert raised.value.exit_code == 1
    assert "Is the server running, and is the address right?" in str(raised.value)
    assert orkester.open_run(quick_path / "run").blocks == ()


async def start_server(folder: Path, script: FakeScript) -> tuple[FakeEngine, str]:
    """A server that is not the study's, with its address."""
    server = FakeEngine(script, folder=folder)
    endpoint = await server.start(Model(name="large", source="fake"), None, EngineOptions(), folder / "server.log")
    return server, endpoint.base_url


async def test_a_study_on_someone_elses_endpoint_has_no_joules_and_a_front(quick_path: Path) -> None:
    path = study(quick_path)
    server, address = await start_server(path.parent, FakeScript(data="data.jsonl", accuracy=0.9))
    try:
        path = study(quick_path, engine={"base_url": address, "requests_per_s": 500.0, "concurrency": 2})
        run = await asyncio.to_thread(orkester.tune, path, quick_path / "run")
    finally:
        await server.stop()
    expect_whole_blocks(run, orkester.load_study(path))
    assert len(run.results.teams) == 4
    assert run.results.front
    assert {block.energy_method for block in run.blocks} == {"unavailable"}
    assert all(block.energy_j is None for block in run.blocks)
    assert all("energy_j" not in result.search.estimates for result in run.results.teams if result.search)


async def test_an_endpoint_that_goes_away_ends_the_study_and_no_team_is_blamed(quick_path: Path) -> None:
    path = study(quick_path)
    server, address = await start_server(path.parent, FakeScript(data="data.jsonl"))
    path = study(quick_path, engine={"base_url": address})

    def leave(event: Event) -> None:
        if isinstance(event, BlockProgress) and event.block == 2:
            for pid in engine_pids("large"):
                os.kill(pid, signal.SIGKILL)

    with pytest.raises(EngineError, match="cannot be reached"):
        await asyncio.to_thread(orkester.tune, path, quick_path / "run", observer=leave)
    await server.stop()
    run = orkester.open_run(quick_path / "run")
    assert run.blocks
    assert all(example.failure is None for block in run.blocks for example in block.examples)
    assert all(not result.infeasible for result in run.results.teams)
