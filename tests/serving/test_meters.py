"""Counters, and the meters that read devices: what they count, what they refuse, what they say is wrong."""

import hashlib
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from contracts.meter_fakes import AMDGPUs, FakeGpu, FakeNvml, FakeSoc, NVIDIAGPUs, Zones
from hypothesis import given, settings

from orkester.errors import InputError
from orkester.serving.energy import (
    Limits,
    Meter,
    MeterRequest,
    Reading,
    UnavailableMeter,
    available_meters,
    choose_meter,
    require_meter,
    window,
)
from orkester.serving.energy.choose import Options
from orkester.serving.energy.meters._counter import Counter, PowerIntegral
from orkester.serving.energy.meters.nvml import NvmlMeter, nvml_unavailable_reason, parent_pid
from orkester.serving.energy.meters.rapl import RaplMeter, rapl_unavailable_reason
from orkester.serving.energy.meters.replay import ReplayMeter, record
from orkester.serving.energy.meters.zeus import ZeusDevices, ZeusMeter, zeus_unavailable_reason
from orkester.testing.meter_contract import Clock

RANGE = 2**18


@pytest.fixture
def clock() -> Clock:
    return Clock()


def read(meter: Meter) -> Reading:
    reading = meter.read()
    assert reading is not None
    return reading


# Counters


@given(
    start=st.integers(0, RANGE - 1),
    steps=st.lists(st.integers(0, RANGE // 2), max_size=60),
    seconds=st.floats(0.001, 1.0),
)
def test_a_counter_that_wraps_adds_up_exactly_from_any_offset(start: int, steps: list[int], seconds: float) -> None:
    counter = Counter(RANGE, None)
    raw, total = start, 0
    assert counter.add(raw, 0.0) == ""
    for number, step in enumerate(steps, 1):
        raw, total = (raw + step) % RANGE, total + step
        assert counter.add(raw, number * seconds) == ""
        assert counter.total_j == total


def test_a_wrap_at_every_offset() -> None:
    highest = 60
    for start in range(highest):
        for step in range(highest // 2 + 1):
            counter = Counter(highest, None)
            counter.add(start, 0.0)
            assert counter.add((start + step) % highest, 1.0) == ""
            assert counter.total_j == step, (start, step)


RAW = st.none() | st.integers(-5, 3 * RANGE) | st.floats(max_value=1e15) | st.sampled_from([math.inf, math.nan])


@given(
    raws=st.lists(st.tuples(RAW, st.floats(0, 1e4)), max_size=40),
    wraps_at=st.none() | st.integers(1, 2 * RANGE),
    stall_s=st.none() | st.floats(0.1, 10),
    max_w=st.none() | st.floats(0.1, 1e6),
    gap_s=st.floats(0.1, 100),
)
def test_no_counter_ever_goes_back_and_no_doubtful_step_counts(
    raws: list[tuple[float | None, float]],
    wraps_at: float | None,
    stall_s: float | None,
    max_w: float | None,
    gap_s: float,
) -> None:
    for counter in (Counter(wraps_at, stall_s, max_w=max_w), PowerIntegral(gap_s)):
        time_s = before = 0.0
        for raw, seconds in raws:
            time_s += seconds
            fault = counter.add(raw, time_s)
            assert math.isfinite(counter.total_j)
            assert counter.total_j >= before
            assert not fault or counter.total_j == before
            before = counter.total_j


@pytest.mark.parametrize("wraps_at", [None, 1000])
def test_a_counter_that_jumps_back_is_a_fault_and_goes_on_from_there(wraps_at: int | None) -> None:
    counter = Counter(wraps_at, None)
    assert [counter.add(raw, time) for time, raw in enumerate([600, 610, 590, 595])] == ["", "", "jumped back", ""]
    assert counter.total_j == 15


def test_a_step_that_no_device_makes_is_a_fault() -> None:
    counter = Counter(1000, None)
    assert counter.add(100, 0.0) == ""
    assert counter.add(700, 1.0) == "moved by more than a device can draw"
    assert counter.add(710, 2.0) == ""
    assert counter.total_j == 10


def test_a_counter_that_was_reset_is_not_taken_for_one_that_wrapped() -> None:
    counter = Counter(1_000_000, None, max_w=100.0)
    assert [counter.add(raw, time_s) for time_s, raw in [(0, 900_000), (1, 900_090), (2, 5)]] == ["", "", "jumped back"]
    assert counter.add(300, 4) == ""  # as fast as can be
    assert counter.add(999_000, 5) == "moved by more than a device can draw"
    assert counter.add(999_999, 20) == ""
    assert counter.add(50, 21) == ""  # and this did wrap
    assert counter.total_j == 90 + 295 + 999 + 51


def test_a_counter_that_may_have_wrapped_unseen_is_a_fault() -> None:
    counter = Counter(1000, None, max_w=200.0)
    counter.add(100, 0.0)
    assert counter.add(200, 5.0) == ""
    assert counter.add(300, 60.0) == "was not read for 55 s, in which it may have wrapped"
    assert counter.add(310, 61.0) == ""
    assert counter.total_j == 110


def test_a_counter_that_stalls_is_a_fault_until_it_moves() -> None:
    counter = Counter(None, 2.0)
    found = [counter.add(raw, time_s) for time_s, raw in [(0, 5), (1, 6), (2, 6), (3, 6), (4, 6), (5, 7), (6.5, 7)]]
    assert found == ["", "", "", "stalled", "stalled", "", ""]
    assert counter.total_j == 2


def test_a_counter_that_may_rest_does_not_stall() -> None:
    counter = Counter(None, None)
    assert {counter.add(5, time_s) for time_s in range(100)} == {""}


@pytest.mark.parametrize("gone", [None, math.nan, math.inf, -1])
def test_a_counter_that_is_missing_goes_on_from_what_it_says_when_it_is_back(gone: float | None) -> None:
    counter = Counter(None, 2.0)
    found = [counter.add(raw, time_s) for time_s, raw in [(0, 5), (1, gone), (9, gone), (10, 50), (11, 51)]]
    assert found == ["", "is missing", "is missing", "was missing", ""]
    assert counter.total_j == 1


def test_units_are_kept_exact_however_large() -> None:
    counter = Counter(None, None, unit_j=1e-6)
    for raw in (0, 2**62, 2**62 + 1):
        counter.add(raw, 0.0)
    assert counter.total_j == pytest.approx((2**62 + 1) * 1e-6, rel=1e-15)


@given(
    corners=st.lists(st.tuples(st.floats(0.01, 1.0), st.floats(0, 700)), min_size=2, max_size=30),
    half=st.floats(0.1, 0.9),
)
def test_power_that_changes_evenly_is_summed_up_right_however_it_is_read(
    corners: list[tuple[float, float]], half: float
) -> None:
    coarse, fine = PowerIntegral(2.0), PowerIntegral(2.0)
    time_s, last_w = 0.0, None
    for seconds, watts in corners:
        if last_w is not None:
            assert fine.add(last_w + (watts - last_w) * half, time_s + seconds * half) == ""
        time_s += seconds
        assert coarse.add(watts, time_s) == fine.add(watts, time_s) == ""
        last_w = watts
    assert fine.total_j == pytest.approx(coarse.total_j, rel=1e-9, abs=1e-9)


def test_power_between_readings_that_lie_far_apart_is_not_known() -> None:
    counter = PowerIntegral(2.0)
    assert [counter.add(watts, time_s) for time_s, watts in [(0, 100), (1, 200)]] == ["", ""]
    assert counter.add(200, 11) == "was not read for 10.0 s, too long to know what it drew"
    assert [counter.add(watts, time_s) for time_s, watts in [(12, None), (13, 200), (14, 200)]] == [
        "is missing",
        "was missing",
        "",
    ]
    assert counter.total_j == 150 + 200


# RAPL


def test_rapl_counts_packages_and_memory_once(tmp_path: Path, clock: Clock) -> None:
    zones = Zones.server(tmp_path)
    meter = RaplMeter(tmp_path, clock=clock)
    assert read(meter).energy_j == dict.fromkeys(["cpu:0", "dram:0", "cpu:1", "dram:1"], 0.0)
    for _ in range(5):  # over the packages' wraps, which are 50 J away
        zones.work()
        clock.now_s += 0.5
        assert read(meter).faults == ()
    assert read(meter).energy_j == pytest.approx({"cpu:0": 125, "dram:0": 20, "cpu:1": 125, "dram:1": 20})
    assert meter.assumptions["devices"] == {
        "cpu:0": "package-0",
        "dram:0": "dram of package-0",
        "cpu:1": "package-1",
        "dram:1": "dram of package-1",
    }
    meter.close()
    assert meter.read() is None


@settings(deadline=None, max_examples=30)
@given(start_uj=st.integers(0, 65_532_610_986), steps_j=st.lists(st.integers(1, 30_000), max_size=8))
def test_rapl_wraps_at_any_offset(tmp_path_factory: pytest.TempPathFactory, start_uj: int, steps_j: list[int]) -> None:
    zones = Zones(tmp_path_factory.mktemp("powercap"), highest_uj=65_532_610_987)
    zones.add("intel-rapl:0", "package-0", at_uj=start_uj)
    clock = Clock()
    meter = RaplMeter(zones.root, clock=clock)
    for joules in [0, *steps_j]:
        zones.use("intel-rapl:0", joules * 1_000_000)
        clock.now_s += 60.0
        assert read(meter).faults == ()
    assert read(meter).energy_j["cpu:0"] == pytest.approx(sum(steps_j), abs=1e-6)
    meter.close()


def test_the_dies_of_one_package_add_up(tmp_path: Path, clock: Clock) -> None:
    zones = Zones(tmp_path)
    zones.add("intel-rapl:0", "package-0-die-0")
    zones.add("intel-rapl:1", "package-0-die-1")
    meter = RaplMeter(tmp_path, clock=clock)
    read(meter)
    zones.use("intel-rapl:0", 1_000_000)
    zones.use("intel-rapl:1", 2_000_000)
    assert read(meter).energy_j == {"cpu:0": 3.0}
    assert meter.assumptions["devices"] == {"cpu:0": "package-0-die-0 + package-0-die-1"}
    assert "memory" in str(meter.assumptions["not_included"])
    meter.close()


def test_a_zone_that_dies_spoils_the_window_and_none_after_it(tmp_path: Path, clock: Clock) -> None:
    zones = Zones.server(tmp_path)
    meter = RaplMeter(tmp_path, clock=clock)
    seen = [read(meter)]
    for text in ("", "not a number", "1000", None, None):
        zones.work()
        if text is not None:
            zones.put("intel-rapl:1", text)
        clock.now_s += 0.5
        seen.append(read(meter))
    gone = "the counter of cpu:1 is missing"
    assert [reading.faults for reading in seen[:4]] == [(), (gone,), (gone,), ("the counter of cpu:1 was missing",)]
    assert window(seen[:4], meter.limits).energy_j is None
    # It came back at 0.001 J, and then went on to where it would have been.
    after = window(seen[3:], Limits())
    assert after.energy_j == pytest.approx({"cpu:0": 50, "dram:0": 8, "cpu:1": 75 - 0.001, "dram:1": 8})
    meter.close()


def test_a_package_that_never_moves_is_a_fault(tmp_path: Path, clock: Clock) -> None:
    zones = Zones(tmp_path)
    zones.add("intel-rapl:0", "package-0")
    meter = RaplMeter(tmp_path, clock=clock)
    read(meter)
    clock.now_s += 3.0
    assert read(meter).faults == ("the counter of cpu:0 stalled",)
    meter.close()


def test_a_package_without_a_range_jumps_back_instead_of_wrapping(tmp_path: Path, clock: Clock) -> None:
    zones = Zones(tmp_path)
    (zones.add("intel-rapl:0", "package-0", at_uj=9_000_000) / "max_energy_range_uj").unlink()
    meter = RaplMeter(tmp_path, clock=clock)
    read(meter)
    zones.put("intel-rapl:0", "5")
    assert read(meter).faults == ("the counter of cpu:0 jumped back",)
    assert read(meter).energy_j == {"cpu:0": 0.0}
    meter.close()


def test_no_zones_is_a_reason(tmp_path: Path) -> None:
    assert "no RAPL package zone" in str(rapl_unavailable_reason(tmp_path / "absent"))
    zones = Zones(tmp_path)
    zones.add("intel-rapl:0", "psys")
    assert "no RAPL package zone" in str(rapl_unavailable_reason(tmp_path))
    with pytest.raises(InputError, match="virtual machines"):
        RaplMeter(tmp_path)


def test_counters_that_only_root_may_read_are_a_reason_with_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zones = Zones.server(tmp_path)
    assert rapl_unavailable_reason(zones.root) is None
    plain = Path.read_text

    def guarded(path: Path, *args: str | None, **kwargs: str | None) -> str:
        if path.name == "energy_uj":  # root, as whom tests may run, may read all files
            raise PermissionError(13, "Permission denied")
        return plain(path, *args, **kwargs)

    monkeypatch.setattr(Path, "read_text", guarded)
    reason = str(rapl_unavailable_reason(tmp_path))
    assert str(tmp_path / "intel-rapl:0/energy_uj") in reason
    assert all(word in reason for word in ("CVE-2020-8694", "chmod a+r", "root", "udev"))


def test_a_zone_that_cannot_be_read_from_the_start_is_a_reason_too(tmp_path: Path) -> None:
    zones = Zones.server(tmp_path)
    zones.put("intel-rapl:0:1", "")
    assert "the joules would lack dram:0" in str(rapl_unavailable_reason(tmp_path))


# NVML


def test_nvml_reads_counters_and_what_else_is_to_be_seen(clock: Clock) -> None:
    nvml = FakeNvml()
    meter = NvmlMeter([0, 1], nvml=nvml, clock=clock)
    assert read(meter).energy_j == {"gpu:0": 0.0, "gpu:1": 0.0}
    nvml.work()
    clock.now_s += 0.5
    reading = read(meter)
    assert reading.energy_j == {"gpu:0": 50.0, "gpu:1": 50.0}
    assert reading.gauges == {
        "gpu:0.power_w": 100.0,
        "gpu:0.temperature_c": 60.0,
        "gpu:0.clock_mhz": 1980.0,
        "gpu:1.power_w": 100.0,
        "gpu:1.temperature_c": 61.0,  # and no clock, which this one does not tell
    }
    assert meter.assumptions["devices"] == {"gpu:0": "Fake 0", "gpu:1": "Fake 1"}
    assert meter.assumptions["driver"] == "600.1"
    meter.close()
    meter.close()
    assert nvml.uses == 0
    assert meter.read() is None


def test_nvml_reads_only_the_gpus_it_is_told(clock: Clock) -> None:
    assert set(read(NvmlMeter([1], nvml=FakeNvml(), clock=clock)).energy_j) == {"gpu:1"}


@pytest.mark.parametrize("how", [{"without_counter": (1,)}, {"without_counter": (0, 1)}])
def test_one_gpu_without_a_counter_has_all_read_by_power(clock: Clock, how: dict[str, tuple[int, ...]]) -> None:
    nvml = FakeNvml(**how)
    meter = NvmlMeter(nvml=nvml, clock=clock)
    assert meter.method == "nvml-power"
    read(meter)
    nvml.milliwatts = [300_000, 100_000]
    clock.now_s += 1.0
    assert read(meter).energy_j == {"gpu:0": 200.0, "gpu:1": 100.0}
    clock.now_s += 10.0
    assert all("too long to know" in fault for fault in read(meter).faults)
    assert read(meter).energy_j == {"gpu:0": 200.0, "gpu:1": 100.0}


def test_power_can_be_asked_for_and_is_labelled(clock: Clock) -> None:
    meter = NvmlMeter(nvml=FakeNvml(), by_power=True, clock=clock)
    assert meter.method == "nvml-power"
    assert "summed up" in str(meter.assumptions["model"])


def test_a_gpu_that_is_lost_jumps_back_or_stalls_is_a_fault(clock: Clock) -> None:
    nvml = FakeNvml()
    meter = NvmlMeter(nvml=nvml, clock=clock)
    read(meter)
    told = []
    for millijoules in (None, 5_000_000_000, 4_999_999_999, 17):
        nvml.work()
        nvml.millijoules[1] = millijoules
        clock.now_s += 0.1
        told.append(read(meter).faults)
    what = ("is missing", "was missing", "jumped back", "jumped back")
    assert told == [(f"the counter of gpu:1 {each}",) for each in what]
    clock.now_s += 2.0
    assert read(meter).faults == ("the counter of gpu:0 stalled", "the counter of gpu:1 stalled")
    assert read(meter).energy_j == {"gpu:0": 200.0, "gpu:1": 0.0}


PARENTS = {10: 1, 11: 10, 12: 11, 20: 10, 30: 1, 31: 30, 40: 41, 41: 40}


def looking(nvml: FakeNvml, clock: Clock, own_pid: int = 10) -> NvmlMeter:
    return NvmlMeter(nvml=nvml, parent_of=PARENTS.get, own_pid=own_pid, clock=clock)


def test_processes_of_others_are_noticed(clock: Clock) -> None:
    nvml = FakeNvml()
    meter = looking(nvml, clock)
    nvml.processes = {0: [11, 31, 40], 1: [12]}
    nvml.graphics = {0: [31], 1: [666]}
    assert read(meter).foreign == ("gpu:0: 31 (program31)", "gpu:0: 40 (program40)", "gpu:1: 666 (unknown)")
    meter.watch("engine:small", (30,))  # 31 is its worker
    assert read(meter).foreign == ("gpu:0: 40 (program40)", "gpu:1: 666 (unknown)")
    meter.watch("engine:small", (12,))
    assert "gpu:0: 31 (program31)" in read(meter).foreign
    assert meter.assumptions["others"] == "processes of others are looked for once a second"


def test_processes_are_not_asked_for_more_than_once_a_second(clock: Clock) -> None:
    nvml = FakeNvml()
    meter = looking(nvml, clock)
    nvml.processes = {0: [31]}
    for _ in range(25):
        assert read(meter).foreign  # what was seen holds until the next look
        clock.now_s += 0.1
    assert nvml.looks == 3


def test_where_processes_are_numbered_otherwise_nobody_is_called_foreign(clock: Clock) -> None:
    nvml = FakeNvml()
    meter = looking(nvml, clock)
    nvml.processes = {0: [70_001, 70_002]}
    assert read(meter).foreign == ()  # nobody's numbers here
    meter.watch("engine:small", (20,))
    assert read(meter).foreign == ()
    assert str(meter.assumptions["others"]).startswith("cannot tell: the driver lists")
    nvml.processes[0].append(20)  # so the numbers are ours after all
    clock.now_s += 1.0
    assert read(meter).foreign == ("gpu:0: 70001 (program70001)", "gpu:0: 70002 (program70002)")
    assert "cannot tell" not in str(meter.assumptions["others"])
    nvml.processes[0].remove(20)
    clock.now_s += 1.0
    assert len(read(meter).foreign) == 2


def test_a_driver_that_lists_no_processes_is_said(clock: Clock) -> None:
    nvml = FakeNvml()
    nvml.lists_processes = False
    meter = looking(nvml, clock)
    assert read(meter).foreign == ()
    assert meter.assumptions["others"] == "cannot tell: the driver does not list processes"


def test_a_gpu_that_is_split_is_said(clock: Clock) -> None:
    nvml = FakeNvml()
    assert "mig" not in NvmlMeter(nvml=nvml, clock=clock).assumptions
    nvml.split = {1}
    assert str(NvmlMeter(nvml=nvml, clock=clock).assumptions["mig"]).startswith("gpu:1: split (MIG); joules are of the")


def test_why_there_is_no_nvml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert nvml_unavailable_reason() == "nvidia-ml-py is not installed; install it with: pip install nvidia-ml-py"
    nvml = FakeNvml()
    assert nvml_unavailable_reason(nvml) is None
    assert "there is no GPU 2; the driver has 2" in str(nvml_unavailable_reason(nvml, [2]))
    assert "no NVIDIA GPU" in str(nvml_unavailable_reason(nvml, []))
    assert "no NVIDIA GPU" in str(nvml_unavailable_reason(FakeNvml(gpus=0)))
    nvml.millijoules = [None, None]
    assert "gpu:0 does not report its energy (GPU is lost)" in str(nvml_unavailable_reason(nvml))
    mute = FakeNvml(without_counter=(0,))
    mute.milliwatts = [None, None]
    assert "neither energy nor power" in str(nvml_unavailable_reason(mute))
    assert nvml.uses == mute.uses == 0  # whatever goes wrong, the driver is let go
    nvml.broken = "Driver Not Loaded"
    assert (
        nvml_unavailable_reason(nvml)
        == "NVML cannot be used (Driver Not Loaded); check that nvidia-smi works on this machine"
    )


def test_parents_are_what_the_system_says() -> None:
    assert parent_pid(os.getpid()) == os.getppid()
    assert parent_pid(2**30) is None
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert parent_pid(child.pid) == os.getpid()
        child.communicate(b"\n")


# Zeus


def test_zeus_reads_amd_gpus(clock: Clock) -> None:
    gpus = AMDGPUs(FakeGpu(), FakeGpu("Instinct MI250X"), FakeGpu(counts=False))
    meter = ZeusMeter(ZeusDevices(gpus=gpus), gpu_count=2, clock=clock)
    read(meter)
    gpus.gpus[0].millijoules = 12_000
    gpus.gpus[1].millijoules = None
    clock.now_s += 0.5
    reading = read(meter)
    assert reading.energy_j == {"gpu:0": 3.0, "gpu:1": 0.0}
    assert reading.faults == ("the counter of gpu:1 is missing",)
    assert reading.gauges["gpu:0.power_w"] == 250.0
    assert reading.gauges["gpu:1.temperature_c"] == 71.0
    assert "both its halves" in str(meter.assumptions["devices"])
    assert not meter.sees_cpu


def test_zeus_counts_each_joule_of_a_chip_once(clock: Clock) -> None:
    for fields, domains in (
        ({"cpu_energy_mj": 1.0, "gpu_energy_mj": 1.0, "total_energy_mj": 5.0}, {"soc:0"}),
        ({"cpu_energy_mj": 1.0, "gpu_energy_mj": 1.0, "total_energy_mj": None}, {"cpu:0", "gpu:0"}),
        ({"cpu_total_mj": 1, "gpu_mj": 1, "gpu_sram_mj": 1, "ane_mj": 1, "dram_mj": None}, {"cpu:0", "gpu:0"}),
    ):
        soc = FakeSoc(**fields)
        meter = ZeusMeter(ZeusDevices(soc=soc), clock=clock)
        read(meter)
        soc.work()
        clock.now_s += 1.0
        assert read(meter).energy_j == dict.fromkeys(domains, 0.5)
        assert meter.sees_cpu
        soc.lost = True
        assert len(read(meter).faults) == len(domains)


def test_zeus_never_says_0_for_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no AMD GPU" in str(zeus_unavailable_reason(ZeusDevices(why_none="nothing observable")))
    assert "nothing observable" in str(zeus_unavailable_reason(ZeusDevices(why_none="nothing observable")))
    assert "no AMD GPU" in str(zeus_unavailable_reason(ZeusDevices(gpus=AMDGPUs())))
    assert "use nvml" in str(zeus_unavailable_reason(ZeusDevices(gpus=NVIDIAGPUs(FakeGpu()))))
    assert "no energy counter" in str(zeus_unavailable_reason(ZeusDevices(gpus=AMDGPUs(FakeGpu(counts=False)))))
    assert "reports no joules" in str(zeus_unavailable_reason(ZeusDevices(soc=FakeSoc(cpu_total_mj=None))))
    monkeypatch.setitem(sys.modules, "zeus.device", None)
    assert "pip install 'orkester[zeus]'" in str(zeus_unavailable_reason())


# Replay


READINGS = st.lists(
    st.tuples(st.floats(0, 10), st.floats(0, 1e6), st.floats(0, 1e6), st.floats(-40, 1000)), min_size=2, max_size=20
)


@settings(deadline=None, max_examples=50)
@given(steps=READINGS, at=st.lists(st.floats(0, 1), max_size=10))
def test_what_is_recorded_is_played_back(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[float, float, float, float]], at: list[float]
) -> None:
    path = tmp_path_factory.mktemp("replay") / "recorded.csv"
    time_s, a_j, b_j, rows = 0.0, 0.0, 0.0, []
    for seconds, a_step, b_step, watts in steps:
        time_s, a_j, b_j = time_s + seconds, a_j + a_step, b_j + b_step
        rows.append(Reading(time_s=time_s, energy_j={"gpu:0": a_j, "cpu:0": b_j}, gauges={"gpu:0.power_w": watts}))
    record(rows, path)
    clock = Clock()
    clock.now_s = 0.0
    meter = ReplayMeter(path, clock=clock)
    last = {"gpu:0": 0.0, "cpu:0": 0.0}
    length_s = rows[-1].time_s - rows[0].time_s
    for share in sorted(at):
        clock.now_s = length_s * share
        reading = read(meter)
        assert all(reading.energy_j[name] >= joules for name, joules in last.items())
        last = dict(reading.energy_j)
    by_time = {row.time_s - rows[0].time_s: row for row in rows}  # the last of those at one moment
    for clock.now_s, row in by_time.items():
        reading = ReplayMeter(path, clock=Moments(0.0, clock.now_s)).read()
        assert reading is not None
        assert (reading.energy_j, reading.gauges) == (row.energy_j, row.gauges)
    clock.now_s = length_s + 1.0
    assert meter.read() is None


class Moments:
    """A clock that says these, one after the other."""

    def __init__(self, *moments_s: float) -> None:
        self.left_s = list(moments_s)

    def __call__(self) -> float:
        return self.left_s.pop(0)


def test_a_replay_is_even_between_rows_and_over_at_the_end(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "a.csv"
    path.write_text("time_s,gpu:0,gauge:gpu:0.power_w\n10,100,50\n12,300,\n16,300,70\n")
    meter = ReplayMeter(path, clock=clock)
    assert read(meter) == Reading(time_s=100.0, energy_j={"gpu:0": 100.0}, gauges={"gpu:0.power_w": 50.0})
    clock.now_s = 101.0
    assert read(meter) == Reading(time_s=101.0, energy_j={"gpu:0": 200.0})
    clock.now_s = 106.0
    assert read(meter).energy_j == {"gpu:0": 300.0}
    clock.now_s = 106.1
    assert meter.read() is None
    assert meter.assumptions["file"] == "a.csv"
    assert meter.assumptions["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert meter.limits == Limits(refresh_s=4.0)


def test_faults_foreign_processes_and_late_domains_are_recorded_too(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "a.csv"
    record(
        [
            Reading(time_s=5.0, energy_j={"gpu:0": 1.0}),
            Reading(time_s=6.0, energy_j={"gpu:0": 2.0, "engine:small": 0.0}, faults=('it jumped, "back"',)),
            Reading(time_s=7.0, energy_j={"gpu:0": 4.0, "engine:small": 1.0}, foreign=("gpu:0: 7 (x)",)),
            Reading(time_s=8.0, energy_j={"engine:small": 1.0}),
        ],
        path,
    )
    meter = ReplayMeter(path, clock=clock)
    assert read(meter) == Reading(time_s=100.0, energy_j={"gpu:0": 1.0})
    clock.now_s = 100.5  # on the way to a step that is none
    assert read(meter) == Reading(time_s=100.5, energy_j={"gpu:0": 1.5}, faults=('it jumped, "back"',))
    clock.now_s = 101.5
    assert read(meter).energy_j == {"gpu:0": 3.0, "engine:small": 0.5}
    clock.now_s = 102.5
    assert read(meter) == Reading(time_s=102.5, energy_j={"engine:small": 1.0}, foreign=("gpu:0: 7 (x)",))


def test_a_fault_is_told_to_every_window_across_it_and_to_no_other(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "a.csv"
    path.write_text("time_s,gpu:0,faults\n0,0,\n1,1,\n2,2,broke\n3,3,\n4,4,\n")
    meter = ReplayMeter(path, clock=clock)
    told = []
    for clock.now_s in (100.0, 101.0, 101.2, 102.0, 103.0, 104.0):
        told.append(read(meter).faults)
    assert told == [(), (), ("broke",), ("broke",), (), ()]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", ":1: expected a header"),
        ("seconds,gpu:0\n0,0\n1,1\n", ":1: expected a header"),
        ("time_s,gpu:0,gpu:0\n0,0,0\n1,1,1\n", ":1: expected a header"),
        ("time_s,gauge:gpu:0.power_w\n0,0\n1,1\n", ":1: the file has no column with joules"),
        ("time_s,gpu:0\n0,0\n", "at least two rows"),
        ("time_s,gpu:0\n0,0\n1,x\n", ":3: gpu:0: expected a number, got 'x'"),
        ("time_s,gpu:0\n0,0\n1,nan\n", ":3: gpu:0: expected a number"),
        ("time_s,gpu:0\n0,0\n,1\n", ":3: time_s: expected a number"),
        ("time_s,gpu:0\n0,0\n1\n", ":3: expected 2 cells"),
        ("time_s,gpu:0\n0,5\n1,6\n2,4\n", ":4: gpu:0 is 4, which is below 6"),
        ("time_s,gpu:0\n1,5\n0,6\n", ":3: time_s is 0, which is below 1"),
        ("time_s,gpu:0\n0,-5\n1,6\n", ":2: gpu:0 is -5, which is below 0"),
        ('time_s,gpu:0\n0,"5\n', "not CSV"),
        (b"time_s,gpu:0\n0,\xff\n", ":2: the text is not UTF-8"),
    ],
)
def test_a_recording_that_cannot_be_used_is_refused_with_its_line(tmp_path: Path, text: str | bytes, says: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError) as refused:
        ReplayMeter(path)
    assert str(path) in str(refused.value)
    assert says in str(refused.value)


def test_a_recording_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file"):
        ReplayMeter(tmp_path / "absent.csv")
    with pytest.raises(ValueError, match="at least two"):
        record([Reading(time_s=0.0, energy_j={})], tmp_path / "new.csv")


# The choice


NO_ZEUS = ZeusDevices(why_none="nothing here")
AMD = ZeusDevices(gpus=AMDGPUs(FakeGpu()))
ON_GPUS, ON_CPU = MeterRequest(gpus=True), MeterRequest(gpus=False)


def test_auto_takes_the_best_that_sees_the_device_at_work(tmp_path: Path) -> None:
    none, nobody = tmp_path / "none", FakeNvml(gpus=0)
    (tmp_path / "some").mkdir()
    some = {"rapl": {"root": Zones.server(tmp_path / "some").root}}
    amd: Options = {"zeus": {"devices": AMD}}
    rapl = choose_meter("auto", ON_CPU, {**some, "nvml": {"nvml": FakeNvml()}, **amd})
    assert rapl.method == "rapl"
    rapl.close()
    estimate = choose_meter("auto", ON_CPU, {"rapl": {"root": none}, "estimate": {"active_w_per_core": 5.0}})
    assert (estimate.method, estimate.assumptions["active_w_per_core"]) == ("estimate", 5.0)
    assert choose_meter("auto", ON_GPUS, {**some, "nvml": {"nvml": FakeNvml()}, **amd}).method == "nvml"
    assert choose_meter("auto", ON_GPUS, {**some, "nvml": {"nvml": nobody}, **amd}).method == "zeus"
    nothing = choose_meter("auto", ON_GPUS, {**some, "nvml": {"nvml": nobody}, "zeus": {"devices": NO_ZEUS}})
    assert isinstance(nothing, UnavailableMeter)
    assert "nvml: there is no NVIDIA GPU" in nothing.reason
    assert "zeus: Zeus found no AMD GPU" in nothing.reason


def test_only_the_gpus_that_work_are_measured() -> None:
    meter = choose_meter("nvml", replace(ON_GPUS, gpu_count=1), {"nvml": {"nvml": FakeNvml(gpus=8)}})
    assert set(read(meter).energy_j) == {"gpu:0"}


def test_only_gpus_that_this_process_may_use_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    from orkester.serving import machine

    def gpu(index: int, vendor: str = "nvidia") -> machine.Gpu:
        return machine.Gpu(index=index, name="x", memory_bytes=1, free_bytes=1, driver="", vendor=vendor)  # type: ignore[arg-type]

    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(gpus=8))
    monkeypatch.setattr(machine, "gpus", lambda: ([gpu(5), gpu(2)], ""))
    assert set(read(choose_meter("nvml", ON_GPUS)).energy_j) == {"gpu:5", "gpu:2"}
    assert set(read(choose_meter("auto", replace(ON_GPUS, gpu_count=1))).energy_j) == {"gpu:5"}
    monkeypatch.setattr(machine, "gpus", lambda: ([gpu(0, "amd")], ""))
    with pytest.raises(InputError, match="the GPUs of this machine are from AMD"):
        choose_meter("nvml", ON_GPUS)


def test_a_meter_that_was_named_is_had_or_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the rapl meter cannot be used: .*virtual machines"):
        choose_meter("rapl", ON_CPU, {"rapl": {"root": tmp_path}})
    with pytest.raises(InputError, match=r"the nvml meter cannot be used: .*nvidia-smi"):
        choose_meter("nvml", ON_GPUS, {"nvml": {"nvml": FakeNvml(gpus=0)}})
    with pytest.raises(InputError, match=r"the zeus meter cannot be used: .*nothing here"):
        choose_meter("zeus", ON_GPUS, {"zeus": {"devices": NO_ZEUS}})
    with pytest.raises(InputError, match=r"the estimate meter cannot be used: .*low <= active <= high"):
        choose_meter("estimate", ON_CPU, {"estimate": {"active_w_per_core": 99}})
    (tmp_path / "a.csv").write_text("time_s,gpu:0\n0,0\n1,1\n")
    assert choose_meter("replay", replace(ON_GPUS, folder=tmp_path), {"replay": {"path": "a.csv"}}).method == "replay"
    assert choose_meter("estimate", ON_CPU).method == "estimate"
    soc = ZeusDevices(soc=FakeSoc(cpu_total_mj=1))
    assert choose_meter("zeus", ON_CPU, {"zeus": {"devices": soc}}).method == "zeus"
    Zones.server(tmp_path / "zones")
    rapl = choose_meter("rapl", ON_CPU, {"rapl": {"root": tmp_path / "zones"}})
    assert rapl.method == "rapl"
    rapl.close()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("nvlm", {}, r"unknown meter 'nvlm' \(did you mean 'nvml'\?\)\. Known: auto, estimate, nvml"),
        ("replay", {}, "the meter 'replay' needs the option 'path'"),
        ("estimate", {"watts": 3}, "the meter 'estimate' has no option 'watts'"),
        ("auto", {"path": "a.csv"}, "the meter 'auto' takes no options"),
        ("no_such_module:meter", {}, "cannot be imported: ModuleNotFoundError"),
    ],
)
def test_what_no_meter_takes_is_refused(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        require_meter(name, options, ON_CPU)


def test_a_meter_that_does_not_see_the_device_at_work_is_refused() -> None:
    for name in ("rapl", "estimate"):
        with pytest.raises(InputError, match="run on a GPU"):
            choose_meter(name, ON_GPUS)
    with pytest.raises(InputError, match="run on the CPU"):
        choose_meter("nvml", ON_CPU, {"nvml": {"nvml": FakeNvml()}})
    with pytest.raises(InputError, match="run on the CPU"):
        choose_meter("zeus", ON_CPU, {"zeus": {"devices": AMD}})


def test_the_list_of_meters_says_of_every_meter_what_it_has_or_why_not(tmp_path: Path) -> None:
    (tmp_path / "zones").mkdir()
    Zones.server(tmp_path / "zones")
    nvml = FakeNvml(without_counter=(0,))
    found = available_meters({"rapl": {"root": tmp_path / "zones"}, "nvml": {"nvml": nvml}, "zeus": {"devices": AMD}})
    assert list(found) == ["nvml", "rapl", "zeus", "estimate"]
    assert found["estimate"].startswith("yes: CPU seconds")
    assert found["nvml"] == "yes: gpu:0 (Fake 0), gpu:1 (Fake 1), labelled nvml-power"
    assert found["rapl"].startswith("yes: cpu:0 (package-0), dram:0")
    assert found["zeus"] == "yes: gpu:0 (Fake MI300X), labelled zeus"
    assert nvml.uses == 0
    without = available_meters(
        {"rapl": {"root": tmp_path}, "nvml": {"nvml": FakeNvml(gpus=0)}, "zeus": {"devices": NO_ZEUS}}
    )
    assert [without[name][:4] for name in ("nvml", "rapl", "zeus")] == ["no: "] * 3
    assert without["estimate"].startswith("yes: CPU seconds of the engines")
