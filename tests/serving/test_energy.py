"""Joules that are counted from CPU seconds, and joules that are not to be had."""

import math
import os
import subprocess
import sys
import time

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from orkester.serving.energy import EstimateMeter, PowerModel, Reading, UnavailableMeter
from orkester.serving.energy.meters.estimate import process_cpu_s

OWN = 1
WATTS = 10.0


class Processes:
    """CPU seconds by process id; a process that is not there has ended."""

    def __init__(self) -> None:
        self.cpu_s = {OWN: 0.0}

    def __call__(self, pid: int) -> float | None:
        return self.cpu_s.get(pid)


@pytest.fixture
def processes() -> Processes:
    return Processes()


@pytest.fixture
def meter(processes: Processes) -> EstimateMeter:
    power = PowerModel(active_w_per_core=WATTS)
    return EstimateMeter(power, cpu_s=processes, own_pid=OWN, clock=lambda: 5.0)


def joules(meter: EstimateMeter, domain: str) -> float:
    reading = meter.read()
    assert reading is not None
    return reading.energy_j[domain]


def test_joules_are_cpu_seconds_times_watts(meter: EstimateMeter, processes: Processes) -> None:
    processes.cpu_s[2] = 100.0
    meter.watch("engine:small", (2,))
    # What it used before it was watched went into its start.
    assert meter.read() == Reading(time_s=5.0, energy_j={"orkester": 0.0, "engine:small": 1000.0})
    processes.cpu_s |= {OWN: 0.5, 2: 103.0}
    assert meter.read() == Reading(time_s=5.0, energy_j={"orkester": 5.0, "engine:small": 1030.0})
    assert meter.read() == Reading(time_s=5.0, energy_j={"orkester": 5.0, "engine:small": 1030.0})


def test_several_processes_of_an_engine_add_up(meter: EstimateMeter, processes: Processes) -> None:
    processes.cpu_s |= {2: 1.0, 3: 2.0}
    meter.watch("engine:small", (2, 3))
    assert joules(meter, "engine:small") == 3 * WATTS
    processes.cpu_s |= {2: 2.0, 3: 4.0}
    assert joules(meter, "engine:small") == 6 * WATTS


def test_a_process_that_ends_keeps_its_joules(meter: EstimateMeter, processes: Processes) -> None:
    processes.cpu_s[2] = 0.0
    meter.watch("engine:small", (2,))
    processes.cpu_s[2] = 4.0
    assert joules(meter, "engine:small") == 40.0
    del processes.cpu_s[2]
    assert joules(meter, "engine:small") == 40.0


def test_watching_again_replaces_the_processes_and_keeps_the_joules(meter: EstimateMeter, processes: Processes) -> None:
    processes.cpu_s[2] = 0.0
    meter.watch("engine:small", (2,))
    processes.cpu_s |= {2: 4.0, 3: 50.0}
    meter.watch("engine:small", (3,))
    assert joules(meter, "engine:small") == 540.0
    processes.cpu_s |= {2: 9.0, 3: 51.0}  # of 2 nobody wants to know any more
    assert joules(meter, "engine:small") == 550.0
    meter.watch("engine:small", (3,))
    assert joules(meter, "engine:small") == 550.0


def test_watching_the_same_process_again_counts_it_once(meter: EstimateMeter, processes: Processes) -> None:
    processes.cpu_s[2] = 1.0
    for _ in range(3):
        meter.watch("engine:small", (2,))
    processes.cpu_s[2] = 2.0
    meter.watch("engine:small", (2,))
    assert joules(meter, "engine:small") == 2 * WATTS


def test_an_endpoint_elsewhere_has_a_domain_that_stays_at_nothing(meter: EstimateMeter) -> None:
    meter.watch("engine:small", ())
    assert joules(meter, "engine:small") == 0.0


def test_no_cpu_times_no_joules(meter: EstimateMeter, processes: Processes) -> None:
    processes.cpu_s.clear()
    assert meter.read() is None


STEPS = st.lists(
    st.tuples(st.sampled_from([OWN, 2, 3]), st.none() | st.floats(0, 1e6), st.sampled_from(["go", "watch"])),
    max_size=20,
)


@given(STEPS)
@settings(max_examples=100, deadline=None)
def test_counters_never_go_back_whatever_the_system_says(steps: list[tuple[int, float | None, str]]) -> None:
    processes = Processes()
    meter = EstimateMeter(PowerModel(active_w_per_core=WATTS), cpu_s=processes, own_pid=OWN)
    meter.watch("engine:small", (2,))
    before = {"orkester": 0.0, "engine:small": 0.0}
    for pid, cpu_s, then in steps:
        if cpu_s is None:
            processes.cpu_s.pop(pid, None)
        else:
            processes.cpu_s[pid] = cpu_s
        if then == "watch":
            meter.watch("engine:small", (pid,))
        reading = meter.read()
        assert (reading is None) == (OWN not in processes.cpu_s)
        if reading is not None:
            assert all(math.isfinite(value) and value >= before[name] for name, value in reading.energy_j.items())
            before = dict(reading.energy_j)


def test_every_number_is_labelled_with_what_it_stands_on() -> None:
    meter = EstimateMeter(PowerModel(active_w_per_core=6.0, low_w_per_core=2.0, high_w_per_core=12.0))
    assert meter.method == "estimate"
    assert meter.assumptions["active_w_per_core"] == 6.0
    assert (meter.assumptions["low_w_per_core"], meter.assumptions["high_w_per_core"]) == (2.0, 12.0)
    assert "idle" in str(meter.assumptions["not_included"])


@pytest.mark.parametrize("watts", [{"active_w_per_core": 0.0}, {"active_w_per_core": 20.0}, {"low_w_per_core": -1.0}])
def test_a_power_model_that_cannot_be_is_refused(watts: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="0 < low <= active <= high"):
        PowerModel(**watts)


def test_unavailable_is_none_and_says_why() -> None:
    meter = UnavailableMeter("no meter on this machine")
    meter.watch("engine:small", (1,))
    assert meter.read() is None
    assert meter.method == "unavailable"
    assert meter.assumptions == {"reason": "no meter on this machine"}


_BUSY = """
import sys, threading, time
def burn():
    end = time.thread_time() + 0.1
    while time.thread_time() < end: pass
threads = [threading.Thread(target=burn) for _ in range(2)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(time.process_time(), flush=True)
sys.stdin.read()
"""


def test_a_process_is_counted_with_all_its_threads_until_it_ends() -> None:
    with subprocess.Popen([sys.executable, "-c", _BUSY], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        itself_s = float(child.stdout.readline())
        counted_s = process_cpu_s(child.pid)
        assert counted_s is not None
        assert itself_s >= 0.2
        assert itself_s <= counted_s <= itself_s + 0.05
        child.communicate(timeout=20)
    assert process_cpu_s(child.pid) is None


def test_our_own_process_is_counted_finer_than_by_ticks() -> None:
    start_s = process_cpu_s(os.getpid())
    end = time.process_time() + 0.002
    while time.process_time() < end:
        pass
    end_s = process_cpu_s(os.getpid())
    assert start_s is not None
    assert end_s is not None
    assert end_s - start_s >= 0.002
