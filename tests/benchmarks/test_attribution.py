"""The benchmark runs, writes what it says, and its simulator counts every joule."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT

SCRIPT = ROOT / "benchmarks" / "attribution.py"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", str(SCRIPT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


def test_it_writes_each_error_and_what_it_was_run_on(tmp_path: Path) -> None:
    done = run("--simulate", "--seeds", "2", "--json", str(tmp_path / "found.json"))
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "found.json").read_text())
    assert len(result["errors"]) == 3 * 3 * 2
    assert all(0 <= row["low"] <= row["median"] <= row["high"] for row in result["errors"])
    assert result["seeds"] == [0, 1]
    assert {"cpu", "python"} <= set(result["machine"])
    by_request = {row["method"]: row for row in result["errors"] if row["physics"] == "same as the model"}
    assert by_request["affine"]["high"] < min(by_request["time"]["low"], by_request["tokens"]["low"])


def test_no_seeds_are_refused() -> None:
    assert run("--simulate", "--seeds", "0").returncode == 2


def test_the_simulator_s_truth_is_what_its_counter_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    simulator = importlib.import_module("_simulator")
    physics = simulator.Physics(name="quiet", noise=0.0, knee=2)
    jobs = [simulator.Job(role="r", at_s=n / 50, prompt=100 * n + 1, output=n + 1) for n in range(40)]
    found = simulator.simulate(physics, jobs, seed=0)
    last = found.readings[-1]
    assert sum(found.true_j) == pytest.approx(found.dynamic_j)
    assert last.energy_j["gpu:0"] - physics.idle_w * last.time_s == pytest.approx(found.dynamic_j, rel=1e-6)
    assert [r.output_tokens for r in found.requests] == [job.output for job in jobs]
