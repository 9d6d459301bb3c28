"""Devices that meters read, as the kernel, NVIDIA's library and Zeus show them, made by hand."""

from pathlib import Path
from types import SimpleNamespace


class Zones:
    """A folder as Linux shows RAPL: counters in microjoules that wrap."""

    def __init__(self, root: Path, *, highest_uj: int = 262_143_328_850) -> None:
        self.root = root
        self.highest_uj = highest_uj
        self._at: dict[str, int] = {}

    def add(self, zone: str, name: str, at_uj: int = 0) -> Path:
        """``intel-rapl:0:1`` lies in the folder of ``intel-rapl:0``, and the class folder links to both."""
        parent = zone.rpartition(":")[0]
        folder = self.root / zone if ":" not in parent else self.root / parent / zone
        folder.mkdir(parents=True)
        if folder.parent != self.root:
            (self.root / zone).symlink_to(folder)
        (folder / "name").write_text(f"{name}\n")
        (folder / "max_energy_range_uj").write_text(f"{self.highest_uj}\n")
        self._at[zone] = at_uj
        self.use(zone, 0)
        return folder

    def use(self, zone: str, microjoules: int) -> None:
        self._at[zone] = (self._at[zone] + microjoules) % self.highest_uj
        self.put(zone, str(self._at[zone]))

    def put(self, zone: str, text: str) -> None:
        # In place, as the kernel does: the meter keeps the file open.
        (self.root / zone / "energy_uj").write_text(f"{text}\n")

    @classmethod
    def server(cls, root: Path) -> "Zones":
        """Two packages with sub-zones, memory, the platform's zone, and package 0 once more over memory-mapped I/O."""
        zones = cls(root)
        for number in (0, 1):
            zones.add(f"intel-rapl:{number}", f"package-{number}", at_uj=zones.highest_uj - 50_000_000)
            zones.add(f"intel-rapl:{number}:0", "core")
            zones.add(f"intel-rapl:{number}:1", "dram", at_uj=7)
        zones.add("intel-rapl:2", "psys")
        zones.add("intel-rapl-mmio:0", "package-0")
        return zones

    def work(self) -> None:
        """Half a second of 50 W a package and 8 W memory."""
        for zone in self._at:
            self.use(zone, 4_000_000 if zone.endswith(":1") and zone.count(":") == 2 else 25_000_000)


class NvmlError(Exception):
    pass


class NvmlNotSupported(NvmlError):
    pass


class FakeNvml:
    """The driver's library as ``pynvml`` has it, as far as meters ask it."""

    NVMLError = NvmlError
    NVMLError_NotSupported = NvmlNotSupported
    NVML_TEMPERATURE_GPU = 0
    NVML_CLOCK_SM = 1

    def __init__(self, gpus: int = 2, *, without_counter: tuple[int, ...] = ()) -> None:
        self.millijoules: list[int | None] = [5_000_000_000 + index for index in range(gpus)]
        self.milliwatts: list[int | None] = [100_000] * gpus
        self.without_counter = without_counter
        self.processes: dict[int, list[int]] = {}
        self.graphics: dict[int, list[int]] = {}
        self.lists_processes = True
        self.looks = 0
        self.split: set[int] = set()
        self.broken = ""
        self.uses = 0

    def nvmlInit(self) -> None:  # noqa: N802
        if self.broken:
            raise NvmlError(self.broken)
        self.uses += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.uses -= 1

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self.millijoules)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetName(self, handle: int) -> str:  # noqa: N802
        return f"Fake {handle}"

    def nvmlSystemGetDriverVersion(self) -> bytes:  # noqa: N802
        return b"600.1"  # as old versions answer

    def nvmlDeviceGetMigMode(self, handle: int) -> list[int]:  # noqa: N802
        if handle not in self.split:
            raise NvmlNotSupported
        return [1, 1]

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: int) -> int:  # noqa: N802
        if handle in self.without_counter:
            raise NvmlNotSupported
        return self._or_lost(self.millijoules[handle])

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:  # noqa: N802
        return self._or_lost(self.milliwatts[handle])

    def nvmlDeviceGetTemperature(self, handle: int, sensor: int) -> int:  # noqa: N802
        return 60 + handle

    def nvmlDeviceGetClockInfo(self, handle: int, clock: int) -> int:  # noqa: N802
        if handle == 1:
            raise NvmlNotSupported
        return 1980

    def nvmlDeviceGetComputeRunningProcesses(self, handle: int) -> list[SimpleNamespace]:  # noqa: N802
        self.looks += handle == 0
        if not self.lists_processes:
            raise NvmlNotSupported
        return [SimpleNamespace(pid=pid) for pid in self.processes.get(handle, [])]

    def nvmlDeviceGetGraphicsRunningProcesses(self, handle: int) -> list[SimpleNamespace]:  # noqa: N802
        return [SimpleNamespace(pid=pid) for pid in self.graphics.get(handle, [])]

    def nvmlSystemGetProcessName(self, pid: int) -> str:  # noqa: N802
        if pid == 666:
            raise NvmlError("no permission")
        return f"/usr/bin/program{pid} --secret"

    def work(self) -> None:
        """Half a second at 100 W each."""
        for index, at in enumerate(self.millijoules):
            self.millijoules[index] = None if at is None else at + 50_000

    @staticmethod
    def _or_lost(value: int | None) -> int:
        if value is None:
            raise NvmlError("GPU is lost")
        return value


class FakeGpu:
    """One AMD GPU as Zeus has it."""

    def __init__(self, name: str = "Fake MI300X", *, counts: bool = True) -> None:
        self.name = name
        self.counts = counts
        self.millijoules: int | None = 9_000

    def get_name(self) -> str:
        return self.name

    def supports_get_total_energy_consumption(self) -> bool:
        return self.counts

    def get_total_energy_consumption(self) -> int:
        if self.millijoules is None:
            raise RuntimeError("lost")
        return self.millijoules

    def get_instant_power_usage(self) -> int:
        raise NotImplementedError("not on this GPU")

    def get_average_power_usage(self) -> int:
        return 250_000

    def get_gpu_temperature(self) -> int:
        return 71


class AMDGPUs:
    """Named as in Zeus."""

    def __init__(self, *gpus: FakeGpu) -> None:
        self.gpus = gpus


class NVIDIAGPUs(AMDGPUs):
    """Named as in Zeus."""


class FakeSoc:
    """A system on a chip as Zeus has it; fields in mJ."""

    def __init__(self, **fields: float | None) -> None:
        self.fields = fields
        self.lost = False

    def get_total_energy_consumption(self) -> SimpleNamespace:
        if self.lost:
            raise RuntimeError("lost")
        return SimpleNamespace(**self.fields)

    def work(self) -> None:
        self.fields = {name: None if value is None else value + 500 for name, value in self.fields.items()}
