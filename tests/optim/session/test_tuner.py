"""How a study is driven: what is measured, in which order, when it ends, and where it goes on."""

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import optuna
import pytest
from support import STUDY, quick_folder, write_study

import orkester
from orkester.optim.run.events import (
    BlockProgress,
    EnginesReady,
    EnginesStarting,
    Event,
    Resumed,
    SearchEnded,
    Stopping,
    TeamMeasured,
    TeamStarted,
)

#: Seven teams, quickly measured.
SEARCH = {
    "single": {"model": "any"},
    "vote": {"agents": [2, 4], "model": "large"},
    "debate": {"agents": 2, "model": "any"},
}


T = TypeVar("T")


@dataclass(frozen=True)
class Watched:
    """A whole study with what it said meanwhile."""

    study: orkester.Study
    run: orkester.Run
    events: list[Event]


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    with quick_folder() as folder:
        path = write_study(folder / "study", whole=True, search=SEARCH, budget={"trials": 20})
        events: list[Event] = []
        run = orkester.tune(path, folder / "run", observer=events.append)
        yield Watched(orkester.load_study(path), run, events)


def of_type(events: list[Event], kind: type[T]) -> list[T]:
    return [event for event in events if isinstance(event, kind)]


def test_the_search_ends_when_every_team_is_measured(watched: Watched) -> None:
    (ended,) = of_type(watched.events, SearchEnded)
    assert (ended.reason, ended.teams) == ("every team of the space is measured", 7)
    assert {result.team for result in watched.run.results.teams} == set(watched.study.space.teams())


def test_every_team_sees_the_same_examples_in_the_same_blocks(watched: Watched) -> None:
    seen: dict[str, list[tuple[int, list[str]]]] = {}
    for block in watched.run.blocks:
        if block.phase == "search":
            seen.setdefault(block.team, []).append((block.index, [example.id for example in block.examples]))
    ids = [example.id for example in watched.study.search_examples]
    expected = [(0, ids[:4]), (1, ids[4:8]), (2, ids[8:])]
    assert len(seen) == 7
    assert all(blocks == expected for blocks in seen.values())


def test_the_front_is_confirmed_on_examples_the_search_has_not_seen(watched: Watched) -> None:
    held_out = [example.id for example in watched.study.task.confirm]
    assert not set(held_out) & {example.id for example in watched.study.search_examples}
    front = {result.team.id for result in watched.run.results.front}
    confirmed: dict[str, list[str]] = {}
    for block in watched.run.blocks:
        if block.phase == "confirm":
            confirmed.setdefault(block.team, []).extend(example.id for example in block.examples)
    assert front
    assert set(confirmed) >= front  # and those that came near it
    assert confirmed == dict.fromkeys(confirmed, held_out)


def test_an_engine_is_started_once_and_before_the_block_that_needs_it(watched: Watched) -> None:
    started = [model for event in of_type(watched.events, EnginesStarting) for model in event.models]
    assert sorted(started) == ["large", "small"]
    ready: set[str] = set()
    for event in watched.events:
        if isinstance(event, EnginesReady):
            ready |= set(event.models)
            assert event.seconds > 0
        if isinstance(event, BlockProgress):
            assert set(event.team.models) <= ready


def test_teams_are_numbered_and_followed_by_their_result(watched: Watched) -> None:
    search = [event for event in of_type(watched.events, TeamStarted) if event.phase == "search"]
    assert [event.number for event in search] == list(range(1, 8))
    assert {event.blocks for event in search} == {3}
    results = [event for event in of_type(watched.events, TeamMeasured) if event.phase == "search"]
    assert [event.result.team for event in results] == [event.team for event in search]
    assert [len(event.results.teams) for event in results] == list(range(1, 8))
    confirm = [event for event in of_type(watched.events, TeamStarted) if event.phase == "confirm"]
    assert [event.number for event in confirm] == list(range(1, len({event.team.id for event in confirm}) + 1))
    assert {event.team for event in confirm} >= {result.team for result in watched.run.results.front}


def test_the_time_left_is_unknown_at_first_and_then_shrinks_to_little(watched: Watched) -> None:
    guesses = [event.remaining_s for event in of_type(watched.events, BlockProgress)]
    assert guesses[0] is None
    known = [guess for guess in guesses if guess is not None]
    assert all(guess >= 0 for guess in known)
    assert known[-1] < known[0]


def test_a_finished_study_is_not_run_again(watched: Watched) -> None:
    events: list[Event] = []
    again = orkester.tune(watched.study, watched.run.path, observer=events.append)
    assert again.blocks == watched.run.blocks
    assert not of_type(events, TeamStarted)
    assert not of_type(events, EnginesStarting)
    (resumed,) = of_type(events, Resumed)
    assert (resumed.teams, resumed.blocks, resumed.lost) == (7, len(watched.run.blocks), False)
    assert [r.team.id for r in again.results.front] == [r.team.id for r in watched.run.results.front]


def test_trials_of_the_budget_are_different_teams(quick_path: Path) -> None:
    events: list[Event] = []
    path = write_study(quick_path / "study", whole=True, search=SEARCH, budget={"trials": 4})
    run = orkester.tune(path, quick_path / "run", observer=events.append)
    assert len(run.results.teams) == len({result.team.id for result in run.results.teams}) == 4
    (ended,) = of_type(events, SearchEnded)
    assert ended.reason == "4 teams are measured"


def test_a_lost_database_is_told_everything_again_and_no_team_is_run_again(quick_path: Path) -> None:
    path = write_study(quick_path / "study", whole=True, search=SEARCH, budget={"trials": 4})
    database = quick_path / "run" / "optuna.db"

    def told() -> list[tuple[object, ...]]:
        trials = optuna.load_study(study_name="small", storage=f"sqlite:///{database}").trials
        found = [(t.user_attrs.get("team"), t.state.name, t.params, t.values, t.constraints) for t in trials]
        return [each for each in found if each[0]]  # not what was asked for and taken back

    first = orkester.tune(path, quick_path / "run")
    before = told()
    database.unlink()  # as a kill just before a tell loses one trial, this loses all
    again = orkester.tune(path, quick_path / "run")
    assert len({team for team, *_ in before}) == 4
    assert told() == before
    assert again.blocks == first.blocks


def test_the_budget_in_minutes_counts_measuring_over_all_resumes(quick_path: Path) -> None:
    def study(folder: str, minutes: float) -> Path:
        return write_study(quick_path / folder, whole=True, search=SEARCH, budget={"trials": 2, "minutes": minutes})

    events: list[Event] = []
    first = orkester.tune(study("spent", 1e-6), quick_path / "run", observer=events.append)
    assert [(block.phase, block.index) for block in first.blocks] == [("search", 0)]  # the block that spent them
    assert first.results.front == []  # a part of a measurement is no measurement
    assert of_type(events, SearchEnded)[0].reason == "1e-06 minutes are spent"
    assert orkester.tune(study("spent", 1e-6), quick_path / "run").blocks == first.blocks
    more = orkester.tune(study("more", 60.0), quick_path / "run", observer=events.append)
    assert more.blocks[0] == first.blocks[0]
    assert [(b.team, b.index) for b in more.blocks[:3]] == [(more.blocks[0].team, index) for index in range(3)]
    assert len(more.results.teams) == 2
    assert of_type(events, SearchEnded)[-1].reason == "2 teams are measured"


def test_a_member_that_breaks_a_constraint_in_confirmation_makes_room_for_others(quick_path: Path) -> None:
    def study(folder: str, **changes: object) -> Path:
        return write_study(quick_path / folder, whole=True, search=SEARCH, budget={"trials": 20}, seed=1, **changes)

    free = orkester.tune(study("free"), quick_path / "free-run")
    drops = [
        (result.search.estimates["quality"].value, result.confirmed.estimates["quality"].value, result)
        for result in free.results.front
        if result.search is not None and result.confirmed is not None
    ]
    search, confirmed, member = max(drops, key=lambda drop: drop[0] - drop[1])
    assert confirmed < search
    limit = (search + confirmed) / 2
    bound = orkester.tune(study("bound", constraints={"quality": f">= {limit}"}), quick_path / "bound-run")
    result = next(result for result in bound.results.teams if result.team == member.team)
    assert not result.on_front
    assert result.infeasible.startswith("in confirmation: quality is ")
    for other in bound.results.front:
        assert other.confirmed is not None
        assert other.confirmed.estimates["quality"].value >= limit


def test_an_interrupt_finishes_the_block_and_the_study_goes_on_from_there(quick_path: Path, watched: Watched) -> None:
    fake = {**STUDY["engine"]["fake"], "latency_s": 0.01}  # as the others, so slow that a signal comes in time
    path = write_study(
        quick_path / "study",
        whole=True,
        search=SEARCH,
        engine={"fake": fake},
        measure={"concurrency": 2},
        budget={"trials": 20},
    )
    events: list[Event] = []

    def interrupt(event: Event) -> None:
        events.append(event)
        if isinstance(event, BlockProgress) and (event.block, event.examples_done) == (2, 1):
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt, match="stopped after the block that was under way"):
        orkester.tune(path, quick_path / "run", observer=interrupt)
    assert of_type(events, Stopping)
    stopped = orkester.open_run(quick_path / "run")
    assert [(block.index, len(block.examples)) for block in stopped.blocks] == [(0, 4), (1, 4)]
    assert stopped.results.front == []  # a part of a measurement is no measurement
    assert stopped.report.exists()

    events.clear()
    run = orkester.tune(path, quick_path / "run", observer=events.append)
    (resumed,) = of_type(events, Resumed)
    assert (resumed.teams, resumed.blocks) == (1, 2)
    assert outcome(run) == outcome(watched.run)


def test_a_second_interrupt_ends_it_at_once_without_the_block(quick_path: Path) -> None:
    engine = {"fake": {"data": "data.jsonl", "latency_s": 0.05}}
    path = write_study(quick_path / "study", whole=True, search=SEARCH, engine=engine, measure={"concurrency": 1})
    seen = 0

    def interrupt(event: Event) -> None:
        nonlocal seen
        if isinstance(event, BlockProgress) and event.block == 2:
            seen += 1
            if seen <= 2:
                os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt, match="stopped at once; the block under way is lost"):
        orkester.tune(path, quick_path / "run", observer=interrupt)
    assert seen < 4
    assert [(block.index, len(block.examples)) for block in orkester.open_run(quick_path / "run").blocks] == [(0, 4)]


# -- as it is where the study says nothing -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def usual() -> Iterator[Watched]:
    """The same study with the usual sampler, racing and reuse."""
    with quick_folder() as folder:
        path = write_study(folder / "study", search=SEARCH, budget={"trials": 20})
        events: list[Event] = []
        run = orkester.tune(path, folder / "run", observer=events.append)
        yield Watched(orkester.load_study(path), run, events)


def test_teams_see_the_first_examples_in_blocks_as_many_as_they_are_worth(usual: Watched) -> None:
    ids = [example.id for example in usual.study.search_examples]
    seen: dict[str, list[str]] = {}
    for block in usual.run.blocks:
        if block.phase == "search":
            assert block.index == len(seen.get(block.team, ())) // 4
            seen.setdefault(block.team, []).extend(example.id for example in block.examples)
    assert all(found == ids[: len(found)] for found in seen.values())
    whole = {team for team, found in seen.items() if found == ids}
    assert {result.team.id for result in usual.run.results.front} <= whole
    (ended,) = of_type(usual.events, SearchEnded)
    assert ended.teams == len(seen)
    assert ended.reason in {"no block that is left could change the front", "every team of the space is measured"}


def test_a_call_is_sent_once_in_the_search_and_always_in_confirmation(usual: Watched) -> None:
    sent: set[object] = set()
    for block in usual.run.blocks:
        for example in block.examples:
            for call in example.calls:
                assert block.phase == "search" or not call.reused
                assert call.reused == (call.key in sent if block.phase == "search" else False)
        if block.phase == "search":
            sent |= {call.key for example in block.examples for call in example.calls}
    calls = [call for block in usual.run.blocks for example in block.examples for call in example.calls]
    assert any(call.reused for call in calls)


def test_a_finished_study_as_usual_is_not_run_again(usual: Watched) -> None:
    events: list[Event] = []
    again = orkester.tune(usual.study, usual.run.path, observer=events.append)
    assert again.blocks == usual.run.blocks
    assert not of_type(events, TeamStarted)
    assert not of_type(events, EnginesStarting)
    (ended,) = of_type(events, SearchEnded)
    assert ended == of_type(usual.events, SearchEnded)[0]


def test_a_stop_is_written_down_once_and_read_again(quick_path: Path) -> None:
    accuracy = {"small": 0.0, "large": 1.0}
    engine = {"fake": {"data": "data.jsonl", "accuracy": accuracy, "latency_s": 0.001}}
    path = write_study(
        quick_path / "study",
        examples=60,
        sampler="grid",
        search={"single": {"model": "any"}, "vote": {"agents": [2, 4], "model": "small"}},
        engine=engine,
        objectives={"quality": "maximize", "calls": "minimize"},
        constraints={"quality": ">= 0.5"},
        measure={"examples": 40, "block": 4, "stop_error": 0.2},
        budget={"trials": 20},
    )
    run = orkester.tune(path, quick_path / "run")
    stopped = {result.team.id: result for result in run.results.teams if result.stopped}
    assert set(stopped) == {r.team.id for r in run.results.teams if "small" in r.team.models}
    for result in stopped.values():
        assert result.stopped == "quality cannot be >= 0.5 any more after 24 of 40 examples"
        assert not result.on_front
        assert sum(block.team == result.team.id for block in run.blocks) == 6
    lines = (quick_path / "run" / "blocks.jsonl").read_bytes()
    orkester.tune(path, quick_path / "run")
    assert (quick_path / "run" / "blocks.jsonl").read_bytes() == lines


def outcome(run: orkester.Run) -> tuple[list[object], list[str]]:
    """All of a run that does not depend on time: answers of every block, in order, and the front."""
    blocks = [
        (block.team, block.phase, block.index, [(e.id, e.answer, e.score, e.failure) for e in block.examples])
        for block in run.blocks
    ]
    return list(blocks), [result.team.id for result in run.results.front]
