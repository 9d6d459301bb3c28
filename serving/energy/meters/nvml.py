"""NVIDIA GPUs, through the driver's management library (NVML).

https://docs.nvidia.com/deploy/nvml-api/group__nvmlDeviceQueries.html
"""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from orkester.errors import InputError
from orkester.serving import machine

from .._base import Limits, Reading
from .._request import MeterRequest
from ._counter import Counter, PowerIntegral

_UNIT_J = 1e-3
_STALL_S = 2.0
_GAP_S = 2.0
#: Asking for processes is slower than asking for joules.
_LOOK_S = 1.0


@dataclass(frozen=True)
class _Gpu:
    domain: str
    handle: Any
    name: str
    split: bool


def nvml_unavailable_reason(nvml: Any = None, indices: Sequence[int] | None = None) -> str | None:
    """Why NVIDIA GPUs cannot be measured, with the remedy; None when they can.

    Args:
        nvml: what to ask instead of the module ``pynvml``.
        indices: the driver's numbers of the GPUs; None for all.
    """
    try:
        NvmlMeter(indices, nvml=nvml).close()
    except InputError as error:
        return str(error)
    return None


class NvmlMeter:
    """Joules of whole NVIDIA GPUs, ``gpu:N``, whoever used them.

    From the driver's energy counter (``nvml``); where one of the GPUs has none, all are read as power and summed up
    over time (``nvml-power``), so that joules of one meter are of one kind.

    Args:
        indices: the driver's numbers, whatever ``CUDA_VISIBLE_DEVICES`` says; None for all.
        nvml: what to ask instead of the module ``pynvml``, which nvidia-ml-py installs.
        by_power: do not use the counter, to compare the two.
        parent_of: the parent of a process; None when there is no such process here.
        own_pid: of this process.
        clock: monotonic seconds.

    Raises:
        InputError: the module, the driver or a GPU is not there, or it tells neither energy nor power.
    """

    def __init__(
        self,
        indices: Sequence[int] | None = None,
        *,
        nvml: Any = None,
        by_power: bool = False,
        parent_of: Callable[[int], int | None] | None = None,
        own_pid: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._nvml = _module() if nvml is None else nvml
        self._parent_of = parent_of or parent_pid
        self._own = own_pid or os.getpid()
        self._clock = clock
        try:
            self._nvml.nvmlInit()
        except self._nvml.NVMLError as error:
            raise InputError(f"NVML cannot be used ({error}); check that nvidia-smi works here") from error
        try:
            self._gpus = _gpus(self._nvml, indices)
            self._driver = _text(self._ask(self._nvml.nvmlSystemGetDriverVersion))
            self._by_power = by_power or not all(self._has_energy(gpu) for gpu in self._gpus)
            if self._by_power:
                self._require_power()
        except BaseException:
            self._nvml.nvmlShutdown()
            raise
        self._counters: list[Counter | PowerIntegral] = [
            PowerIntegral(_GAP_S) if self._by_power else Counter(stall_s=_STALL_S, unit_j=_UNIT_J) for _ in self._gpus
        ]
        self._watched: dict[str, tuple[int, ...]] = {}
        self._foreign: tuple[str, ...] = ()
        self._looked_s: float | None = None
        self._known = False
        self._doubt = ""
        self._closed = False

    @property
    def method(self) -> str:
        """The label: ``nvml`` or ``nvml-power``."""
        return "nvml-power" if self._by_power else "nvml"

    @property
    def assumptions(self) -> Mapping[str, object]:
        """The GPUs, how they are read, and what that leaves out."""
        if self._by_power:
            model = (
                "power of whole GPUs summed up over time, idle power included; sensors may be slow, or look at a part "
                "of the time only"
            )
        else:
            model = "energy counters of whole GPUs, idle power included"
        facts: dict[str, object] = {
            "model": model,
            "devices": {gpu.domain: gpu.name for gpu in self._gpus},
            "driver": self._driver,
            "others": "processes of others are looked for once a second",
            "not_included": "CPU, memory of the host, disks, network, power supply, cooling",
        }
        if self._doubt:
            facts["others"] = f"cannot tell: {self._doubt}"
        if split := [gpu.domain for gpu in self._gpus if gpu.split]:
            facts["mig"] = f"{', '.join(split)}: split (MIG); joules are of the whole GPU, all its slices together"
        return facts

    @property
    def limits(self) -> Limits:
        """Rules of thumb: the counter moves ten times a second, and some sensors look a quarter of the time.

        https://arxiv.org/abs/2312.02741
        """
        return Limits(window_s=10.0, over_idle_j=50.0, refresh_s=0.1, idle_s=10.0)

    def watch(self, domain: str, pids: tuple[int, ...]) -> None:
        """These processes and what they start are ours, so not foreign; their joules are not told apart."""
        self._watched[domain] = pids
        self._looked_s = None

    def read(self) -> Reading | None:
        """The counters now, None once closed. A GPU that does not answer is a fault."""
        if self._closed:
            return None
        now_s = self._clock()
        energy_j: dict[str, float] = {}
        gauges: dict[str, float] = {}
        faults = []
        for gpu, counter in zip(self._gpus, self._counters, strict=True):
            milliwatts = self._ask(self._nvml.nvmlDeviceGetPowerUsage, gpu.handle)
            power_w = None if milliwatts is None else milliwatts / 1000
            if self._by_power:
                fault = counter.add(power_w, now_s)
            else:
                fault = counter.add(self._ask(self._nvml.nvmlDeviceGetTotalEnergyConsumption, gpu.handle), now_s)
            if fault:
                faults.append(f"the counter of {gpu.domain} {fault}")
            energy_j[gpu.domain] = counter.total_j
            seen = {
                "power_w": power_w,
                "temperature_c": self._ask(
                    self._nvml.nvmlDeviceGetTemperature, gpu.handle, self._nvml.NVML_TEMPERATURE_GPU
                ),
                "clock_mhz": self._ask(self._nvml.nvmlDeviceGetClockInfo, gpu.handle, self._nvml.NVML_CLOCK_SM),
            }
            gauges |= {f"{gpu.domain}.{name}": float(value) for name, value in seen.items() if value is not None}
        if self._looked_s is None or now_s - self._looked_s >= _LOOK_S:
            self._looked_s = now_s
            self._look()
        return Reading(time_s=now_s, energy_j=energy_j, gauges=gauges, foreign=self._foreign, faults=tuple(faults))

    def close(self) -> None:
        """Let go of the driver; again is harmless."""
        if not self._closed:
            self._closed = True
            self._ask(self._nvml.nvmlShutdown)

    def _ask(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What NVML answers; None where it has no answer."""
        try:
            return function(*arguments)
        except self._nvml.NVMLError:
            return None

    def _has_energy(self, gpu: _Gpu) -> bool:
        try:
            self._nvml.nvmlDeviceGetTotalEnergyConsumption(gpu.handle)
        except self._nvml.NVMLError_NotSupported:
            return False
        except self._nvml.NVMLError as error:
            raise InputError(f"{gpu.domain} does not tell its energy ({error}); check it with nvidia-smi") from error
        return True

    def _require_power(self) -> None:
        for gpu in self._gpus:
            try:
                self._nvml.nvmlDeviceGetPowerUsage(gpu.handle)
            except self._nvml.NVMLError as error:
                raise InputError(
                    f"{gpu.domain} ({gpu.name}) tells neither energy nor power ({error}), as is usual for a share of a "
                    f"GPU in a virtual machine; measure on the machine itself, or leave energy out"
                ) from error

    def _look(self) -> None:
        """See who is at work on the GPUs."""
        listed = {gpu.domain: self._pids(gpu) for gpu in self._gpus}
        found = {(domain, pid): None for domain, pids in listed.items() for pid in pids or ()}
        watched = {pid for pids in self._watched.values() for pid in pids}
        roots = watched | {self._own}
        ours = {pid for _, pid in found if self._descends(pid, roots)}
        # Once one of ours was seen, the driver's numbers are this system's.
        self._known = self._known or bool(ours)
        others = [(domain, pid) for domain, pid in found if pid not in ours]
        self._doubt = "the driver does not list processes" if None in listed.values() else ""
        if not self._known:
            if others and watched:
                self._doubt = (
                    "the driver lists processes and none of the engines' is among them, as in a container, where it "
                    "may number them otherwise"
                )
            # A number that is nobody's here is of another namespace, so it may be ours.
            others = [] if watched else [(domain, pid) for domain, pid in others if self._parent_of(pid) is not None]
        self._foreign = tuple(f"{domain}: {pid} ({self._name(pid)})" for domain, pid in others)

    def _pids(self, gpu: _Gpu) -> list[int] | None:
        compute = self._ask(self._nvml.nvmlDeviceGetComputeRunningProcesses, gpu.handle)
        graphics = self._ask(self._nvml.nvmlDeviceGetGraphicsRunningProcesses, gpu.handle)
        return None if compute is None else [process.pid for process in (*compute, *(graphics or ()))]

    def _descends(self, pid: int, roots: set[int]) -> bool:
        """Whether a process is one of these or was started by one, over any number of others."""
        passed: set[int] = set()
        at: int | None = pid
        while at and at not in passed:
            if at in roots:
                return True
            passed.add(at)
            at = self._parent_of(at)
        return False

    def _name(self, pid: int) -> str:
        """The program; without its arguments, which are nobody's business."""
        words = _text(self._ask(self._nvml.nvmlSystemGetProcessName, pid)).split()
        return PurePath(words[0]).name if words else "unknown"


def parent_pid(pid: int) -> int | None:
    """A process's parent as Linux tells it (proc_pid_stat(5)); None when there is no such process here."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return int(text.rpartition(")")[2].split()[1])  # the name before may hold anything, brackets too
    except (OSError, ValueError, IndexError):
        return None


def _module() -> Any:
    try:
        return importlib.import_module("pynvml")
    except ImportError as error:
        raise InputError("nvidia-ml-py is not installed: pip install nvidia-ml-py") from error


def _gpus(nvml: Any, indices: Sequence[int] | None) -> list[_Gpu]:
    try:
        count = nvml.nvmlDeviceGetCount()
    except nvml.NVMLError as error:
        raise InputError(f"NVML does not list GPUs ({error}); check that nvidia-smi works here") from error
    if count == 0 or (indices is not None and not indices):
        raise InputError("there is no NVIDIA GPU to measure; check what nvidia-smi lists")
    found = []
    for index in range(count) if indices is None else dict.fromkeys(indices):
        if not 0 <= index < count:
            raise InputError(f"there is no GPU {index}; the driver has {count}, counted from 0")
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            name = _text(nvml.nvmlDeviceGetName(handle))
        except nvml.NVMLError as error:
            raise InputError(f"gpu:{index} does not answer ({error}); check it with nvidia-smi") from error
        try:
            split = nvml.nvmlDeviceGetMigMode(handle)[0] == 1
        except nvml.NVMLError:
            split = False
        found.append(_Gpu(f"gpu:{index}", handle, name, split))
    return found


def _text(answer: str | bytes | None) -> str:
    """Old versions of the module answer in bytes."""
    return answer.decode(errors="replace") if isinstance(answer, bytes) else answer or ""


def meter(request: MeterRequest, *, nvml: Any = None) -> NvmlMeter:
    """The meter of the GPUs that this process may use: the driver lists all, and the joules of others are not ours.

    Args:
        request: What it is needed for.
        nvml: What to ask instead of the module ``pynvml``.

    Raises:
        InputError: There is no such GPU, it cannot be measured, or the engines run on the CPU.
    """
    request.require_gpus("nvml")
    if nvml is not None:
        indices = None if request.gpu_count is None else range(request.gpu_count)
        return NvmlMeter(indices, nvml=nvml, clock=request.clock)
    gpus, why_none = machine.gpus()
    usable = [gpu.index for gpu in gpus if gpu.vendor == "nvidia"][: request.gpu_count]
    if not usable:
        raise InputError(f"there is no NVIDIA GPU that this process may use ({why_none or 'those here are AMD'})")
    return NvmlMeter(usable, clock=request.clock)
