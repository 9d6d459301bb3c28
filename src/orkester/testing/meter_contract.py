"""The contract of meters: the tests that every meter must pass. Subclass it in a test module."""

import json
import math
from collections.abc import Callable
from itertools import pairwise

import pytest

from orkester.serving.energy import Meter, Reading

#: The id of a process that cannot exist on Linux.
NO_PROCESS = 2**30


class Clock:
    """A clock that stands still until a test changes ``now_s``."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class MeterContract:
    """The contract of all meters.

    A subclass defines the fixture ``meter``, which is made with ``clock``, and the fixture ``work``: a function that
    makes the devices use energy.
    """

    #: The label of the meter.
    method: str
    #: The domains that every reading has; empty for a meter that cannot be read.
    domains: frozenset[str]

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def work(self) -> Callable[[], None]:
        """A function that makes the devices work for half a second. By default it does nothing."""
        return lambda: None

    @pytest.fixture
    def readings(self, meter: Meter, work: Callable[[], None], clock: Clock) -> list[Reading]:
        """Eleven readings, half a second apart; empty when the meter cannot be read."""
        readings = [meter.read()]
        for _ in range(10):
            work()
            clock.now_s += 0.5
            readings.append(meter.read())
        assert self.domains or readings == [None] * 11
        return [reading for reading in readings if reading is not None]

    def test_it_is_labelled(self, meter: Meter) -> None:
        assert meter.method == self.method

    def test_it_states_its_assumptions(self, meter: Meter) -> None:
        facts = meter.assumptions
        assert json.loads(json.dumps(facts)) == facts, (
            "the assumptions must be plain JSON, because records contain them"
        )
        assert str(facts["not_included" if self.domains else "reason"])

    def test_its_limits_make_sense(self, meter: Meter) -> None:
        limits = meter.limits
        each = (limits.window_s, limits.over_idle_j, limits.refresh_s, limits.idle_s)
        assert all(math.isfinite(value) and value >= 0 for value in each)
        if limits.window_s:
            assert limits.refresh_s < limits.window_s

    def test_it_reads_all_its_domains(self, readings: list[Reading]) -> None:
        assert all(self.domains <= set(reading.energy_j) for reading in readings)
        assert len(readings) == (11 if self.domains else 0)

    def test_what_it_reads_is_finite_and_not_negative(self, readings: list[Reading]) -> None:
        for reading in readings:
            assert all(math.isfinite(joules) and joules >= 0 for joules in reading.energy_j.values())
            assert all(math.isfinite(value) for value in reading.gauges.values())

    def test_counters_only_ever_grow(self, readings: list[Reading]) -> None:
        for before, after in pairwise(readings):
            assert before.time_s <= after.time_s
            assert all(joules <= after.energy_j[name] for name, joules in before.energy_j.items())

    def test_work_is_seen_and_without_faults(self, readings: list[Reading]) -> None:
        if self.domains:
            assert sum(readings[-1].energy_j.values()) > sum(readings[0].energy_j.values())
        assert not [fault for reading in readings for fault in reading.faults]

    def test_time_is_the_clocks(self, meter: Meter, clock: Clock) -> None:
        reading = meter.read()
        assert reading is None or reading.time_s == clock.now_s

    def test_a_process_that_is_not_there_does_no_harm(self, meter: Meter) -> None:
        meter.watch("engine:gone", (NO_PROCESS,))
        meter.watch("engine:elsewhere", ())
        reading = meter.read()
        assert (reading is not None) == bool(self.domains)
        if reading is not None:
            assert reading.energy_j.get("engine:gone", 0.0) == 0.0
            assert reading.faults == ()

    def test_closing_twice_is_harmless(self, meter: Meter) -> None:
        meter.read()
        meter.close()
        meter.close()
