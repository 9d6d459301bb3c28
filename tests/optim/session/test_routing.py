"""Policies that learn: from whom, when, and what a later session and a team file know of it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import quick_folder, write_study

import orkester
from orkester.agents.routing.learnt import Learnt
from orkester.errors import InputError
from orkester.evals.records.block import Block
from orkester.evals.records.log import BlockLog
from orkester.graphs import Team
from orkester.optim.run.directory import RunDirectory
from orkester.optim.run.events import Event, TeamStarted

SEARCH = {
    "vote": {"agents": [2, 5], "model": "any", "temperature": [0.3, 1.0]},
    "router": {"first": "small", "second": "large", "routing": "learnt"},
    "single": {"model": "any"},
}
CHANGES = {
    "search": SEARCH,
    "start": [{"router": {}}],
    "budget": {"trials": 4},
    "routing": {"learnt": {"examples": 8}},
    "task": {"order": "as_given"},
}
ROUTER = Team("router", {"first": "small", "second": "large", "routing": "learnt", "temperature": 0.0})
SOURCES = [Team("single", {"model": name, "temperature": 0.0}) for name in ("small", "large")]


@dataclass(frozen=True)
class Finished:
    """A study that was tuned."""

    path: Path
    run: orkester.Run
    blocks: list[Block]
    started: list[Team]


def tuned(folder: Path) -> Finished:
    path = write_study(folder / "study", **CHANGES)
    events: list[Event] = []
    run = orkester.tune(path, folder / "run", observer=events.append)
    started = [event.team for event in events if isinstance(event, TeamStarted) and event.phase == "search"]
    with BlockLog(RunDirectory(folder / "run").blocks) as log:
        return Finished(path, run, log.all_blocks(), started)


@pytest.fixture(scope="module")
def finished() -> Iterator[Finished]:
    with quick_folder() as folder:
        yield tuned(folder)


def test_the_agents_that_it_learns_from_are_measured_first(finished: Finished) -> None:
    assert finished.started[:3] == [*SOURCES, ROUTER]
    blocks = [block.team for block in finished.blocks[:5]]
    assert blocks == [SOURCES[0].id] * 2 + [SOURCES[1].id] * 2 + [ROUTER.id]  # 8 examples in blocks of 4


def test_its_first_block_makes_no_call_that_they_have_made(finished: Finished) -> None:
    block = finished.blocks[4]
    assert all(call.reused for example in block.examples for call in example.calls)


def test_a_team_file_has_what_was_learnt(finished: Finished) -> None:
    path = RunDirectory(finished.run.path).teams / f"{ROUTER.id}.json"
    assert path.exists(), "the router is on the front of this study"
    content = json.loads(path.read_text())
    records = content["routing"]["learnt"]["records"]
    assert content["routing"]["learnt"]["options"] == {"examples": 8}
    assert [record["choice"] for record in records] == ["small"] * 8 + ["large"] * 8
    saved = orkester.load_team(path)
    policy = saved.settings.policies["learnt"]
    assert isinstance(policy, Learnt)
    assert len(policy.regressions.seen) == 8
    content["routing"]["learnt"]["options"] = {"example": 8}
    path.with_name("other.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"other\.json: the routing policy 'learnt' has no option 'example'"):
        orkester.load_team(path.with_name("other.json"))


def test_a_run_that_is_cut_anywhere_learns_the_same(finished: Finished) -> None:
    lines = RunDirectory(finished.run.path).blocks.read_text().splitlines(keepends=True)
    for count in (1, 3, 5):
        with quick_folder() as folder:
            first = tuned(folder)
            directory = RunDirectory(folder / "run")
            directory.database.unlink()
            directory.blocks.write_text("".join(directory.blocks.read_text().splitlines(keepends=True)[:count]))
            orkester.tune(first.path, folder / "run")
            with BlockLog(directory.blocks) as log:
                again = log.all_blocks()
        assert len(lines) > 5
        assert [(block.team, block.index, scores(block)) for block in again] == [
            (block.team, block.index, scores(block)) for block in finished.blocks
        ]


def scores(block: Block) -> list[float]:
    return [example.score for example in block.examples]


def test_a_team_whose_policy_learns_is_not_measured_alone(tmp_path: Path) -> None:
    path = write_study(tmp_path, **CHANGES)
    with pytest.raises(InputError, match="the routing policy 'learnt' learns from the records of a run"):
        orkester.evaluate(path, ROUTER)
