"""What a large study takes: reading and reporting one of ten thousand teams, and a search's own work at a thousand.

    .venv/bin/python benchmarks/large_study.py [--teams 10000] [--search 1000] [--json FILE]

The run is made, not run (see ``_made_run.py``): records as the product writes them, of models that are random numbers.
Each step is timed in a process of its own: ``cpu_s`` is user and system time of the whole process with its start,
``wall_s`` from its start to its end, ``peak_bytes`` the most resident memory (not below this script's own, 150 MB or
so). ``nothing`` is a process that loads most of the packages and no run.

- load      ``open_run``: manifest, records, teams, front
- report    ``orkester report``: the same, and the HTML file
- front, front --json, best: the commands
- resume    ``orkester tune`` of the run, which finds its budget spent

The search's own work is that of ``Tuner`` with everything it does (sampler, racing, records on disk, Optuna's database,
spans of trials) except running blocks: those are made, and the time of making them is not counted. ``ask`` and ``tell``
are the sampler with its database, ``race`` is what a block says and who is stopped, ``rest`` all else.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, cast

from _made_run import BLOCK, EXAMPLES, SEED, Maker, make, write_study

import orkester
from orkester.agents.routing import RoutingPolicy
from orkester.evals.records.block import Block, Phase
from orkester.evals.records.call_store import CallStore
from orkester.evals.records.log import BlockLog
from orkester.evals.running.probe import probe
from orkester.evals.task import Example
from orkester.graphs import Team
from orkester.optim.goals.goal import Goal
from orkester.optim.run.budget import Budget
from orkester.optim.run.directory import versions
from orkester.optim.run.events import Event, SearchEnded
from orkester.optim.search.models.composition import Composition
from orkester.optim.search.racing import Race
from orkester.optim.search.samplers import Outcome, Sampler, Setting, Standing, Turn
from orkester.optim.search.samplers import make as make_sampler
from orkester.optim.search.search import Search
from orkester.optim.search.trials import Trials
from orkester.optim.session.block_driver import BlockDriver
from orkester.optim.session.progress import Progress
from orkester.optim.session.study_loading import load_study
from orkester.optim.session.tuner import Tuner
from orkester.serving import machine
from orkester.telemetry import TraceStore

#: A process with all that commands import.
_IMPORTS = (
    "import numpy, moocore, pydantic, jinja2, rich.table; import orkester.optim.session.open_run, orkester.optim.report"
)
#: Trials over which the search's own work is averaged.
WINDOW = 100


# -- reading ----------------------------------------------------------------------------------------------------------


def steps(run: Path, *, resume: bool) -> dict[str, Sequence[str]]:
    """Command lines, by step."""
    python = [sys.executable, "-c"]
    command = [str(Path(sys.executable).parent / "orkester")]
    found: dict[str, Sequence[str]] = {
        "nothing": [*python, _IMPORTS],
        "load": [*python, f"from orkester.optim.session.open_run import open_run; open_run({str(run)!r})"],
        "report": [*command, "report", str(run)],
        "front": [*command, "front", str(run)],
        "front --json": [*command, "front", str(run), "--json"],
        "best": [*command, "best", str(run)],
    }
    if resume:
        found["resume"] = [*command, "tune", str(run.parent / "study.yaml"), "--run", str(run)]
    return found


def timed(command: Sequence[str]) -> dict[str, float]:
    """A process from its start to its end.

    Raises:
        SystemExit: it failed.
    """
    with tempfile.TemporaryFile() as said:
        began_s = time.perf_counter()
        process = subprocess.Popen(command, stdout=said, stderr=said)
        _, status, used = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - began_s
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{said.read().decode()}")
    return {"cpu_s": used.ru_utime + used.ru_stime, "wall_s": wall_s, "peak_bytes": 1024.0 * used.ru_maxrss}


def reading(run: Path, *, repetitions: int, resume: bool) -> dict[str, Any]:
    """Each step in turn, so that a busy neighbour disturbs all alike."""
    found: dict[str, list[dict[str, float]]] = defaultdict(list)
    for _ in range(repetitions):
        for name, command in steps(run, resume=resume).items():
            found[name].append(timed(command))
    return {name: {key: spread([each[key] for each in times]) for key in times[0]} for name, times in found.items()}


def size(run: Path) -> dict[str, int]:
    """What there is to read."""
    records = orkester.open_run(run)
    blocks = records.blocks
    return {
        "teams": len(records.results.teams),
        "front": len(records.results.front),
        "stopped": sum(bool(result.stopped) for result in records.results.teams),
        "confirmed": sum(result.confirmed is not None for result in records.results.teams),
        "blocks": len(blocks),
        "calls": sum(len(example.calls) for block in blocks for example in block.examples),
        "reused_calls": sum(block.reused_calls for block in blocks),
        "records_bytes": (run / "blocks.jsonl").stat().st_size,
    }


# -- the search's own work --------------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class Clock:
    """CPU seconds by what they were spent on, the innermost counting; trial by trial."""

    spent_s: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    trials: list[dict[str, float]] = field(default_factory=list)
    _inside: list[str] = field(default_factory=lambda: ["rest"])
    _since_s: float = field(default_factory=time.process_time)

    @contextmanager
    def on(self, what: str) -> Iterator[None]:
        """What is done within is counted as this."""
        self._note()
        self._inside.append(what)
        try:
            yield
        finally:
            self._note()
            self._inside.pop()

    def trial(self) -> None:
        """One is over."""
        self._note()
        self.trials.append(dict(self.spent_s))
        self.spent_s.clear()

    def _note(self) -> None:
        now_s = time.process_time()
        self.spent_s[self._inside[-1]] += now_s - self._since_s
        self._since_s = now_s


@dataclass(kw_only=True)
class TimedSampler:
    """A ``Sampler`` that notes its time; a trial is over when it is told."""

    sampler: Sampler
    clock: Clock

    def choose(self, standing: Standing, most: int) -> Sequence[Turn]:
        with self.clock.on("ask"):
            return self.sampler.choose(standing, most)

    def tell(self, outcome: Outcome) -> None:
        with self.clock.on("tell"):
            self.sampler.tell(outcome)
        self.clock.trial()


@dataclass(kw_only=True)
class TimedSearch(Search):
    """A ``Search`` that notes its time."""

    clock: Clock

    def learn(self, *arguments: Any, **more: Any) -> None:
        with self.clock.on("race"):
            super().learn(*arguments, **more)


@dataclass(kw_only=True)
class MadeBlocks:
    """In place of a ``BlockDriver``: blocks without engines."""

    maker: Maker
    clock: Clock

    async def run(
        self,
        team: Team,
        examples: Sequence[Example],
        phase: Phase,
        index: int,
        *,
        trial: int | None = None,
        policies: Mapping[str, RoutingPolicy] | None = None,
        store: CallStore | None = None,
        progress: Callable[[int], None],
    ) -> Block:
        del store, policies
        for done in range(1, len(examples) + 1):
            progress(done)
        with self.clock.on("blocks"):
            return self.maker.block(team, examples, phase, index, trial)


def searching(teams: int, sampler: str) -> dict[str, Any]:
    """CPU milliseconds a trial of a search for so many teams: over all trials, the first ones and the last ones."""
    with tempfile.TemporaryDirectory(prefix="orkester-") as folder:
        clock = asyncio.run(_search(Path(folder), teams, sampler))
    parts = ("ask", "race", "tell", "rest")
    windows = {"all": clock.trials, "first": clock.trials[:WINDOW], "last": clock.trials[-WINDOW:]}
    return {
        "sampler": sampler,
        "teams": len(clock.trials),
        "cpu_ms_per_trial": {
            name: {part: 1000 * statistics.fmean(trial.get(part, 0.0) for trial in trials) for part in parts}
            for name, trials in windows.items()
        },
    }


async def _search(folder: Path, teams: int, sampler: str) -> Clock:
    study = load_study(write_study(folder, teams))
    goal = Goal.of(study.file.objectives, study.file.constraints)
    race = Race(
        objectives=goal.objectives,
        constraints=goal.constraints,
        examples=EXAMPLES,
        block=BLOCK,
        error=study.file.measure.stop_error,
    )
    clock = Clock()
    maker = Maker(rng=random.Random(SEED))

    def observer(event: Event) -> None:
        if isinstance(event, SearchEnded):
            raise _Over

    with (
        BlockLog(folder / "blocks.jsonl") as log,
        Trials(study.space, goal, path=folder / "optuna.db", name=study.name) as trials,
        TraceStore(folder / "traces", study=study.name) as traces,
    ):
        traces.begin_study(study_id=study.id, objectives=list(goal.objectives))
        setting = Setting(space=study.space, goal=goal, seed=study.file.seed)
        budget = Budget.of(study.file.budget)
        tuner = Tuner(
            study=study,
            log=log,
            budget=budget,
            search=TimedSearch(
                goal=goal,
                examples=EXAMPLES,
                block=BLOCK,
                race=race,
                composition=Composition(partial(probe, task=study.task)),
                clock=clock,
            ),
            sampler=TimedSampler(sampler=make_sampler(sampler, setting, trials), clock=clock),
            driver=cast("BlockDriver", MadeBlocks(maker=maker, clock=clock)),
            traces=traces,
            progress=Progress(study=study, budget=budget, observer=observer),
        )
        try:
            await tuner.run()
        except _Over:
            return clock
    raise AssertionError("a search ends")


class _Over(Exception):
    """The search is; what comes then is not timed."""


# -- all of it --------------------------------------------------------------------------------------------------------


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, lowest and highest."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def measure(*, teams: int, repetitions: int, search: int, samplers: Sequence[str], resume: bool) -> dict[str, Any]:
    """All of it; a part is absent where its number is 0."""
    found: dict[str, Any] = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": dict(machine.facts()),
        "versions": versions(),
        "load_average": os.getloadavg()[0],
    }
    if teams:
        with tempfile.TemporaryDirectory(prefix="orkester-") as folder:
            # Not here: what this process has resident would count as the peak of those it starts.
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as apart:
                run = apart.submit(make, Path(folder), teams, database=resume).result()
                found["run"] = apart.submit(size, run).result()
            found["reading"] = reading(run, repetitions=repetitions, resume=resume)
            found["run"]["report_bytes"] = (run / "report.html").stat().st_size
    if search:
        found["searching"] = [searching(search, sampler) for sampler in samplers]
    return found


def table(result: Mapping[str, Any]) -> str:
    """For people."""
    lines = []
    if "run" in result:
        run = result["run"]
        lines.append(
            f"{run['teams']:,} teams, {run['blocks']:,} blocks, {run['calls']:,} calls, "
            f"{run['records_bytes'] / 1e6:.0f} MB of records, report {run['report_bytes'] / 1e6:.1f} MB"
        )
        lines.append(f"{'':14}{'CPU s':>8}{'low':>8}{'high':>8}{'wall s':>8}{'MB':>8}")
        for name, times in result["reading"].items():
            cpu = times["cpu_s"]
            lines.append(
                f"{name:14}{cpu['median']:8.2f}{cpu['low']:8.2f}{cpu['high']:8.2f}{times['wall_s']['median']:8.2f}"
                f"{times['peak_bytes']['median'] / 1e6:8.0f}"
            )
    for one in result.get("searching", ()):
        lines += [
            "",
            f"CPU ms a trial of a search for {one['teams']:,} teams, {one['sampler']}",
            f"{'':14}{'ask':>8}{'race':>8}{'tell':>8}{'rest':>8}{'sum':>8}",
        ]
        for name, parts in one["cpu_ms_per_trial"].items():
            told = f"{name} {WINDOW}" if name != "all" else name
            cells = [*parts.values(), sum(parts.values())]
            lines.append(f"{told:14}" + "".join(f"{ms:8.1f}" for ms in cells))
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--teams", type=int, default=10_000, help="of the run that is read; 0 for none")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--search", type=int, default=1_000, help="teams of the search that is timed; 0 for none")
    parser.add_argument("--samplers", nargs="+", default=["random", "ehvi"], help="of that search")
    parser.add_argument("--resume", action="store_true", help="also write the trials' database, and resume the run")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    given = parser.parse_args(arguments)
    if min(given.teams, given.search) < 0 or given.repetitions < 1:
        parser.error("--teams and --search take 0 or more, --repetitions 1 or more")
    result = measure(
        teams=given.teams,
        repetitions=given.repetitions,
        search=given.search,
        samplers=given.samplers,
        resume=given.resume,
    )
    print(table(result))
    if given.json is not None:
        given.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
