"""The benchmarks of energy run, and what a sampler remembers is bounded."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT

KEEP = 1000


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", str(ROOT / "benchmarks" / script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)


def test_it_writes_what_each_meter_costs_and_none_of_them_grows(tmp_path: Path) -> None:
    done = run("meter.py", "--seconds", "1", "--keep", str(KEEP), "--json", str(tmp_path / "found.json"))
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "found.json").read_text())

    kinds = {row["meter"].split(",")[0]: row["kind"] for row in result["cpu"] if row["kind"] == "fake"}
    assert kinds == {"rapl": "fake", "nvml": "fake"}
    assert len([row for row in result["cpu"] if row["meter"].startswith("estimate")]) == 3
    for row in result["cpu"]:
        assert row["readings"] > 0
        assert row["thread_cpu_percent"] > 0
        assert (row["process_cpu_percent"] is None) == (row["kind"] == "fake")

    for meter in {row["meter"] for row in result["memory"]}:
        rows = [row for row in result["memory"] if row["meter"] == meter]
        assert [row["readings"] for row in rows] == [KEEP, 2 * KEEP, 4 * KEEP]
        assert [row["kept"] for row in rows] == [KEEP] * 3
        full, _, last = (row["traced_bytes"] for row in rows)
        assert last < 1.05 * full, f"{meter} grew after the sampler was full"

    assert result["hour"] is None
    assert {"cpu", "python"} <= set(result["machine"])
    assert set(result["absent"]) <= {"rapl", "nvml"}
    assert all(row["meter"] in done.stdout for row in result["cpu"])


def test_no_time_is_refused() -> None:
    done = run("meter.py", "--seconds", "0")
    assert done.returncode == 2
    assert "--seconds takes more than 0" in done.stderr


@pytest.mark.slow
def test_what_needs_a_gpu_is_rehearsed_without_one(tmp_path: Path) -> None:
    done = run("energy_gpu.py", "--device", "cpu", "--out", str(tmp_path / "found.json"))
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((tmp_path / "found.json").read_text())
    assert result["dry"] is True

    counter, tokens, vote = (result["parts"][name] for name in ("counter", "tokens", "vote"))
    assert [part["how"] for part in (counter, tokens, vote)] == ["done"] * 3
    assert set(counter["idle_w"]) == {"0", "1", "2"}
    assert len(counter["under_load"]["windows"]) == 2
    assert len(counter["repeated"]) == 5
    assert all(window["energy_j"] > 0 for window in counter["repeated"])
    assert [(cell["model"], cell["batch"]) for cell in tokens["cells"]] == [
        (model, batch) for model in ("small", "large") for batch in (1, 4)
    ]
    assert list(vote["agents"]) == ["1", "2", "3", "5", "7", "9"]
    assert all(team["failed"] == 0 and team["j_per_example"] > 0 for team in vote["agents"].values())
    tokens_each = [team["output_tokens_per_example"] for team in vote["agents"].values()]
    assert tokens_each == sorted(tokens_each)
    assert [path.name for path in tmp_path.iterdir()] == ["found.json"]
