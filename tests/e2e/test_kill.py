"""A study that is killed, again and again, finds what an undisturbed one finds."""

import contextlib
import json
import os
import random
import re
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from forks import Fork, Forks, processes_with
from support import quick_folder, write_study

import orkester

#: Moments at which the process is killed: after so many new blocks, and a little later.
KILLS = 22
STUDY: dict[str, Any] = {
    "engine": {"fake": {"data": "data.jsonl", "accuracy": {"small": 0.55, "large": 0.9}, "latency_s": 0.01}},
    "objectives": {"quality": "maximize", "calls": "minimize", "output_tokens": "minimize"},  # none that time decides
    "measure": {"examples": 12, "block": 3, "concurrency": 2, "deadline_s": 60},
    "budget": {"trials": 7},
}
#: The same where engines have options that are searched and memory holds two of them, so that teams come in batches.
LITTLE_MEMORY: dict[str, Any] = {
    **STUDY,
    "engine": {"fake": {**STUDY["engine"]["fake"], "memory_bytes": 10, "capacity_bytes": 25, "sleeps": True}},
    "engine_options": {"max_num_active_seqs": [2, 4]},
    "budget": {"trials": 10},
}
KILLS_IN_BATCHES = 9
KILLS_AS_USUAL = 9


@dataclass(frozen=True)
class Bench:
    """Where processes are started, and what an undisturbed study found."""

    forks: Forks
    folder: Path
    study: Path
    undisturbed: Path

    def tune(self, name: str) -> Fork:
        return self.forks.orkester(
            "tune", str(self.study), "--run", name, folder=self.folder, output=self.folder / f"{name}.txt"
        )


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with quick_folder() as folder, Forks() as forks:
        bench = Bench(forks, folder, write_study(folder / "study", whole=True, **STUDY), folder / "undisturbed")
        process = bench.tune("undisturbed")
        assert process.wait() == 0, process.said
        yield bench


def blocks_on_disk(run: Path) -> int:
    path = run / "blocks.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def outcome(path: Path) -> dict[str, Any]:
    """All that must not depend on when a study was killed: not the times, not the joules."""
    run = orkester.open_run(path)
    objectives = list(run.results.objectives)
    trials = optuna.load_study(study_name="small", storage=f"sqlite:///{path / 'optuna.db'}").trials
    return {
        "blocks": [
            (
                b.team,
                b.topology,
                dict(b.knobs),
                b.phase,
                b.index,
                b.trial,
                b.seed,
                [(e.id, e.answer, e.score, e.failure, len(e.calls)) for e in b.examples],
                dict(b.engine_options),
            )
            for b in run.blocks
        ],
        "front": [
            (
                r.team.id,
                r.trial,
                [r.search.estimates[name] for name in objectives],
                r.confirmed and [r.confirmed.estimates[name] for name in objectives],
            )
            for r in run.results.front
            if r.search
        ],
        "told": [
            (t.user_attrs["team"], t.params, t.values) for t in trials if t.state == optuna.trial.TrialState.COMPLETE
        ],
        "teams": sorted(path.name for path in (path / "teams").glob("*.json")),
    }


def expect_whole_files(run: Path) -> None:
    """Whatever is there can be read to its end."""
    for path in run.rglob("*.jsonl"):
        content = path.read_text()
        assert content.endswith("\n") or not content
        assert all(isinstance(json.loads(line), dict) for line in content.splitlines())
    for path in (run / "teams").glob("*"):
        assert path.suffix == ".json"
        orkester.load_team(path)
    orkester.open_run(run)
    assert "</html>" in (run / "report.html").read_text()[-200:]


def expect_no_engines(folder: Path) -> None:
    """Engines end by themselves when their study is gone, however it went."""
    end = time.monotonic() + 20
    while left := processes_with(str(folder / "study" / "data.jsonl")):
        assert time.monotonic() < end, left
        time.sleep(0.01)


def test_a_study_killed_at_random_moments_finds_the_same_blocks_and_the_same_front(bench: Bench) -> None:
    run = bench.folder / "killed"
    moments = kill(bench, KILLS, random.Random(20))
    assert moments >= {"the start", "search", "confirm"}
    expect_the_same_end(bench, run)


@pytest.mark.slow
def test_a_study_killed_within_batches_finds_the_same_blocks_and_the_same_front() -> None:
    with quick_folder() as folder, Forks() as forks:
        bench = Bench(forks, folder, write_study(folder / "study", whole=True, **LITTLE_MEMORY), folder / "undisturbed")
        process = bench.tune("undisturbed")
        assert process.wait() == 0, process.said
        found = outcome(bench.undisturbed)
        assert {tuple(options) for *_, options in found["blocks"]} == {("max_num_active_seqs",)}
        measured = list(dict.fromkeys(block[0] for block in found["blocks"] if block[3] == "search"))
        assert measured != list(dict.fromkeys(team for team, *_ in found["told"]))  # the order of the asks: in batches
        kill(bench, KILLS_IN_BATCHES, random.Random(21))
        manifests = [yaml.safe_load((folder / name / "study.yaml").read_text()) for name in ("undisturbed", "killed")]
        assert [manifest["batch"] for manifest in manifests] == [8, 8]
        expect_the_same_end(bench, folder / "killed")


@pytest.mark.slow
def test_a_study_with_the_usual_sampler_racing_and_reuse_is_killed_and_finds_the_same() -> None:
    with quick_folder() as folder, Forks() as forks:
        study = write_study(folder / "study", **{**STUDY, "budget": {"trials": 12}})
        bench = Bench(forks, folder, study, folder / "undisturbed")
        process = bench.tune("undisturbed")
        assert process.wait() == 0, process.said
        blocks = orkester.open_run(bench.undisturbed).blocks
        assert any(call.reused for block in blocks for example in block.examples for call in example.calls)
        kill(bench, KILLS_AS_USUAL, random.Random(22))
        expect_the_same_end(bench, folder / "killed")


def kill(bench: Bench, often: int, rng: random.Random) -> set[str]:
    """Start the study in ``killed`` and kill it, so often; in which moments."""
    run = bench.folder / "killed"
    phases = [block.phase for block in orkester.open_run(bench.undisturbed).blocks]
    kills, moments, whole = 0, set(), len(phases)
    while kills < often:
        process = bench.tune("killed")
        before = blocks_on_disk(run)
        new = rng.choice([0, 1, 2, 2, 3, 3]) if before < whole else 0
        later_s = rng.expovariate(20 if new else 3)  # soon after a block, or anywhere in the start
        process.wait(lambda: blocks_on_disk(run) >= before + new)  # noqa: B023
        end = time.monotonic() + later_s
        process.wait(lambda: time.monotonic() >= end)  # noqa: B023
        process.kill(signal.SIGKILL)
        code = process.wait()
        assert code in {0, -signal.SIGKILL}, process.said
        kills += code == -signal.SIGKILL
        moments.add("the start" if blocks_on_disk(run) == before else [*phases, "the end"][blocks_on_disk(run)])
    return moments


def expect_the_same_end(bench: Bench, run: Path) -> None:
    """Let the killed study run to its end, and find what the undisturbed one found."""
    process = bench.tune("killed")
    assert process.wait() == 0, process.said
    assert "resumed: " in process.said
    assert outcome(run) == outcome(bench.undisturbed)
    expect_no_engines(bench.folder)


def test_a_finished_study_resumes_to_the_same_end(bench: Bench) -> None:
    before = outcome(bench.undisturbed)
    process = bench.tune("undisturbed")
    assert process.wait() == 0, process.said
    assert f"resumed: 7 teams and {len(before['blocks'])} blocks are measured already" in process.said
    assert outcome(bench.undisturbed) == before
    expect_whole_files(bench.undisturbed)


def stopped(bench: Bench, name: str, number: signal.Signals) -> Path:
    """A run that a signal has stopped in the middle."""
    run = bench.folder / name
    process = bench.tune(name)
    process.wait(lambda: blocks_on_disk(run) >= 2)
    process.kill(number)
    assert process.wait() == 130, process.said
    assert "stopping after the current block; press Ctrl-C again to stop at once\n" in process.said
    assert "orkester: stopped after the block that was under way; the same command continues the run\n" in process.said
    assert "Traceback" not in process.said
    expect_whole_files(run)
    expect_no_engines(bench.folder)
    return run


def test_one_interrupt_finishes_the_block_and_the_study_goes_on_from_there(bench: Bench) -> None:
    run = stopped(bench, "stopped", signal.SIGINT)
    blocks = blocks_on_disk(run)
    process = bench.tune("stopped")
    assert process.wait() == 0, process.said
    assert re.search(rf"resumed: \d teams? and {blocks} blocks are measured already\n", process.said)
    assert outcome(run) == outcome(bench.undisturbed)


def test_a_request_to_terminate_is_an_interrupt(bench: Bench) -> None:
    stopped(bench, "terminated", signal.SIGTERM)


def test_two_interrupts_end_it_at_once_and_lose_the_block(bench: Bench) -> None:
    run = bench.folder / "at-once"
    engine = {"fake": {"data": "data.jsonl", "latency_s": 3600.0}}
    slow = write_study(bench.folder / "slow", **{**STUDY, "engine": engine, "search": {"single": {"model": "any"}}})
    process = bench.forks.orkester(
        "tune", str(slow), "--run", str(run), folder=bench.folder, output=bench.folder / "at-once.txt"
    )
    process.wait(lambda: "ready after" in process.said)
    process.kill(signal.SIGINT)
    process.wait(lambda: "stopping after the current block" in process.said)
    begun = time.monotonic()
    process.kill(signal.SIGINT)
    assert process.wait() == 130
    assert time.monotonic() - begun < 20  # the block would have taken an hour
    assert (
        "orkester: stopped at once; the block under way is lost, everything before it is on disk; the same command"
        in process.said
    )
    assert "Traceback" not in process.said
    assert blocks_on_disk(run) == 0
    expect_no_engines(bench.folder)


@pytest.mark.parametrize("where", ["while its engine starts", "in a block"])
def test_no_number_of_interrupts_leaves_an_engine_behind(bench: Bench, where: str) -> None:
    name = where.replace(" ", "-")
    data = bench.folder / name / "answers.jsonl"
    slow = {"latency_s": 3600.0} if where == "in a block" else {"start_s": 3600.0}
    engine = {"fake": {"data": data.name, **slow}}
    study = write_study(bench.folder / name, **{**STUDY, "engine": engine, "search": {"single": {"model": "any"}}})
    data.write_text("")
    process = bench.forks.orkester(
        "tune", str(study), "--run", f"{name}-run", folder=bench.folder, output=bench.folder / f"{name}.txt"
    )
    process.wait(lambda: bool(processes_with(str(data))) and (where != "in a block" or "ready after" in process.said))
    (pid,) = processes_with(str(data))
    if where == "in a block":
        process.kill(signal.SIGINT)
        process.wait(lambda: "stopping after the current block" in process.said)
    os.kill(pid, signal.SIGSTOP)  # so that its end takes long
    process.kill(signal.SIGINT)
    process.wait(lambda: "stopping the engines" in process.said)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
        process.kill(number)
    with contextlib.suppress(ProcessLookupError):  # on a busy machine its patience with the engine may have ended
        os.kill(pid, signal.SIGCONT)
    code = process.wait()
    assert code in {130, -signal.SIGTERM}, process.said
    if code == 130:  # else this test was so slow that the engine had stopped before the request to terminate came
        assert "orkester: stopped at once; " in process.said
        assert "everything measured is on disk" in process.said or where == "in a block"
    assert "Traceback" not in process.said
    assert processes_with(str(data)) == []
    assert blocks_on_disk(bench.folder / f"{name}-run") == 0
