"""One thread reads; windows are slices of what it saw, and say what their joules are worth."""

import asyncio
import itertools
import threading
import time
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orkester.serving.energy import IdlePower, Limits, Reading, Sampler, Stopwatch, UnavailableMeter, window

EXACT = Limits()


class Scripted:
    """A meter of 10 W on one GPU, by a clock that the test moves; what else it says can be set."""

    method = "replay"
    assumptions: Mapping[str, object] = {}

    def __init__(self, limits: Limits = EXACT) -> None:
        self.limits = limits
        self.now_s = 0.0
        self.faults: tuple[str, ...] = ()
        self.there = True
        self.threads: set[str] = set()
        self.closed = 0

    def watch(self, domain: str, pids: tuple[int, ...]) -> None: ...

    def read(self) -> Reading | None:
        self.threads.add(threading.current_thread().name)
        if not self.there:
            return None
        return Reading(time_s=self.now_s, energy_j={"gpu:0": 10 * self.now_s}, faults=self.faults)

    def close(self) -> None:
        self.closed += 1


def at(*times_s: float, watts: float = 10.0) -> list[Reading]:
    return [Reading(time_s=each, energy_j={"gpu:0": watts * each}) for each in times_s]


# -- the sampler ------------------------------------------------------------------------------------------------------


def test_a_window_is_a_slice_with_both_its_ends() -> None:
    meter = Scripted()
    sampler = Sampler(meter)
    seen = []
    for meter.now_s in (0.0, 1.0, 2.0, 3.0, 4.0):
        seen.append(sampler.read())
    start, _, middle, _, end = seen
    assert start is not None
    assert middle is not None
    assert end is not None
    assert [reading.time_s for reading in sampler.between(start, end)] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert [reading.time_s for reading in sampler.between(middle, end)] == [2.0, 3.0, 4.0]
    assert [reading.time_s for reading in sampler.between(start, middle)] == [0.0, 1.0, 2.0]


def test_what_is_forgotten_takes_no_joules_with_it() -> None:
    meter = Scripted()
    sampler = Sampler(meter, keep=3)
    readings = []
    for meter.now_s in map(float, range(100)):
        readings.append(sampler.read())
    first, last = readings[0], readings[-1]
    assert first is not None
    assert last is not None
    slice_ = sampler.between(first, last)
    assert len(slice_) == 4  # the beginning, which its owner kept, and what is left
    assert window(slice_, EXACT).energy_j == {"gpu:0": 990.0}


def test_it_reads_by_itself_until_it_is_left_and_closes_the_meter_once() -> None:
    meter = Scripted()
    with Sampler(meter, period_s=0.005) as sampler:
        deadline = time.monotonic() + 20
        while "orkester-meter" not in meter.threads:
            assert time.monotonic() < deadline
            time.sleep(0.005)
    sampler.close()
    assert meter.closed == 1
    assert not [thread for thread in threading.enumerate() if thread.name == "orkester-meter"]


def test_a_sampler_that_was_never_entered_closes_its_meter_too() -> None:
    meter = Scripted()
    Sampler(meter).close()
    assert meter.closed == 1


def test_a_meter_that_has_nothing_to_say_is_none_and_remembers_nothing() -> None:
    sampler = Sampler(UnavailableMeter("none"))
    assert sampler.read() is None
    assert sampler.method == "unavailable"
    assert window((), sampler.limits).energy_j is None


@given(st.lists(st.floats(0, 5), min_size=4, max_size=30), st.data())
def test_windows_that_overlap_add_up(steps: list[float], data: st.DataObject) -> None:
    times = list(itertools.accumulate(steps))
    meter = Scripted()
    sampler = Sampler(meter)
    readings = []
    for meter.now_s in times:
        reading = sampler.read()
        assert reading is not None
        readings.append(reading)
    a, b, c, d = sorted(data.draw(st.lists(st.integers(0, len(times) - 1), min_size=4, max_size=4)))

    def joules(i: int, k: int) -> float:
        found = window(sampler.between(readings[i], readings[k]), EXACT).total_j
        assert found is not None
        return found

    assert joules(a, c) + joules(b, d) == pytest.approx(joules(a, d) + joules(b, c))
    assert joules(a, d) >= max(joules(a, c), joules(b, d)) - 1e-9


# -- a window ---------------------------------------------------------------------------------------------------------


def test_joules_are_the_difference_of_the_ends() -> None:
    found = window(at(1.0, 2.0, 4.0), EXACT)
    assert (found.energy_j, found.error_j, found.marks) == ({"gpu:0": 30.0}, 0.0, ())


@pytest.mark.parametrize("where", [1, 2])
def test_a_counter_that_failed_within_it_makes_no_number(where: int) -> None:
    readings = at(0.0, 1.0, 2.0)
    said = readings[where]
    readings[where] = Reading(time_s=said.time_s, energy_j=said.energy_j, faults=("the counter of gpu:0 stalled",))
    found = window(readings, EXACT)
    assert (found.energy_j, found.marks) == (None, ("the counter of gpu:0 stalled",))


def test_what_failed_before_it_is_no_matter() -> None:
    first, *rest = at(0.0, 1.0)
    before = Reading(time_s=first.time_s, energy_j=first.energy_j, faults=("it jumped back",))
    assert window([before, *rest], EXACT).energy_j == {"gpu:0": 10.0}


def test_a_counter_that_goes_back_or_is_gone_makes_no_number() -> None:
    assert window(list(reversed(at(0.0, 1.0))), EXACT).energy_j is None
    gone = window([*at(0.0), Reading(time_s=1.0, energy_j={})], EXACT)
    assert (gone.energy_j, gone.marks) == (None, ("the counter of gpu:0 is missing",))


def test_an_engine_that_started_within_it_counts_from_nothing() -> None:
    later = Reading(time_s=1.0, energy_j={"gpu:0": 10.0, "engine:small": 3.0})
    assert window([*at(0.0), later], EXACT).energy_j == {"gpu:0": 10.0, "engine:small": 3.0}


def test_one_too_short_for_its_meter_says_so_and_how_far_off_it_may_be() -> None:
    limits = Limits(window_s=10.0, over_idle_j=50.0, refresh_s=0.1)
    short = window(at(0.0, 2.0), limits)
    assert short.energy_j == {"gpu:0": 20.0}
    assert short.error_j == pytest.approx(2 * 0.1 * 10.0)
    assert [mark.split(":")[0] for mark in short.marks] == ["imprecise", "imprecise"]
    assert window(at(0.0, 20.0), limits).marks == ()
    idle = window(at(0.0, 20.0), limits, {"gpu:0": 9.0})  # 20 J over idle
    assert idle.marks == ("imprecise: under 50 J over idle, which is what the meter needs",)


def test_the_error_is_of_the_highest_power_and_never_more_than_all() -> None:
    readings = [
        Reading(time_s=0.0, energy_j={"gpu:0": 0.0}, gauges={"gpu:0.power_w": 100.0, "gpu:0.temperature_c": 40.0}),
        Reading(time_s=10.0, energy_j={"gpu:0": 500.0}, gauges={"gpu:0.power_w": 300.0, "gpu:0.temperature_c": 60.0}),
    ]
    found = window(readings, Limits(refresh_s=0.1))
    assert found.error_j == pytest.approx(60.0)
    assert found.gauges["gpu:0.temperature_c"] == {"mean": 50.0, "low": 40.0, "high": 60.0}
    assert window(readings, Limits(refresh_s=100.0)).error_j == 500.0


def test_others_at_work_on_the_device_are_told_of_once() -> None:
    seen = [Reading(time_s=t, energy_j={"gpu:0": t}, foreign=("gpu:0: 4711 (python)",)) for t in (0.0, 1.0, 2.0)]
    assert window(seen, EXACT).marks == ("others were at work on gpu:0: 4711 (python)",)


# -- idle power, and what a while cost --------------------------------------------------------------------------------


def idle(meter: Scripted) -> tuple[IdlePower, list[float]]:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        meter.now_s += seconds

    return IdlePower(Sampler(meter), sleep=sleep), waits


def test_idle_power_is_measured_once_for_each_set_of_engines() -> None:
    power, waits = idle(Scripted(Limits(idle_s=10.0)))
    one, two = frozenset({"small"}), frozenset({"small", "large"})
    assert not power.is_measured(one)
    assert asyncio.run(power.measure(one)) == {"gpu:0": pytest.approx(10.0)}
    assert power.is_measured(one)
    before = len(waits)
    asyncio.run(power.measure(one))
    assert len(waits) == before
    asyncio.run(power.measure(two))
    assert len(waits) == 2 * before
    assert 10.0 in waits


def test_joules_without_idle_power_have_none_to_measure() -> None:
    power, waits = idle(Scripted(Limits(idle_s=0.0)))
    assert power.is_measured(frozenset())
    assert asyncio.run(power.measure(frozenset())) is None
    assert waits == []


@pytest.mark.parametrize("faults", [("stalled",), None])
def test_idle_power_that_could_not_be_measured_is_tried_again(faults: Sequence[str] | None) -> None:
    meter = Scripted(Limits(idle_s=10.0))
    power, _ = idle(meter)
    meter.faults, meter.there = tuple(faults or ()), faults is not None
    assert asyncio.run(power.measure(frozenset())) is None
    meter.faults, meter.there = (), True
    assert asyncio.run(power.measure(frozenset())) == {"gpu:0": pytest.approx(10.0)}


def test_a_stopwatch_counts_seconds_and_joules() -> None:
    meter = Scripted()
    watch = Stopwatch(meter, lambda: meter.now_s)
    meter.now_s = 3.0
    assert (watch.seconds, watch.energy_j) == (3.0, 30.0)
    meter.there = False
    assert watch.energy_j is None
