"""Confirmation: who is confirmed, whose blocks come next, when it ends, and where it goes on."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support import quick_folder, write_study

import orkester
from orkester.evals.records.block import Block, Phase
from orkester.evals.records.log import BlockLog
from orkester.graphs import Team
from orkester.optim.confirm.confirmation import TURN, Confirmation, ConfirmationTurn
from orkester.optim.goals.front_probability import CLEAR
from orkester.optim.run.events import BlockProgress, Event, TeamMeasured, TeamStarted
from orkester.optim.run.results import Results, results
from orkester.testing.blocks import block, call, result

OBJECTIVES: Mapping[str, Any] = {"quality": "maximize", "calls": "minimize"}
BLOCK, BLOCKS = 4, 8
SIZES: Mapping[Phase, int] = {"search": 24, "confirm": BLOCK * BLOCKS}


def team(agents: int, model: str = "small") -> Team:
    return Team("vote", {"agents": agents, "model": model, "temperature": 0.7})


def made(
    who: Team, right: Sequence[bool], *, phase: Phase = "confirm", index: int = 0, failed: int = 0, **changes: Any
) -> Block:
    """A block with these answers; of the first so many a call failed."""
    calls = int(who.knobs["agents"])
    lost: dict[str, Any] = {"score": 0.0, "failure": "http 500"}
    examples = tuple(
        result(i, calls=(call(),) * calls, **(lost if i < failed else {"score": float(each)}))
        for i, each in enumerate(right)
    )
    return block(
        team=who.id, knobs=dict(who.knobs), phase=phase, index=index, trial=calls, examples=examples, **changes
    )


def searched(who: Team, right: int) -> Block:
    """The whole search of a team in one block; wrong are every so many."""
    every = SIZES["search"] // (SIZES["search"] - right) if right < SIZES["search"] else SIZES["search"] + 1
    answers = [True] * SIZES["search"]
    for i in range(SIZES["search"] - right):
        answers[i * every] = False
    return made(who, answers, phase="search")


@dataclass
class Story:
    """A log with its confirmation, and what it says."""

    log: BlockLog
    confirmation: Confirmation
    constraints: Mapping[str, str]

    def found(self) -> Results:
        return results(self.log.records(), OBJECTIVES, self.constraints, SIZES)

    def next(self) -> ConfirmationTurn | None:
        return self.confirmation.next(self.found())

    def run(self, who: Team, right: float, blocks: int = TURN, **changes: Any) -> None:
        """The team's next blocks, with that share of right answers."""
        for _ in range(blocks):
            index = len(self.log.blocks(who.id, "confirm"))
            answers = [(i + 1) * right % 1 < right for i in range(index * BLOCK, (index + 1) * BLOCK)]
            self.log.append(made(who, answers, index=index, **changes))


@pytest.fixture
def log(tmp_path: Path) -> Iterator[BlockLog]:
    with BlockLog(tmp_path / "blocks.jsonl") as opened:
        yield opened


def story(log: BlockLog, *found: Block, constraints: Mapping[str, str] = {}, **changes: Any) -> Story:
    for each in found:
        log.append(each)
    return Story(log, Confirmation(log=log, blocks=BLOCKS, **changes), constraints)


def named(turn: ConfirmationTurn | None) -> tuple[Team, int] | None:
    return None if turn is None else (turn.result.team, turn.last)


# -- who is confirmed -------------------------------------------------------------------------------------------------


def test_the_front_is_confirmed_and_at_most_as_many_teams_near_it(log: BlockLog) -> None:
    told = story(
        log,
        searched(team(1), 21),
        searched(team(2), 20),  # near: one answer worse
        searched(team(3), 20),  # near too, but the front has one member alone
        searched(team(4), 2),
    )
    found = told.found()
    assert [member.team for member in found.front] == [team(1)]
    first, second = told.confirmation.candidates(found)
    assert first.team == team(1)
    assert second.team in {team(2), team(3)}


def test_a_team_that_is_clearly_beaten_infeasible_or_not_whole_is_not_near(log: BlockLog) -> None:
    told = story(
        log,
        searched(team(1), 24),
        searched(team(2), 4),
        made(team(3), [True] * BLOCK, phase="search"),
        made(team(4), [True] * SIZES["search"], phase="search", failed=2),
    )
    assert [each.team for each in told.confirmation.candidates(told.found())] == [team(1)]


# -- whose turn -------------------------------------------------------------------------------------------------------


def test_all_get_a_turn_first_those_with_the_engines_in_use_before_the_others(log: BlockLog) -> None:
    told = story(log, searched(team(3, "large"), 24), searched(team(1), 12), searched(team(2), 18))
    seen = []
    for _ in range(3):
        turn = told.next()
        assert turn is not None
        seen.append((turn.result.team, turn.last, turn.number, turn.of))
        told.run(turn.result.team, 0.5)
    # What was used last in the search is used first.
    assert {who.knobs["model"] for who, *_ in seen[:2]} == {"small"}
    assert seen[2][0] == team(3, "large")
    assert [(last, number, of) for _, last, number, of in seen] == [(TURN, i, 3) for i in (1, 2, 3)]


def test_where_calls_are_limited_the_front_comes_before_its_neighbours(log: BlockLog) -> None:
    told = story(log, searched(team(2), 20), searched(team(1, "large"), 21), calls=100)
    turn = told.next()
    assert turn is not None
    assert turn.result.team == team(1, "large")  # though it needs another engine
    told.run(team(1, "large"), 0.8)
    assert named(told.next()) == (team(2), TURN)


def test_a_turn_that_was_cut_off_is_gone_on_with(log: BlockLog) -> None:
    told = story(log, searched(team(1), 12), searched(team(2), 24))
    told.run(team(2), 0.9, blocks=1)
    assert named(told.next()) == (team(2), TURN)
    told.run(team(2), 0.9, blocks=2)
    assert named(told.next()) == (team(1), TURN)


def test_it_goes_on_with_what_is_not_clear_and_ends_when_all_is(log: BlockLog) -> None:
    told = story(log, searched(team(1), 12), searched(team(2), 14), searched(team(9), 24))
    told.run(team(1), 0.5)
    told.run(team(2), 0.5)
    told.run(team(9), 1.0)
    found = {each.team: each for each in told.found().teams}
    assert found[team(1)].settled  # nobody is as cheap
    assert found[team(9)].settled  # nobody is as good
    probability = found[team(2)].front_probability
    assert probability is not None
    assert CLEAR[0] < probability < CLEAR[1]
    assert not found[team(2)].settled
    assert named(told.next()) == (team(2), 2 * TURN)
    told.run(team(2), 1.0)
    told.run(team(2), 1.0, blocks=2)
    assert {each.team: each.settled for each in told.found().teams} == {team(1): True, team(2): True, team(9): True}
    assert told.next() is None


def test_where_an_unclear_team_is_used_up_its_rival_goes_on_and_nobody_else(log: BlockLog) -> None:
    told = story(log, searched(team(1), 12), searched(team(2), 14), searched(team(9), 24))
    told.run(team(1), 0.5)
    told.run(team(9), 1.0)
    told.run(team(2), 0.5, blocks=BLOCKS)
    turn = told.next()
    assert turn is not None
    assert turn.result.team == team(1)  # it may be as good for less; nine agents never are
    told.run(team(1), 0.5, blocks=BLOCKS - TURN)
    assert told.next() is None


def test_it_ends_with_its_calls_and_goes_on_when_there_are_more(log: BlockLog) -> None:
    told = story(log, searched(team(1), 12), searched(team(2), 24), calls=TURN * BLOCK)
    told.run(team(1), 0.5)
    assert told.confirmation.over()
    assert told.next() is None
    told.confirmation.calls = TURN * BLOCK + 1
    assert named(told.next()) == (team(2), TURN)


# -- constraints ------------------------------------------------------------------------------------------------------


def test_a_failure_that_cannot_be_made_good_takes_a_team_off_at_once_and_makes_room(log: BlockLog) -> None:
    told = story(log, searched(team(1), 24), searched(team(2), 6))
    told.run(team(1), 1.0, blocks=1, failed=1)
    found = {each.team: each for each in told.found().teams}
    assert found[team(1)].infeasible == "in confirmation: failure_rate is 0.25, not <= 0 (1 × http 500)"
    assert (found[team(1)].front_probability, found[team(1)].settled) == (None, False)
    assert named(told.next()) == (team(2), TURN)


def test_one_that_may_be_is_not_enough(log: BlockLog) -> None:
    told = story(log, searched(team(1), 24), constraints={"failure_rate": "<= 0.1"})
    told.run(team(1), 1.0, blocks=1, failed=1)  # a quarter so far, 1 of 32 at best
    assert told.found().front[0].team == team(1)
    assert named(told.next()) == (team(1), TURN)


def test_where_a_constraint_is_broken_so_far_it_goes_on_to_the_last_example(log: BlockLog) -> None:
    told = story(log, searched(team(1), 24), constraints={"quality": ">= 0.6"})
    turns = 0
    while (turn := told.next()) is not None:
        told.run(team(1), 0.5, blocks=turn.last - len(log.blocks(team(1).id, "confirm")))
        turns += 1
        assert not told.found().teams[0].settled
    assert turns == 3
    assert told.found().teams[0].infeasible == "in confirmation: quality is 0.5, not >= 0.6"


# -- on the fake engine -----------------------------------------------------------------------------------------------


def study(folder: Path, **changes: Any) -> Path:
    """One agent is the cheapest and surely on the front; votes of two to six are alike in quality."""
    known: dict[str, Any] = {
        "examples": 200,
        "task": {"confirm": 0.5},
        "engine": {"fake": {"data": "data.jsonl", "accuracy": {"small": 0.4, "large": 0.8}}},
        "search": {"single": {"model": "any"}, "vote": {"agents": [2, 6], "model": "large", "temperature": 1.0}},
        "measure": {"examples": 60, "block": 5, "concurrency": 5, "stop_error": 0.0},
        "budget": {"trials": 20, "confirm_calls": 500},
        "sampler": "grid",
        "objectives": {"quality": "maximize", "calls": "minimize"},
    }
    return write_study(folder, **{**known, **changes})


@dataclass(frozen=True)
class Watched:
    path: Path
    run: orkester.Run
    events: list[Event]


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    with quick_folder() as folder:
        events: list[Event] = []
        path = study(folder / "study")
        yield Watched(path, orkester.tune(path, folder / "run", observer=events.append), events)


def confirming(blocks: Sequence[Block]) -> list[tuple[str, int]]:
    return [(each.team, each.index) for each in blocks if each.phase == "confirm"]


def test_what_is_not_clear_gets_more_blocks_than_what_is(watched: Watched) -> None:
    found = watched.run.results
    counts = Counter(who for who, _ in confirming(watched.run.blocks))
    teams = [*found.front, *found.near]
    assert set(counts) == {each.team.id for each in teams}
    assert 0 < len(found.near) <= len(found.front)
    (single,) = (each for each in found.front if each.team.topology == "single")
    assert single.front_probability is not None
    assert single.front_probability > 0.99
    assert counts[single.team.id] == TURN
    unclear = [counts[each.team.id] for each in teams if not each.settled]
    assert max(unclear) > TURN
    assert sum(unclear) / len(unclear) > TURN


def test_it_ends_with_the_call_that_reaches_the_limit(watched: Watched) -> None:
    sent = [len(e.calls) for each in watched.run.blocks if each.phase == "confirm" for e in each.examples]
    assert sum(sent) >= 500 > sum(sent[:-5])


def test_confirmation_makes_every_call_and_sees_held_out_examples_alone(watched: Watched) -> None:
    blocks = [each for each in watched.run.blocks if each.phase == "confirm"]
    assert not any(made_.reused for each in blocks for example in each.examples for made_ in example.calls)
    held_out = [example.id for example in orkester.load_study(watched.path).task.confirm]
    for each in blocks:
        assert [e.id for e in each.examples] == held_out[5 * each.index : 5 * each.index + 5]


def test_turns_are_told_with_their_place_and_the_time_left_does_not_grow_for_ever(watched: Watched) -> None:
    started = [e for e in watched.events if isinstance(e, TeamStarted) and e.phase == "confirm"]
    measured = [e for e in watched.events if isinstance(e, TeamMeasured) and e.phase == "confirm"]
    teams = len({e.team.id for e in started})
    assert [e.number for e in started[:teams]] == list(range(1, teams + 1))
    assert {e.of for e in started} == {teams}
    assert [e.result.team for e in measured] == [e.team for e in started]
    left = [e.remaining_s for e in watched.events if isinstance(e, BlockProgress) and e.phase == "confirm"]
    assert None not in left
    assert left[-1] < left[0]  # type: ignore[operator]


def test_a_confirmation_that_was_killed_goes_on_the_same_way(watched: Watched, quick_path: Path) -> None:
    whole = confirming(watched.run.blocks)
    lines = (watched.run.path / "blocks.jsonl").read_bytes().splitlines(keepends=True)
    for kept in (1, 7, TURN * 5 + 2, len(whole) - 2):
        cut = quick_path / str(kept)
        cut.mkdir()
        (cut / "study.yaml").write_bytes((watched.run.path / "study.yaml").read_bytes())
        (cut / "blocks.jsonl").write_bytes(b"".join(lines[: kept - len(whole)]))
        assert confirming(orkester.open_run(cut).blocks) == whole[:kept]
        again = orkester.tune(watched.path, cut)
        assert confirming(again.blocks) == whole
        assert [(r.team, r.front_probability) for r in again.results.teams] == [
            (r.team, r.front_probability) for r in watched.run.results.teams
        ]


def test_more_calls_take_a_finished_run_further(watched: Watched, quick_path: Path) -> None:
    cut = quick_path / "run"
    cut.mkdir()
    for name in ("study.yaml", "blocks.jsonl"):
        (cut / name).write_bytes((watched.run.path / name).read_bytes())
    more = study(quick_path / "study", budget={"trials": 20, "confirm_calls": 560})
    before, after = confirming(watched.run.blocks), confirming(orkester.tune(more, cut).blocks)
    assert after[: len(before)] == before
    assert len(after) > len(before)
