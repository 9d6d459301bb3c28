"""``nat optimize`` itself against a table, live.

    python -m benchmarks.search.nat --python NAT_PYTHON [--table arithmetic] [--trials 150] [--runs 3]

NAT has its own environment (see README.md beside this file). It searches what every method here searches: the table's
space as flat fields, quality, median latency and mean energy, on the same examples, by its default sampler. A server
on loopback answers each call from the table and counts it. Its runs cannot be seeded, so they are repeated.

Judged are the front it reports (after each trial, by its own numbers) and the one configuration that it exports.
Written is ``results/search-nat-TABLE-DATE.json``, which ``benchmarks.search.run --nat`` takes.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from orkester.serving import machine

from ..baselines import Measured
from ..measures import Judge, checkpoints, curve
from ..run import RESULTS, facts, load_table
from ..table import Table
from .server import TableServer, fields, team_of

METRICS = ("quality", "latency_p50_s", "energy_j")


def config(table: Table, url: str, folder: Path, *, trials: int) -> dict[str, Any]:
    """The file that ``nat optimize`` takes."""
    known = fields(table.space)
    keys = {"quality": "score", "latency_p50_s": "latency_s", "energy_j": "energy_j"}
    return {
        "workflow": {
            "_type": "table_team",
            "url": url,
            "optimizable_params": [name for name, field in known.items() if field["space"]],
        },
        "eval": {
            "general": {
                "output_dir": str(folder / "eval"),
                "max_concurrency": 32,
                "dataset": {"_type": "json", "file_path": str(folder / "data.json")},
            },
            "evaluators": {
                name: {"_type": "table_value", "key": key, "median": name == "latency_p50_s"}
                for name, key in keys.items()
            },
        },
        "optimizer": {
            "output_path": str(folder / "found"),
            "reps_per_param_set": 1,
            "eval_metrics": {
                name: {"evaluator_name": name, "direction": "maximize" if name == "quality" else "minimize"}
                for name in METRICS
            },
            "numeric": {"enabled": True, "n_trials": trials},
            "prompt": {"enabled": False},
        },
    }


def optimise(python: Path, table: Table, folder: Path, *, trials: int, timeout_s: float) -> tuple[list[float], float]:
    """Run it once; when each model call reached the server, and the seconds it took."""
    examples = Measured(table).examples
    data = [{"id": i, "question": f"example {i}", "answer": ""} for i in range(examples)]
    (folder / "data.json").write_text(json.dumps(data), encoding="utf-8")
    (folder / "fields.json").write_text(json.dumps(fields(table.space)), encoding="utf-8")
    began = time.monotonic()
    with TableServer(table) as server:
        given = config(table, server.url, folder, trials=trials)
        (folder / "team.yml").write_text(yaml.safe_dump(given), encoding="utf-8")
        with (folder / "log").open("w", encoding="utf-8") as log:
            done = subprocess.run(
                [str(python.with_name("nat")), "optimize", "--config_file", str(folder / "team.yml")],
                env={**os.environ, "ORKESTER_NAT_FIELDS": str(folder / "fields.json"), "TZ": "UTC"},
                cwd=folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                timeout=timeout_s,
                check=False,
            )
        if done.returncode:
            tail = (folder / "log").read_text(encoding="utf-8", errors="replace")[-3000:]
            raise SystemExit(f"nat optimize failed with {done.returncode}:\n{tail}")
        return list(server.times_s), time.monotonic() - began


def read(table: Table, folder: Path, times_s: Sequence[float], judge: Judge) -> dict[str, Any]:
    """Judge what a run left in its folder.

    Args:
        table: that was served.
        folder: with ``found/``.
        times_s: of the calls, as the server saw them.
        judge: of the table.
    """
    with (folder / "found" / "trials_dataframe_params.csv").open(encoding="utf-8", newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: int(row["number"]))
    prefix = "params_workflow."
    teams = [
        table.number(
            team_of(table.space, {k.removeprefix(prefix): _read(v) for k, v in row.items() if k.startswith(prefix)})
        )
        for row in rows
    ]
    estimate = np.full((len(table.teams), 3), np.nan)
    for row, team in zip(rows, teams, strict=True):
        estimate[team] = [float(row[f"values_{name}"]) for name in METRICS]
    ended = [datetime.fromisoformat(row["datetime_complete"]).replace(tzinfo=UTC).timestamp() for row in rows]
    spent = np.searchsorted(np.asarray(times_s), ended, side="right")

    def steps() -> Iterator[tuple[int, int | None]]:
        yield from zip((int(calls) for calls in spent), teams, strict=True)

    found = curve(checkpoints(steps(), estimate), judge, max_calls=len(times_s))
    front = sorted({team for row, team in zip(rows, teams, strict=True) if row["pareto_optimal"] == "True"})
    exported = yaml.safe_load((folder / "found" / "optimized_config.yml").read_text(encoding="utf-8"))
    return {
        "trials": len(rows),
        "duplicates": len(rows) - len(set(teams)),
        "calls_at_the_server": len(times_s),
        "calls_of_the_table": int(Measured(table).cost[teams].sum()),
        "calls": list(found.calls),
        "value": [round(value, 5) for value in found.value],
        "end": found.end,
        "front": [table.teams[team].id for team in front],
        "front_value": round(judge.relative(front), 4),
        "pick": pick(table, judge, table.number(team_of(table.space, exported["workflow"]))),
    }


def pick(table: Table, judge: Judge, team: int) -> Mapping[str, Any]:
    """What the exported configuration is really worth."""
    truth = table.truth()
    return {
        "team": str(table.teams[team]),
        **{name: round(float(value), 5) for name, value in zip(METRICS, truth[team], strict=True)},
        "best_quality_of_the_grid": round(float(truth[:, 0].max()), 5),
        "on_the_true_front": team in judge.front,
        "value_alone": round(judge.relative([team]), 4),
    }


def _read(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", type=Path, required=True, help="of the environment that has NAT")
    parser.add_argument("--table", default="arithmetic")
    parser.add_argument("--trials", type=int, default=150)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--timeout-s", type=float, default=3600.0, help="of a run")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    table, what = load_table(given.table), facts(given.table)
    judge = Judge(table.truth())
    runs: list[dict[str, Any]] = []
    day = datetime.now(UTC).date().isoformat()
    path = given.out / f"search-nat-{given.table}-{day}.json"
    given.out.mkdir(parents=True, exist_ok=True)
    for number in range(given.runs):
        with tempfile.TemporaryDirectory() as folder:
            times_s, seconds = optimise(
                given.python, table, Path(folder), trials=given.trials, timeout_s=given.timeout_s
            )
            runs.append({**read(table, Path(folder), times_s, judge), "seconds": round(seconds, 1)})
        print(f"run {number + 1}: {json.dumps(runs[-1]['pick'])}, front {runs[-1]['front_value']}", file=sys.stderr)
        result = {
            "what": "nat optimize, live, over a server that answers from the table; no seed can be set",
            "date": day,
            **what,
            "trials": given.trials,
            "versions": _versions(given.python),
            "machine": {"cpu": machine.cpu_model(), "threads": machine.usable_threads()},
            "runs": runs,
        }
        path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"written: {path}")


def _versions(python: Path) -> dict[str, str]:
    code = "import json,importlib.metadata as m;print(json.dumps({p:m.version(p) for p in ('nvidia-nat','optuna')}))"
    done = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    main()
