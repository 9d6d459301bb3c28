"""The meter for NVIDIA GPUs, which uses the driver's management library (NVML).

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
#: The time between two looks for foreign processes. Listing processes is slower than reading joules.
_PROCESS_CHECK_S = 1.0


@dataclass(frozen=True)
class _Gpu:
    domain: str
    handle: Any
    name: str
    split: bool


def nvml_unavailable_reason(nvml: Any = None, indices: Sequence[int] | None = None) -> str | None:
    """Check whether the NVIDIA GPUs can be measured.

    Args:
        nvml: An object that replaces the module ``pynvml``; None to use the module.
        indices: The driver's numbers of the GPUs; None for all GPUs.

    Returns:
        Why they cannot be measured, with the remedy; None if they can.
    """
    try:
        NvmlMeter(indices, nvml=nvml).close()
    except InputError as error:
        return str(error)
    return None


class NvmlMeter:
    """Measures the joules of whole NVIDIA GPUs (``gpu:N``), for all processes that use them.

    The joules come from the driver's energy counter (``nvml``). If one of the GPUs has no energy counter, the power of
    all GPUs is read and summed over time (``nvml-power``), so that all joules of one meter are of the same kind.

    Args:
        indices: The driver's numbers of the GPUs, which do not depend on ``CUDA_VISIBLE_DEVICES``; None for all GPUs.
        nvml: An object that replaces the module ``pynvml`` (from nvidia-ml-py); None to use the module.
        by_power: Whether to use the power although there is an energy counter, to compare the two.
        parent_of: A function that returns the parent of a process, or None if the process does not exist here; None
            for ``parent_pid``.
        own_pid: The id of this process; None to ask the system.
        clock: The clock, in monotonic seconds.

    Raises:
        InputError: The module, the driver or a GPU is missing, or a GPU reports neither energy nor power.
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
            raise InputError(f"NVML cannot be used ({error}); check that nvidia-smi works on this machine") from error
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
        self._processes_checked_s: float | None = None
        self._own_seen = False
        self._processes_unknown = ""
        self._closed = False

    @property
    def method(self) -> str:
        """The label ``nvml`` or ``nvml-power``."""
        return "nvml-power" if self._by_power else "nvml"

    @property
    def assumptions(self) -> Mapping[str, object]:
        """The GPUs, how they are read, and the energy that this leaves out."""
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
        if self._processes_unknown:
            facts["others"] = f"cannot tell: {self._processes_unknown}"
        if split := [gpu.domain for gpu in self._gpus if gpu.split]:
            facts["mig"] = f"{', '.join(split)}: split (MIG); joules are of the whole GPU, all its slices together"
        return facts

    @property
    def limits(self) -> Limits:
        """Rules of thumb: the counter moves ten times per second, and some sensors sample only a quarter of the time.

        https://arxiv.org/abs/2312.02741
        """
        return Limits(window_s=10.0, over_idle_j=50.0, refresh_s=0.1, idle_s=10.0)

    def watch(self, domain: str, pids: tuple[int, ...]) -> None:
        """See ``Meter.watch``. These processes and their children are not foreign; they get no joules of their own."""
        self._watched[domain] = pids
        self._processes_checked_s = None

    def read(self) -> Reading | None:
        """Read the counters now; None after ``close``. A GPU that does not answer is reported as a fault."""
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
            values = {
                "power_w": power_w,
                "temperature_c": self._ask(
                    self._nvml.nvmlDeviceGetTemperature, gpu.handle, self._nvml.NVML_TEMPERATURE_GPU
                ),
                "clock_mhz": self._ask(self._nvml.nvmlDeviceGetClockInfo, gpu.handle, self._nvml.NVML_CLOCK_SM),
            }
            gauges |= {f"{gpu.domain}.{name}": float(value) for name, value in values.items() if value is not None}
        if self._processes_checked_s is None or now_s - self._processes_checked_s >= _PROCESS_CHECK_S:
            self._processes_checked_s = now_s
            self._find_foreign_processes()
        return Reading(time_s=now_s, energy_j=energy_j, gauges=gauges, foreign=self._foreign, faults=tuple(faults))

    def close(self) -> None:
        """Release the driver. A second call does nothing."""
        if not self._closed:
            self._closed = True
            self._ask(self._nvml.nvmlShutdown)

    def _ask(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """NVML's answer; None if NVML raises an error."""
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
            raise InputError(f"{gpu.domain} does not report its energy ({error}); check it with nvidia-smi") from error
        return True

    def _require_power(self) -> None:
        for gpu in self._gpus:
            try:
                self._nvml.nvmlDeviceGetPowerUsage(gpu.handle)
            except self._nvml.NVMLError as error:
                raise InputError(
                    f"{gpu.domain} ({gpu.name}) reports neither energy nor power ({error}), which is usual for a share "
                    f"of a GPU in a virtual machine; measure on the machine itself, or leave energy out of the study"
                ) from error

    def _find_foreign_processes(self) -> None:
        """Find the processes on the GPUs that do not belong to this study."""
        pids_by_domain = {gpu.domain: self._pids(gpu) for gpu in self._gpus}
        listed = list(dict.fromkeys((domain, pid) for domain, pids in pids_by_domain.items() for pid in pids or ()))
        watched = {pid for pids in self._watched.values() for pid in pids}
        roots = watched | {self._own}
        own_pids = {pid for _, pid in listed if self._descends(pid, roots)}
        # If the driver has ever listed an own process, its process ids are those of this system.
        self._own_seen = self._own_seen or bool(own_pids)
        others = [(domain, pid) for domain, pid in listed if pid not in own_pids]
        self._processes_unknown = "the driver does not list processes" if None in pids_by_domain.values() else ""
        if not self._own_seen:
            if others and watched:
                self._processes_unknown = (
                    "the driver lists processes and none of the engines' is among them, as in a container, where it "
                    "may number them otherwise"
                )
            # A process id that does not exist here belongs to another namespace, so the process may be an own one.
            others = [] if watched else [(domain, pid) for domain, pid in others if self._parent_of(pid) is not None]
        self._foreign = tuple(f"{domain}: {pid} ({self._name(pid)})" for domain, pid in others)

    def _pids(self, gpu: _Gpu) -> list[int] | None:
        compute = self._ask(self._nvml.nvmlDeviceGetComputeRunningProcesses, gpu.handle)
        graphics = self._ask(self._nvml.nvmlDeviceGetGraphicsRunningProcesses, gpu.handle)
        return None if compute is None else [process.pid for process in (*compute, *(graphics or ()))]

    def _descends(self, pid: int, roots: set[int]) -> bool:
        """Whether a process is one of the roots, or a descendant of one."""
        visited: set[int] = set()
        ancestor: int | None = pid
        while ancestor and ancestor not in visited:
            if ancestor in roots:
                return True
            visited.add(ancestor)
            ancestor = self._parent_of(ancestor)
        return False

    def _name(self, pid: int) -> str:
        """The name of a process's program, without the arguments, which may be private."""
        words = _text(self._ask(self._nvml.nvmlSystemGetProcessName, pid)).split()
        return PurePath(words[0]).name if words else "unknown"


def parent_pid(pid: int) -> int | None:
    """Read the parent of a process from Linux (proc_pid_stat(5)).

    Args:
        pid: The id of the process.

    Returns:
        Process id of the parent, or None if this system has no such process.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return int(text.rpartition(")")[2].split()[1])  # the program's name may contain brackets too
    except (OSError, ValueError, IndexError):
        return None


def _module() -> Any:
    try:
        return importlib.import_module("pynvml")
    except ImportError as error:
        raise InputError("nvidia-ml-py is not installed; install it with: pip install nvidia-ml-py") from error


def _gpus(nvml: Any, indices: Sequence[int] | None) -> list[_Gpu]:
    try:
        count = nvml.nvmlDeviceGetCount()
    except nvml.NVMLError as error:
        raise InputError(f"NVML does not list GPUs ({error}); check that nvidia-smi works on this machine") from error
    if count == 0 or (indices is not None and not indices):
        raise InputError("there is no NVIDIA GPU to measure; check the list that nvidia-smi prints")
    gpus = []
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
        gpus.append(_Gpu(f"gpu:{index}", handle, name, split))
    return gpus


def _text(answer: str | bytes | None) -> str:
    """An answer as text. Old versions of the module answer in bytes."""
    return answer.decode(errors="replace") if isinstance(answer, bytes) else answer or ""


def meter(request: MeterRequest, *, nvml: Any = None) -> NvmlMeter:
    """Make the meter of the NVIDIA GPUs that this process may use.

    The driver lists all GPUs of the machine. The joules of GPUs that this process may not use are not counted.

    Args:
        request: The study's needs.
        nvml: An object that replaces the module ``pynvml``; None to use the module.

    Returns:
        The meter.

    Raises:
        InputError: There is no such GPU, a GPU cannot be measured, or the engines run on the CPU.
    """
    request.require_gpus("nvml")
    if nvml is not None:
        indices = None if request.gpu_count is None else range(request.gpu_count)
        return NvmlMeter(indices, nvml=nvml, clock=request.clock)
    gpus, reason = machine.gpus()
    usable = [gpu.index for gpu in gpus if gpu.vendor == "nvidia"][: request.gpu_count]
    if not usable:
        raise InputError(
            f"there is no NVIDIA GPU that this process may use ({reason or 'the GPUs of this machine are from AMD'})"
        )
    return NvmlMeter(usable, clock=request.clock)
