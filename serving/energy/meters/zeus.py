"""The meter for AMD GPUs, Apple silicon and NVIDIA Jetson, which uses the device layer of Zeus (0.16).

https://ml.energy/zeus/reference/device/
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from orkester.errors import InputError

from .._base import Limits, Reading
from .._request import MeterRequest
from ._counter import Counter

_UNIT_J = 1e-3
_STALL_S = 2.0
#: The fields with a system on a chip's energy, by domain. Each joule is in one field only: a Jetson's total includes
#: its other fields, so it is used alone.
_WHOLE = {"soc:0": "total_energy_mj"}
_PARTS = (
    {"cpu:0": "cpu_total_mj", "gpu:0": "gpu_mj", "dram:0": "dram_mj"},  # Apple
    {"cpu:0": "cpu_energy_mj", "gpu:0": "gpu_energy_mj"},  # a Jetson that does not report its total
)


@dataclass(frozen=True, kw_only=True)
class ZeusDevices:
    """The devices that Zeus can read.

    Attributes:
        gpus: The result of ``zeus.device.get_gpus``; None if there are no GPUs.
        soc: The system on a chip, the result of ``zeus.device.get_soc``; None if there is none.
        why_none: Zeus's messages about missing devices.
    """

    gpus: Any = None
    soc: Any = None
    why_none: str = ""


@dataclass(frozen=True, kw_only=True)
class _Source:
    """One counter. ``millijoules`` returns None if the counter cannot be read."""

    domain: str
    name: str
    counter: Counter
    millijoules: Callable[[Any], float | None]
    gpu: Any = None


def zeus_unavailable_reason(devices: ZeusDevices | None = None) -> str | None:
    """Check whether Zeus can measure a device here.

    Args:
        devices: The devices; None to ask Zeus.

    Returns:
        Why Zeus cannot measure, with the remedy; None if it can.
    """
    try:
        ZeusMeter(devices).close()
    except InputError as error:
        return str(error)
    return None


class ZeusMeter:
    """Measures the joules of whole AMD GPUs (``gpu:N``), of a Jetson (``soc:0``), or of the parts of Apple silicon.

    Args:
        devices: The devices; None to ask Zeus.
        gpu_count: The number of GPUs to measure, from the first that this process may use; None for all GPUs.
        clock: The clock, in monotonic seconds.

    Raises:
        InputError: Zeus is not installed, or it has no device with a counter. Zeus itself would report 0 J.
    """

    def __init__(
        self,
        devices: ZeusDevices | None = None,
        *,
        gpu_count: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        devices = devices or _devices()
        self._soc = devices.soc
        self._clock = clock
        self._closed = False
        if self._soc is not None:
            self._sources = _of_soc(self._soc)
        else:
            self._sources = _of_gpus(devices, gpu_count)

    @property
    def method(self) -> str:
        """The label ``zeus``."""
        return "zeus"

    @property
    def sees_cpu(self) -> bool:
        """Whether the joules include the CPU."""
        return self._soc is not None

    @property
    def assumptions(self) -> Mapping[str, object]:
        """The devices, and the energy that they leave out."""
        if self._soc is None:
            without = "CPU, memory of the host, disks, network, power supply, cooling"
        elif any(source.domain in _WHOLE for source in self._sources):
            without = "what the module's sensor does not see, power supply, cooling"
        else:
            without = "Neural Engine, GPU's own memory, screen, disks, network, power supply, cooling"
        return {
            "model": "counters of whole devices as Zeus reads them, idle power included",
            "devices": {source.domain: source.name for source in self._sources},
            "others": "processes of others are not looked for",
            "not_included": without,
        }

    @property
    def limits(self) -> Limits:
        """Rules of thumb, as for other GPUs. The update rate of these counters is not documented."""
        return Limits(window_s=10.0, over_idle_j=50.0, refresh_s=0.1, idle_s=10.0)

    def watch(self, domain: str, pids: tuple[int, ...]) -> None:
        """Do nothing: these counters cannot be divided by process."""

    def read(self) -> Reading | None:
        """Read the counters now; None after ``close``. A device that does not answer is reported as a fault."""
        if self._closed:
            return None
        now_s = self._clock()
        soc_energy = None if self._soc is None else _ask(self._soc.get_total_energy_consumption)
        energy_j: dict[str, float] = {}
        gauges: dict[str, float] = {}
        faults = []
        for source in self._sources:
            if fault := source.counter.add(source.millijoules(soc_energy), now_s):
                faults.append(f"the counter of {source.domain} {fault}")
            energy_j[source.domain] = source.counter.total_j
            if source.gpu is not None:
                gauges |= {f"{source.domain}.{name}": value for name, value in _gauges(source.gpu).items()}
        return Reading(time_s=now_s, energy_j=energy_j, gauges=gauges, faults=tuple(faults))

    def close(self) -> None:
        """Stop reading. Zeus itself releases its devices when Python ends."""
        self._closed = True


def _devices() -> ZeusDevices:
    try:
        zeus = importlib.import_module("zeus.device")
    except ImportError as error:
        raise InputError(f"Zeus is not installed ({error}); install it with: pip install 'orkester[zeus]'") from error
    messages = []
    devices = []
    for get in (zeus.get_soc, zeus.get_gpus):
        try:
            devices.append(get())
        except Exception as error:  # the vendors' libraries may raise any exception
            messages.append(str(error))
            devices.append(None)
    return ZeusDevices(soc=devices[0], gpus=devices[1], why_none="; ".join(messages))


def _of_soc(soc: Any) -> list[_Source]:
    energy = _ask(soc.get_total_energy_consumption)
    names = next(
        (
            fields
            for fields in (_WHOLE, *_PARTS)
            if any(getattr(energy, name, None) is not None for name in fields.values())
        ),
        None,
    )
    if names is None:
        raise InputError("Zeus found a system on a chip that reports no joules; use the estimate meter")
    # The counter of a part may stand still, for example when the GPU is switched off. That of a whole module never
    # does.
    stall_s = _STALL_S if names is _WHOLE else None
    return [
        _Source(
            domain=domain,
            name=f"{type(soc).__name__} {name.removesuffix('_mj')}",
            counter=Counter(stall_s=stall_s, unit_j=_UNIT_J),
            millijoules=partial(_field, name),
        )
        for domain, name in names.items()
        if getattr(energy, name, None) is not None
    ]


def _of_gpus(devices: ZeusDevices, gpu_count: int | None) -> list[_Source]:
    if type(devices.gpus).__name__.startswith("NVIDIA"):
        raise InputError("Zeus found NVIDIA GPUs, whose counters the nvml meter reads directly; use nvml")
    gpus: Sequence[Any] = [] if devices.gpus is None else list(devices.gpus.gpus)[:gpu_count]
    if not gpus:
        reason = f" ({devices.why_none})" if devices.why_none else ""
        raise InputError(f"Zeus found no AMD GPU, Apple silicon or Jetson{reason}; for NVIDIA GPUs use the nvml meter")
    sources = []
    for index, gpu in enumerate(gpus):
        name = str(_ask(gpu.get_name) or "GPU")
        if not _ask(gpu.supports_get_total_energy_consumption):
            raise InputError(
                f"gpu:{index} ({name}) has no energy counter that Zeus trusts; see the log of Zeus for the reason. An "
                f"MI250 has two halves, and only the first half has an energy counter, which counts both halves"
            )
        note = ", both its halves together" if "MI250" in name else ""
        sources.append(
            _Source(
                domain=f"gpu:{index}",
                name=name + note,
                counter=Counter(stall_s=_STALL_S, unit_j=_UNIT_J),
                millijoules=partial(_count, gpu),
                gpu=gpu,
            )
        )
    return sources


def _field(name: str, soc_energy: Any) -> float | None:
    value: float | None = getattr(soc_energy, name, None)
    return value


def _count(gpu: Any, soc_energy: None) -> float | None:
    del soc_energy  # a GPU is read by itself
    value: float | None = _ask(gpu.get_total_energy_consumption)
    return value


def _gauges(gpu: Any) -> dict[str, float]:
    """The power and the temperature, if the GPU reports them. Some GPUs report instant power, others average power."""
    milliwatts = _ask(gpu.get_instant_power_usage)
    if milliwatts is None:
        milliwatts = _ask(gpu.get_average_power_usage)
    temperature_c = _ask(gpu.get_gpu_temperature)
    values = {"power_w": None if milliwatts is None else milliwatts / 1000, "temperature_c": temperature_c}
    return {name: float(value) for name, value in values.items() if value is not None}


def _ask(function: Callable[[], Any]) -> Any:
    """A device's answer; None after an error. The vendors' libraries may raise any exception."""
    try:
        return function()
    except Exception:
        return None


def meter(request: MeterRequest, *, devices: ZeusDevices | None = None) -> ZeusMeter:
    """Make the meter of the GPUs, or of the system on a chip.

    Args:
        request: The study's needs.
        devices: The devices; None to ask Zeus.

    Returns:
        The meter.

    Raises:
        InputError: Zeus or a device is missing, or the engines run on a CPU that the devices do not include.
    """
    zeus_meter = ZeusMeter(devices, gpu_count=request.gpu_count, clock=request.clock)
    if not zeus_meter.sees_cpu:
        try:
            request.require_gpus("zeus")
        except InputError:
            zeus_meter.close()
            raise
    return zeus_meter
