"""How many model calls a search needs, ours against others', replayed on a table.

    python -m benchmarks.search.run [--table arithmetic] [--seeds 20] [--methods ours,tpe,…] [--update]

Every method sees the same examples in the same order and pays for each call that a server would answer. It is judged
by the truth, see ``measures.py``. Written are ``results/search-TABLE-DATE.json`` and ``.svg``. ``calls_to_95`` is, by
seed, after how many calls the front was first worth 95 % of the grid's; ``held_from`` from which on it stayed so.

Tables: ``generated`` or ``generated-SEED`` are made on the spot, others are recorded (see ``recording.py``).
``gp`` needs torch; without it it is left out, and the result says so. Run in an environment that has it, ``--update``
puts it into the day's result. So does ``--nat FILE`` with what ``python -m
benchmarks.search.nat`` found.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import importlib.util
import json
import math
import platform
import statistics
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from orkester.serving import machine

from . import baselines, generator, plot, table
from .measures import TARGET, Curve, Judge, bands, call_grid, curve, finite, front_mask, median, ratio

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parent / "results"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A method, and what it costs to run.

    Attributes:
        where: ``module:function``, from this package.
        trials: a cap for one whose model of the space takes long to fit; None for the calls alone.
        seeds: so many at most.
        needs: packages.
        extra: only run when it is asked for by name.
    """

    where: str
    trials: int | None = None
    seeds: int = 1000
    needs: tuple[str, ...] = ()
    extra: bool = False

    def load(self) -> baselines.Method:
        """The function itself."""
        module, _, function = self.where.partition(":")
        found: baselines.Method = getattr(importlib.import_module(f".{module}", __package__), function)
        return found

    @property
    def lacks(self) -> str:
        """Why it cannot be run here; empty when it can."""
        absent = [name for name in self.needs if importlib.util.find_spec(name) is None]
        if absent:
            return f"not installed: {', '.join(absent)}"
        try:
            self.load()
        except (ImportError, AttributeError) as error:
            return str(error)
        return ""


METHODS: Mapping[str, Entry] = {
    "ours": Entry(where="ours:run", trials=1000),
    "ours_without_reuse": Entry(where="ours:without_reuse", trials=1500, extra=True),
    "ours_without_profiles": Entry(where="ours:without_profiles", trials=1000, extra=True),
    "ours_without_racing": Entry(where="ours:without_racing", trials=1000, extra=True),
    "random": Entry(where="baselines:random"),
    "nsga2": Entry(where="baselines:nsga2", trials=2000),
    "nsga2_conditional": Entry(where="baselines:nsga2_conditional", trials=2000, extra=True),
    "nsga3": Entry(where="baselines:nsga3", trials=2000, extra=True),
    "tpe": Entry(where="baselines:tpe", trials=600),
    "tpe_group": Entry(where="baselines:tpe_group", trials=400),
    "gp": Entry(where="baselines:gp", trials=100, seeds=5, needs=("torch",)),
    "wilcoxon": Entry(where="baselines:wilcoxon", trials=300),
    "syftr": Entry(where="syftr:both", trials=1000),
    "syftr_energy": Entry(where="syftr:energy", trials=1000, extra=True),
    "syftr_latency": Entry(where="syftr:latency", trials=1000, extra=True),
    "syftr_repaired": Entry(where="syftr:repaired_both", trials=200),
    "syftr_repaired_energy": Entry(where="syftr:repaired_energy", trials=200, extra=True),
    "syftr_repaired_latency": Entry(where="syftr:repaired_latency", trials=200, extra=True),
    "exhaustive": Entry(where="baselines:exhaustive"),
}


@cache
def load_table(name: str) -> table.Table:
    """A recorded table, or ``generated`` with an optional seed behind a dash."""
    if name.startswith("generated"):
        return generator.table(int(name.partition("-")[2] or 0))
    return table.load(name)


@cache
def _judge(name: str) -> Judge:
    return Judge(load_table(name).truth())


def one(name: str, method: str, seed: int, max_calls: int) -> tuple[Curve, float]:
    """A run of one method: its curve, and the processor seconds it took."""
    entry, began = METHODS[method], time.process_time()
    reports = entry.load()(load_table(name), seed, max_calls)
    found = curve(reports, _judge(name), max_calls=max_calls, max_trials=entry.trials)
    return found, time.process_time() - began


def run_all(
    name: str, methods: Sequence[str], seeds: Sequence[int], max_calls: int, *, jobs: int
) -> dict[str, list[tuple[Curve, float]]]:
    """Every method with every seed, in processes of their own. One that fails is named, and has no runs."""
    found: dict[str, dict[int, tuple[Curve, float]]] = {method: {} for method in methods}
    failed: set[str] = set()
    with ProcessPoolExecutor(jobs) as pool:
        waiting = {
            pool.submit(one, name, method, seed, max_calls): (method, seed)
            for method in methods
            for seed in seeds[: METHODS[method].seeds]
        }
        for done in as_completed(waiting):
            method, seed = waiting[done]
            if error := done.exception():
                print(f"{method}, seed {seed}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
                failed.add(method)
                continue
            found[method][seed] = done.result()
            if len(found[method]) == min(len(seeds), METHODS[method].seeds):
                print(f"{method}: {_line([each for each, _ in found[method].values()])}", file=sys.stderr, flush=True)
    # Without its failures a method would look better than it is.
    return {method: [runs[seed] for seed in sorted(runs)] for method, runs in found.items() if method not in failed}


def _line(curves: Iterable[Curve]) -> str:
    calls = [each.reaches() for each in curves]
    middle = median(calls)
    there = f"{middle:,.0f} calls" if math.isfinite(middle) else "not reached"
    return f"{there} to {TARGET:.0%}, {sum(math.isfinite(c) for c in calls)} of {len(calls)} seeds"


def summary(curves: Sequence[Curve], seeds: Sequence[int], grid: Any) -> dict[str, Any]:
    """What the result says of a method."""
    reached, held = [each.reaches() for each in curves], [each.holds() for each in curves]
    return {
        "seeds": list(seeds),
        "calls_to_95": [finite(calls) for calls in reached],
        "held_from": [finite(calls) for calls in held],
        "ended_at": [each.end for each in curves],
        "median": finite(median(reached)),
        "median_held_from": finite(median(held)),
        "last_value": [round(each.value[-1], 4) if each.value else 0.0 for each in curves],
        "bands": bands(curves, grid),
    }


def ratios(methods: Mapping[str, Mapping[str, Any]], *, seed: int, calls: str = "calls_to_95") -> dict[str, Any]:
    """Calls of each other method ÷ ours; nothing where ours was not run.

    Args:
        methods: what ``summary`` says of each.
        seed: of the bootstrap.
        calls: ``calls_to_95``, or ``held_from``.
    """
    if "ours" not in methods:
        return {}

    def each(method: str) -> list[float]:
        return [math.inf if c is None else c for c in methods[method][calls]]

    return {
        method: ratio(each(method), methods[method]["ended_at"], each("ours"), seed=seed)
        for method in methods
        if method != "ours"
    }


def facts(name: str) -> dict[str, Any]:
    """What the result says of the table."""
    loaded = load_table(name)
    measured = baselines.Measured(loaded)
    content = hashlib.sha256()
    for array in (loaded.score, loaded.latency_s, loaded.energy_j, loaded.calls):
        content.update(np.ascontiguousarray(array).tobytes())
    recipe = HERE / f"{name}.yaml"
    return {
        "table": name,
        "recipe_sha256": hashlib.sha256(recipe.read_bytes()).hexdigest() if recipe.exists() else None,
        "content_sha256": content.hexdigest(),
        "teams": len(loaded.teams),
        "examples": {"recorded": len(loaded.examples), "measured_in_a_search": measured.examples},
        "true_front": len(_judge(name).front),
        # Where one team alone is enough, the benchmark is about finding that team.
        "teams_that_reach_the_target_alone": sum(
            _judge(name).relative([team]) >= TARGET for team in range(len(loaded.teams))
        ),
        "calls_of_the_whole_grid": int(measured.cost.sum()),
        "value_of_the_whole_grid": round(_judge(name).relative(np.flatnonzero(front_mask(measured.estimate))), 4),
    }


def versions() -> dict[str, str]:
    """Of what the numbers depend on."""
    found = {"python": platform.python_version()}
    for package in ("orkester", "optuna", "numpy", "moocore", "scipy", "torch"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", default="arithmetic")
    parser.add_argument("--seeds", type=int, default=20, help="how many; they are 0, 1, …")
    parser.add_argument(
        "--methods",
        default=",".join(name for name, entry in METHODS.items() if not entry.extra),
        help=f"of {', '.join(METHODS)}; by default those that do not only vary another",
    )
    parser.add_argument("--max-calls", type=int, help="of a run; by default as many as measuring every team takes")
    parser.add_argument("--jobs", type=int, default=machine.usable_threads())
    parser.add_argument("--update", action="store_true", help="keep what the day's result says of other methods")
    parser.add_argument("--nat", type=Path, help="result of benchmarks.search.nat on the same table")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder")
    given = parser.parse_args(arguments)
    asked = [name for name in given.methods.split(",") if name]
    if given.seeds < 1:
        parser.error("--seeds must be 1 or more")
    if unknown := [name for name in asked if name not in METHODS]:
        parser.error(f"unknown method {unknown[0]!r}. Known: {', '.join(METHODS)}")

    left_out = {name: METHODS[name].lacks for name in asked if METHODS[name].lacks}
    for name, why in left_out.items():
        print(f"{name} is left out, {why}", file=sys.stderr)
    what = facts(given.table)
    max_calls = given.max_calls or what["calls_of_the_whole_grid"]
    grid = call_grid(max_calls)
    seeds = list(range(given.seeds))
    day = datetime.now(UTC).date().isoformat()
    path = given.out / f"search-{given.table}-{day}.json"
    before = json.loads(path.read_text(encoding="utf-8")) if given.update and path.exists() else {}
    if before and (before["content_sha256"], before["max_calls"]) != (what["content_sha256"], max_calls):
        parser.error(f"{path} is of another table or budget; run without --update")

    live = json.loads(given.nat.read_text(encoding="utf-8")) if given.nat else {}
    if live and live["content_sha256"] != what["content_sha256"]:
        parser.error(f"{given.nat} is of another table; run benchmarks.search.nat on this one")

    methods: dict[str, Any] = dict(before.get("methods", {}))
    runs = run_all(given.table, [m for m in asked if m not in left_out], seeds, max_calls, jobs=given.jobs)
    left_out.update({name: "it failed" for name in asked if name not in left_out and name not in runs})
    for method, found in runs.items():
        methods[method] = {
            "what": (METHODS[method].load().__doc__ or "").partition("\n")[0],
            "trials_at_most": METHODS[method].trials,
            "cpu_s_median": round(statistics.median(seconds for _, seconds in found), 2),
            **summary([each for each, _ in found], seeds[: len(found)], grid),
        }
    if live:
        methods["nat"] = _nat(live, grid, max_calls)
    still_out = {**before.get("left_out", {}), **left_out}
    result = {
        "what": "model calls until a search's front is worth the target; hypervolume of true values, relative to the "
        "whole grid's (quality, latency p50, energy)",
        "date": day,
        **what,
        "target": TARGET,
        "max_calls": max_calls,
        "seeds": seeds,
        "machine": {"cpu": machine.cpu_model(), "threads": machine.usable_threads()},
        "versions": {**before.get("versions", {}), **versions()},
        "ratio_to": ratios(methods, seed=0),
        "ratio_to_held": ratios(methods, seed=0, calls="held_from"),
        "left_out": {name: why for name, why in still_out.items() if name not in methods},
        "grid_of_calls": [int(calls) for calls in grid],
        "methods": {name: methods[name] for name in sorted(methods, key=_order)},
    }
    given.out.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    path.with_suffix(".svg").write_text(plot.svg(result), encoding="utf-8")
    print(report(result))
    print(f"written: {path}")


def _order(method: str) -> int:
    return [*METHODS, "nat"].index(method)


def _nat(live: Mapping[str, Any], grid: Any, max_calls: int) -> dict[str, Any]:
    curves = [
        Curve(calls=tuple(run["calls"]), value=tuple(run["value"]), end=min(run["end"], max_calls))
        for run in live["runs"]
    ]
    return {
        "what": "nat optimize itself, live: its repetitions have no seed",
        "trials_at_most": live["trials"],
        "exported_pick": [run["pick"] for run in live["runs"]],
        **summary(curves, [], grid),
    }


def report(result: Mapping[str, Any]) -> str:
    """The table of ratios, as text."""
    head = (
        f"{result['table']}: {result['teams']} teams; {result['calls_of_the_whole_grid']:,} calls for all of them, "
        f"whose front is then worth {result['value_of_the_whole_grid']:.3f}"
    )
    lines = [
        head,
        f"{'method':24}{'calls to 95 %':>15}{'÷ ours':>9}{'95 % interval':>18}{'seeds there':>13}{'CPU s':>8}",
    ]
    for name, found in result["methods"].items():
        middle, times = found["median"], result["ratio_to"].get(name)
        calls = f"{middle:,.0f}" if middle is not None else f"> {median(found['ended_at']):,.0f}"
        there = f"{sum(c is not None for c in found['calls_to_95'])} of {len(found['calls_to_95'])}"
        shown, interval = "", ""
        if times and times["median"] is not None:
            shown = f"{'≥ ' if times['at_least'] else ''}{times['median']:.1f}"
            interval = f"{times['low'] or 0:.1f} to {times['high'] if times['high'] is not None else '…'}"
        lines.append(f"{name:24}{calls:>15}{shown:>9}{interval:>18}{there:>13}{found.get('cpu_s_median', ''):>8}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
