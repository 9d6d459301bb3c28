"""Measures the cost of metering: the CPU time at ten readings per second, and the memory for an hour of readings.

    .venv/bin/python benchmarks/meter.py [--seconds 60] [--hour] [--json FILE]

The CPU figure is the sampler thread's CPU time (``time.thread_time``) ÷ wall time, in percent of one core; ``process``
is the figure for the whole process, which does no other work. The meters of this machine are read. RAPL and NVML are
also read from the tests' fakes, labelled ``fake``: these figures show the cost of Orkester's code, without the time
that a kernel or a driver needs to answer.

The memory is measured for readings without waits, twice: resident pages, and Python's allocations (``tracemalloc``).
The sampler keeps 18,000 readings, so 36,000 and 72,000 readings must need the same memory as 18,000. ``--hour`` reads
the estimate meter for a real hour, and records the resident pages every minute.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orkester
from orkester.errors import InputError
from orkester.serving import machine
from orkester.serving.energy import EstimateMeter, Limits, Meter, NvmlMeter, RaplMeter, Reading, Sampler
from orkester.serving.energy._sampler import KEEP, PERIOD_S

ROOT = Path(__file__).resolve().parents[1]
WATCHED = (1, 3, 10)
#: The numbers of readings for the memory, as multiples of the number that the sampler keeps.
READINGS = (1, 2, 4)
HOUR_S = 3600.0


@dataclass(frozen=True, kw_only=True)
class Case:
    """A meter to measure.

    Attributes:
        name: The name in tables.
        kind: ``real``, or ``fake`` if there is no hardware behind the meter.
        meter: The meter to read.
        work: A function that moves the counters of a fake, which would count as broken if they stood still.
        remembered: Whether to measure the memory of the meter's readings.
    """

    name: str
    kind: str
    meter: Meter
    work: Callable[[], None] = lambda: None
    remembered: bool = True


@dataclass(kw_only=True)
class Timed:
    """A meter that records the CPU seconds of the reading thread after each reading."""

    meter: Meter
    cpu_s: list[float] = field(default_factory=list)

    @property
    def method(self) -> str:
        return self.meter.method

    @property
    def assumptions(self) -> Mapping[str, object]:
        return self.meter.assumptions

    @property
    def limits(self) -> Limits:
        return self.meter.limits

    def watch(self, domain: str, pids: tuple[int, ...]) -> None:
        self.meter.watch(domain, pids)

    def read(self) -> Reading | None:
        reading = self.meter.read()
        self.cpu_s.append(time.thread_time())
        return reading

    def close(self) -> None:
        """Do nothing: several samplers use the same meter, so a sampler must not close it."""


# -- meters -----------------------------------------------------------------------------------------------------------


@contextmanager
def waiting(count: int) -> Iterator[tuple[int, ...]]:
    """Start a number of processes that do nothing, and yield their ids."""
    with ExitStack() as stack:
        pids = []
        for _ in range(count):
            process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
            stack.enter_context(process)  # waits for the process after it was killed
            stack.callback(process.kill)
            pids.append(process.pid)
        yield tuple(pids)


@contextmanager
def cases() -> Iterator[tuple[list[Case], dict[str, str]]]:
    """Yield the meters to measure, and for each missing meter the reason."""
    sys.path.insert(0, str(ROOT / "tests"))
    fakes = importlib.import_module("contracts.meter_fakes")
    found, absent = [], {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="orkester-")))
        pids = stack.enter_context(waiting(max(WATCHED)))
        for count in WATCHED:
            meter = EstimateMeter()
            for number, pid in enumerate(pids[:count]):
                meter.watch(f"engine:{number}", (pid,))
            found.append(
                Case(name=f"estimate, {count} processes", kind="real", meter=meter, remembered=count == max(WATCHED))
            )
        real: dict[str, Callable[[], Meter]] = {"rapl": RaplMeter, "nvml": NvmlMeter}
        for name, make in real.items():
            try:
                meter_here = make()
            except InputError as error:
                absent[name] = str(error)
            else:
                devices = meter_here.assumptions["devices"]
                assert isinstance(devices, Mapping)
                found.append(Case(name=f"{name}, {', '.join(devices)}", kind="real", meter=meter_here))
        zones = fakes.Zones.server(folder)
        rapl = RaplMeter(folder)
        found.append(Case(name="rapl, 4 zones in a folder", kind="fake", meter=rapl, work=zones.work))
        nvml = fakes.FakeNvml(8)
        nvml.processes = {gpu: [pids[0]] for gpu in range(8)}
        gpus = NvmlMeter(nvml=nvml)
        gpus.watch("engine:0", pids[:1])
        found.append(Case(name="nvml, 8 GPUs in Python", kind="fake", meter=gpus, work=nvml.work))
        try:
            yield found, absent
        finally:
            for case in found:
                case.meter.close()


# -- CPU --------------------------------------------------------------------------------------------------------------


def cpu(case: Case, seconds: float) -> dict[str, Any]:
    """Measure the CPU time of the sampler thread at ten readings per second."""
    timed = Timed(meter=case.meter)
    with Sampler(timed) as sampler:
        time.sleep(0.3)
        first, began_s, process_s = len(timed.cpu_s) - 1, time.monotonic(), time.process_time()
        end_s = began_s + seconds
        while (left_s := end_s - time.monotonic()) > 0:
            time.sleep(min(0.5, left_s))
            case.work()
        wall_s, process_s, taken = time.monotonic() - began_s, time.process_time() - process_s, list(timed.cpu_s)
        last = sampler.read()
        faults = len(last.faults) if last is not None else 0
    steps = [after - before for before, after in zip(taken[first:], taken[first + 1 :], strict=False)]
    return {
        "meter": case.name,
        "kind": case.kind,
        "wall_s": wall_s,
        "readings": len(steps),
        "readings_per_s": len(steps) / wall_s,
        "thread_cpu_percent": 100 * (taken[-1] - taken[first]) / wall_s,
        # For a fake the figure would include the work that moves the fake's counters.
        "process_cpu_percent": 100 * process_s / wall_s if case.kind == "real" else None,
        "cpu_s_per_reading": {"median": statistics.median(steps), "high": max(steps)} if steps else None,
        "faults_at_end": faults,
    }


# -- memory -----------------------------------------------------------------------------------------------------------


def resident_bytes() -> int:
    """Return the resident memory of this process (proc_pid_statm(5))."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def traced_bytes() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def memory(case: Case, keep: int) -> list[dict[str, Any]]:
    """Measure, after several numbers of readings, how many are kept and how much memory they need."""
    resident, kept = _growth(case, keep, resident_bytes)
    tracemalloc.start()
    try:
        traced, _ = _growth(case, keep, traced_bytes)
    finally:
        tracemalloc.stop()
    return [
        {
            "meter": case.name,
            "kind": case.kind,
            "readings": times * keep,
            "kept": kept[number],
            "resident_bytes": resident[number],
            "traced_bytes": traced[number],
        }
        for number, times in enumerate(READINGS)
    ]


def _growth(case: Case, keep: int, measure: Callable[[], int]) -> tuple[list[int], list[int]]:
    sampler = Sampler(case.meter, keep=keep)  # outside a with block there is no thread, so read() alone reads
    first = sampler.read()
    gc.collect()
    assert first is not None, f"{case.name} cannot be read"
    last = first
    before, done, grown, kept = measure(), 1, [], []
    for times in READINGS:
        while done < times * keep:
            if done % 1000 == 0:
                case.work()
            last = sampler.read() or last
            done += 1
        grown.append(measure() - before)
        # The two readings that are passed in are part of the result, but they are not kept readings.
        kept.append(len(sampler.between(_moment(first.time_s - 1), _moment(last.time_s + 1))) - 2)
    return grown, kept


def _moment(time_s: float) -> Reading:
    return Reading(time_s=time_s, energy_j={})


def hour(seconds: float = HOUR_S) -> dict[str, Any]:
    """Read the estimate meter in real time. After half of the time the sampler is full."""
    with waiting(3) as pids:
        timed = Timed(meter=EstimateMeter())
        for number, pid in enumerate(pids):
            timed.watch(f"engine:{number}", (pid,))
        seen = [resident_bytes()]
        with Sampler(timed) as sampler:
            began_s, process_s = time.monotonic(), time.process_time()
            for minute in range(1, 61):
                time.sleep(max(0.0, began_s + minute * seconds / 60 - time.monotonic()))
                seen.append(resident_bytes())
            wall_s, cpu_s, thread = time.monotonic() - began_s, time.process_time() - process_s, list(timed.cpu_s)
            kept = len(sampler.between(_moment(began_s - 1), _moment(time.monotonic() + 1))) - 2
    return {
        "wall_s": wall_s,
        "readings": len(thread),
        "kept": kept,
        "thread_cpu_percent": 100 * (thread[-1] - thread[0]) / wall_s,
        "process_cpu_percent": 100 * cpu_s / wall_s,
        "resident_bytes_by_minute": seen,
        "grown_in_second_half_bytes": seen[-1] - seen[30],
    }


# -- all of it --------------------------------------------------------------------------------------------------------


def table(result: Mapping[str, Any]) -> str:
    """Return the result as a table."""
    lines = [f"{'CPU of one core':30} {'kind':5} {'readings/s':>10} {'thread %':>9} {'process %':>10} {'ms each':>8}"]
    for row in result["cpu"]:
        process, each = row["process_cpu_percent"], row["cpu_s_per_reading"]
        lines.append(
            f"{row['meter']:30} {row['kind']:5} {row['readings_per_s']:10.2f} {row['thread_cpu_percent']:9.3f} "
            f"{'–' if process is None else f'{process:.3f}':>10} "
            f"{'–' if each is None else format(1000 * each['median'], '.3f'):>8}"
        )
    lines.append(f"\n{'memory':30} {'kind':5} {'readings':>10} {'kept':>9} {'resident MB':>12} {'traced MB':>10}")
    lines += [
        f"{row['meter']:30} {row['kind']:5} {row['readings']:10,} {row['kept']:9,} "
        f"{row['resident_bytes'] / 1e6:12.2f} {row['traced_bytes'] / 1e6:10.2f}"
        for row in result["memory"]
    ]
    lines += [f"\nno {name}: {why}" for name, why in result["absent"].items()]
    if (whole := result["hour"]) is not None:
        lines.append(
            f"\n{whole['wall_s']:.0f} s: {whole['readings']:,} readings, {whole['kept']:,} kept, thread "
            f"{whole['thread_cpu_percent']:.3f} %, second half grew {whole['grown_in_second_half_bytes'] / 1e6:.2f} MB"
        )
    return "\n".join(lines)


def measure(seconds: float, *, keep: int, with_hour: bool) -> dict[str, Any]:
    """Measure all cases, one after the other."""
    with cases() as (found, absent):
        costs = [cpu(case, seconds) for case in found]
        grown = [
            row for case in found if "processes" not in case.name or "10" in case.name for row in memory(case, keep)
        ]
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": dict(machine.facts()),
        "versions": {"orkester": orkester.__version__},
        "seconds": seconds,
        "period_s": PERIOD_S,
        "keep": keep,
        "cpu": costs,
        "memory": grown,
        "absent": absent,
        "hour": hour() if with_hour else None,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="the time for the CPU figure of each meter")
    parser.add_argument("--keep", type=int, default=KEEP, help="the readings that the sampler keeps, for the memory")
    parser.add_argument("--hour", action="store_true", help="also read the estimate meter for a real hour")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the file for the figures")
    given = parser.parse_args(arguments)
    if not 0 < given.seconds < HOUR_S:
        parser.error(f"--seconds takes more than 0 and less than {HOUR_S:.0f}")
    if given.keep < 2:
        parser.error("--keep takes 2 or more")
    result = measure(given.seconds, keep=given.keep, with_hour=given.hour)
    print(table(result))
    if given.json is not None:
        given.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
