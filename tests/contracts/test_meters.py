"""The meters that come with Orkester keep the contract."""

from collections.abc import Callable
from pathlib import Path

import pytest
from contracts.meter_fakes import AMDGPUs, FakeGpu, FakeNvml, FakeSoc, Zones

from orkester.serving.energy import EstimateMeter, Meter, Reading, UnavailableMeter
from orkester.serving.energy.meters.nvml import NvmlMeter
from orkester.serving.energy.meters.rapl import RaplMeter
from orkester.serving.energy.meters.replay import ReplayMeter, record
from orkester.serving.energy.meters.zeus import ZeusDevices, ZeusMeter
from orkester.testing.meter_contract import Clock, MeterContract


class TestEstimate(MeterContract):
    method = "estimate"
    domains = frozenset({"orkester"})

    @pytest.fixture
    def meter(self, clock: Clock) -> Meter:
        return EstimateMeter(cpu_s=lambda pid: clock.now_s if pid == 1 else None, own_pid=1, clock=clock)


class TestRapl(MeterContract):
    method = "rapl"
    domains = frozenset({"cpu:0", "cpu:1", "dram:0", "dram:1"})

    @pytest.fixture
    def zones(self, tmp_path: Path) -> Zones:
        return Zones.server(tmp_path)

    @pytest.fixture
    def meter(self, zones: Zones, clock: Clock) -> Meter:
        return RaplMeter(zones.root, clock=clock)

    @pytest.fixture
    def work(self, zones: Zones) -> Callable[[], None]:
        return zones.work


class TestNvml(MeterContract):
    method = "nvml"
    domains = frozenset({"gpu:0", "gpu:1"})

    @pytest.fixture
    def nvml(self) -> FakeNvml:
        return FakeNvml()

    @pytest.fixture
    def meter(self, nvml: FakeNvml, clock: Clock) -> Meter:
        return NvmlMeter((0, 1), nvml=nvml, clock=clock)

    @pytest.fixture
    def work(self, nvml: FakeNvml) -> Callable[[], None]:
        return nvml.work


class TestNvmlPower(TestNvml):
    method = "nvml-power"

    @pytest.fixture
    def nvml(self) -> FakeNvml:
        return FakeNvml(without_counter=(1,))


class TestZeusGpus(MeterContract):
    method = "zeus"
    domains = frozenset({"gpu:0", "gpu:1"})

    @pytest.fixture
    def gpus(self) -> AMDGPUs:
        return AMDGPUs(FakeGpu(), FakeGpu())

    @pytest.fixture
    def meter(self, gpus: AMDGPUs, clock: Clock) -> Meter:
        return ZeusMeter(ZeusDevices(gpus=gpus), clock=clock)

    @pytest.fixture
    def work(self, gpus: AMDGPUs) -> Callable[[], None]:
        def use() -> None:
            for gpu in gpus.gpus:
                assert gpu.millijoules is not None
                gpu.millijoules += 125_000

        return use


class TestZeusApple(MeterContract):
    method = "zeus"
    domains = frozenset({"cpu:0", "gpu:0", "dram:0"})

    @pytest.fixture
    def soc(self) -> FakeSoc:
        return FakeSoc(cpu_total_mj=10, gpu_mj=0, dram_mj=3, ane_mj=0)

    @pytest.fixture
    def meter(self, soc: FakeSoc, clock: Clock) -> Meter:
        return ZeusMeter(ZeusDevices(soc=soc), clock=clock)

    @pytest.fixture
    def work(self, soc: FakeSoc) -> Callable[[], None]:
        return soc.work


class TestZeusJetson(TestZeusApple):
    domains = frozenset({"soc:0"})

    @pytest.fixture
    def soc(self) -> FakeSoc:
        return FakeSoc(cpu_energy_mj=1.5, gpu_energy_mj=None, total_energy_mj=4.5)


class TestReplay(MeterContract):
    method = "replay"
    domains = frozenset({"gpu:0", "cpu:0"})

    @pytest.fixture
    def meter(self, tmp_path: Path, clock: Clock) -> Meter:
        rows = [
            Reading(time_s=second, energy_j={"gpu:0": 90.0 * second, "cpu:0": 7.0}, gauges={"gpu:0.power_w": 90.0})
            for second in range(20)
        ]
        record(rows, tmp_path / "recorded.csv")
        return ReplayMeter(tmp_path / "recorded.csv", clock=clock)


class TestUnavailable(MeterContract):
    method = "unavailable"
    domains = frozenset()

    @pytest.fixture
    def meter(self) -> Meter:
        return UnavailableMeter("there is none here")
