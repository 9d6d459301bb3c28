"""The benchmark runs, and the run that it makes is one. Its times are not looked at: they belong to the machine."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from support import ROOT

import orkester

SCRIPT = ROOT / "benchmarks" / "large_study.py"
STEPS = {"nothing", "load", "report", "front", "front --json", "best", "resume"}
TEAMS = 24


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", str(SCRIPT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


@pytest.mark.slow
def test_it_gives_the_time_of_each_step_and_what_was_read(tmp_path: Path) -> None:
    written = tmp_path / "found.json"
    asked = ["--teams", str(TEAMS), "--repetitions", "1", "--resume", "--search", "0", "--json", str(written)]
    done = run(*asked)
    assert done.returncode == 0, done.stderr
    result = json.loads(written.read_text())
    assert set(result["reading"]) == STEPS
    for times in result["reading"].values():
        assert 0 < times["cpu_s"]["low"] <= times["cpu_s"]["median"] <= times["cpu_s"]["high"]
        assert times["peak_bytes"]["median"] > 1e6
    assert result["run"]["teams"] == TEAMS
    assert 0 < result["run"]["front"] <= result["run"]["confirmed"] < TEAMS
    assert result["run"]["calls"] > result["run"]["reused_calls"] > 0
    assert {"cpu", "threads", "python"} <= set(result["machine"])
    assert "orkester" in result["versions"]
    assert all(f"\n{name} " in done.stdout for name in STEPS)


def test_it_gives_what_a_trial_of_a_search_costs_by_its_parts(tmp_path: Path) -> None:
    written = tmp_path / "found.json"
    done = run("--teams", "0", "--search", "12", "--samplers", "random", "--json", str(written))
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(written.read_text())["searching"]
    assert (found["sampler"], found["teams"]) == ("random", 12)
    assert found["cpu_ms_per_trial"]["all"] == found["cpu_ms_per_trial"]["first"] == found["cpu_ms_per_trial"]["last"]
    assert set(found["cpu_ms_per_trial"]["all"]) == {"ask", "race", "tell", "rest"}
    assert all(ms > 0 for ms in found["cpu_ms_per_trial"]["all"].values())


def test_the_run_that_is_made_goes_on_as_one_that_was_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    import _made_run

    made = _made_run.make(tmp_path, TEAMS, database=True)
    before = orkester.open_run(made)
    told: list[object] = []
    after = orkester.tune(tmp_path / "study.yaml", made, observer=told.append)
    assert after.blocks == before.blocks  # the budget is spent: nothing is measured again
    # The run was made without guesses.
    assert replace(after.results, baselines=before.results.baselines) == before.results
    assert {type(event).__name__ for event in told} >= {"Resumed", "SearchEnded"}
    assert before.results.front
    assert any(result.stopped for result in before.results.teams)
    assert any(result.whole and not result.on_front for result in before.results.teams)


def test_counts_that_cannot_be_are_refused() -> None:
    assert run("--repetitions", "0").returncode == 2
