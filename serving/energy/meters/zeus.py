"""AMD GPUs, Apple silicon and NVIDIA Jetson, through the device layer of Zeus (0.16).

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
#: What a system on a chip tells, by domain, each joule in one field. A Jetson's total holds its other fields.
_WHOLE = {"soc:0": "total_energy_mj"}
_PARTS = (
    {"cpu:0": "cpu_total_mj", "gpu:0": "gpu_mj", "dram:0": "dram_mj"},  # Apple
    {"cpu:0": "cpu_energy_mj", "gpu:0": "gpu_energy_mj"},  # a Jetson that does not tell its total
)


@dataclass(frozen=True, kw_only=True)
class ZeusDevices:
    """What Zeus found.

    Attributes:
        gpus: of ``zeus.device.get_gpus``; None without.
        soc: the system on a chip, of ``zeus.device.get_soc``; None without.
        why_none: what Zeus said where it found neither.
    """

    gpus: Any = None
    soc: Any = None
    why_none: str = ""


@dataclass(frozen=True, kw_only=True)
class _Source:
    """One counter; ``millijoules`` gives None when it cannot be read."""

    domain: str
    name: str
    counter: Counter
    millijoules: Callable[[Any], float | None]
    gpu: Any = None


def zeus_unavailable_reason(devices: ZeusDevices | None = None) -> str | None:
    """Why Zeus has nothing to measure with, with the remedy; None when it has.

    Args:
        devices: what there is, instead of asking Zeus.
    """
    try:
        ZeusMeter(devices).close()
    except InputError as error:
        return str(error)
    return None


class ZeusMeter:
    """Joules of whole AMD GPUs (``gpu:N``), or of the parts of Apple silicon or a Jetson (``soc:0``, its total).

    Args:
        devices: what there is, instead of asking Zeus.
        gpu_count: only the first so many of the GPUs that this process may use; None for all.
        clock: monotonic seconds.

    Raises:
        InputError: Zeus is not installed, or has no device with a counter. Zeus itself would say 0 J.
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
        """The label."""
        return "zeus"

    @property
    def sees_cpu(self) -> bool:
        """Whether what runs on the CPU is in the joules."""
        return self._soc is not None

    @property
    def assumptions(self) -> Mapping[str, object]:
        """The devices and what they leave out."""
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
        """Rules of thumb, as for other GPUs; how often these counters move is not documented."""
        return Limits(window_s=10.0, over_idle_j=50.0, refresh_s=0.1, idle_s=10.0)

    def watch(self, domain: str, pids: tuple[int, ...]) -> None:
        """Nothing: these counters do not know processes."""

    def read(self) -> Reading | None:
        """The counters now, None once closed. A device that does not answer is a fault."""
        if self._closed:
            return None
        now_s = self._clock()
        told = None if self._soc is None else _ask(self._soc.get_total_energy_consumption)
        energy_j: dict[str, float] = {}
        gauges: dict[str, float] = {}
        faults = []
        for source in self._sources:
            if fault := source.counter.add(source.millijoules(told), now_s):
                faults.append(f"the counter of {source.domain} {fault}")
            energy_j[source.domain] = source.counter.total_j
            if source.gpu is not None:
                gauges |= {f"{source.domain}.{name}": value for name, value in _gauges(source.gpu).items()}
        return Reading(time_s=now_s, energy_j=energy_j, gauges=gauges, faults=tuple(faults))

    def close(self) -> None:
        """Zeus lets go of its devices when Python ends."""
        self._closed = True


def _devices() -> ZeusDevices:
    try:
        zeus = importlib.import_module("zeus.device")
    except ImportError as error:
        raise InputError(f"Zeus is not installed ({error}): pip install 'orkester[zeus]'") from error
    said = []
    found = []
    for get in (zeus.get_soc, zeus.get_gpus):
        try:
            found.append(get())
        except Exception as error:  # whatever the makers' libraries raise
            said.append(str(error))
            found.append(None)
    return ZeusDevices(soc=found[0], gpus=found[1], why_none="; ".join(said))


def _of_soc(soc: Any) -> list[_Source]:
    told = _ask(soc.get_total_energy_consumption)
    names = next(
        (
            fields
            for fields in (_WHOLE, *_PARTS)
            if any(getattr(told, name, None) is not None for name in fields.values())
        ),
        None,
    )
    if names is None:
        raise InputError("Zeus found a system on a chip that tells no joules; use the estimate meter")
    # Parts may rest, a GPU that is switched off among them; a whole module never does.
    stall_s = _STALL_S if names is _WHOLE else None
    return [
        _Source(
            domain=domain,
            name=f"{type(soc).__name__} {name.removesuffix('_mj')}",
            counter=Counter(stall_s=stall_s, unit_j=_UNIT_J),
            millijoules=partial(_field, name),
        )
        for domain, name in names.items()
        if getattr(told, name, None) is not None
    ]


def _of_gpus(devices: ZeusDevices, gpu_count: int | None) -> list[_Source]:
    if type(devices.gpus).__name__.startswith("NVIDIA"):
        raise InputError("Zeus found NVIDIA GPUs, whose counters the nvml meter reads itself: use nvml")
    gpus: Sequence[Any] = [] if devices.gpus is None else list(devices.gpus.gpus)[:gpu_count]
    if not gpus:
        why = f" ({devices.why_none})" if devices.why_none else ""
        raise InputError(f"Zeus found no AMD GPU, Apple silicon or Jetson{why}; for NVIDIA use the nvml meter")
    sources = []
    for index, gpu in enumerate(gpus):
        name = str(_ask(gpu.get_name) or "GPU")
        if not _ask(gpu.supports_get_total_energy_consumption):
            raise InputError(
                f"gpu:{index} ({name}) has no energy counter that Zeus trusts; its log says why. Of an MI250, only the "
                f"first of its two halves has one, for both"
            )
        both = ", both its halves together" if "MI250" in name else ""
        sources.append(
            _Source(
                domain=f"gpu:{index}",
                name=name + both,
                counter=Counter(stall_s=_STALL_S, unit_j=_UNIT_J),
                millijoules=partial(_count, gpu),
                gpu=gpu,
            )
        )
    return sources


def _field(name: str, told: Any) -> float | None:
    value: float | None = getattr(told, name, None)
    return value


def _count(gpu: Any, told: None) -> float | None:
    del told  # of a system on a chip, which a GPU is not
    value: float | None = _ask(gpu.get_total_energy_consumption)
    return value


def _gauges(gpu: Any) -> dict[str, float]:
    """Power and temperature where they are told: which of the two powers depends on the GPU."""
    milliwatts = _ask(gpu.get_instant_power_usage)
    if milliwatts is None:
        milliwatts = _ask(gpu.get_average_power_usage)
    temperature_c = _ask(gpu.get_gpu_temperature)
    seen = {"power_w": None if milliwatts is None else milliwatts / 1000, "temperature_c": temperature_c}
    return {name: float(value) for name, value in seen.items() if value is not None}


def _ask(function: Callable[[], Any]) -> Any:
    """What a device answers, or None: the makers' libraries raise whatever they like."""
    try:
        return function()
    except Exception:
        return None


def meter(request: MeterRequest, *, devices: ZeusDevices | None = None) -> ZeusMeter:
    """The meter of the GPUs, or of the whole system on a chip.

    Args:
        request: What it is needed for.
        devices: What there is, instead of asking Zeus.

    Raises:
        InputError: Zeus or the devices are not there, or the engines run on a CPU that the devices do not include.
    """
    made = ZeusMeter(devices, gpu_count=request.gpu_count, clock=request.clock)
    if not made.sees_cpu:
        try:
            request.require_gpus("zeus")
        except InputError:
            made.close()
            raise
    return made
