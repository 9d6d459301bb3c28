"""The benchmark runs and prints what it says. Its times are not looked at: they belong to the machine."""

import json
import runpy
import subprocess
import sys

from support import ROOT

SCRIPT = ROOT / "benchmarks" / "client_overhead.py"
WAYS = {"bare", "client", "team"}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", str(SCRIPT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


def test_it_gives_the_ratio_and_its_parts() -> None:
    done = run("--calls", "10", "--repetitions", "2", "--concurrency", "4", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["ratio"] == result["ratios"]["team_over_bare"]["median"] > 0
    assert set(result["ratios"]) == {"team_over_bare", "client_over_bare", "team_over_client"}
    assert set(result["cpu_s_per_call"]) == set(result["calls_per_s"]) == WAYS
    for part in ("ratios", "cpu_s_per_call", "calls_per_s"):
        for values in result[part].values():
            assert 0 < values["low"] <= values["median"] <= values["high"]
    assert (result["calls"], result["repetitions"], result["concurrency"]) == (10, 2, 4)
    assert {"cpu", "threads", "python"} <= set(result["machine"])
    table = runpy.run_path(str(SCRIPT))["table"](result)
    assert {line.split()[0] for line in table.splitlines() if line} >= WAYS


def test_counts_that_cannot_be_are_refused() -> None:
    done = run("--calls", "7")
    assert done.returncode == 2
    assert "--calls takes a multiple of 5" in done.stderr
