"""The estimate meter: CPU seconds times a declared power model. Its joules are always labelled ``estimate``."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

from orkester.errors import InputError

from .._base import Limits, Reading
from .._request import MeterRequest


@dataclass(frozen=True, kw_only=True)
class PowerModel:
    """The power of one busy CPU core above its idle power.

    The default is for a server core under full load. Current server CPUs with 32 to 96 cores have a package power (TDP)
    of 200 to 400 W, which is 3 to 8 W per core; if few cores are busy, each runs at a higher clock rate. The low and
    the high value are a rough range, not a statistical interval: without a meter the true value is unknown.

    Attributes:
        active_w_per_core: The watts that are counted for each CPU second.
        low_w_per_core: The low end of the range.
        high_w_per_core: The high end of the range.
    """

    active_w_per_core: float = 8.0
    low_w_per_core: float = 3.0
    high_w_per_core: float = 15.0

    def __post_init__(self) -> None:
        if not 0 < self.low_w_per_core <= self.active_w_per_core <= self.high_w_per_core:
            raise ValueError(f"0 < low <= active <= high must hold for the watts per core, but got {self}")


class EstimateMeter:
    """Counts the CPU seconds of the engines' processes and of Orkester's process, times watts.

    Orkester's own process is the domain ``orkester``. When a process ends, its CPU seconds up to the last reading stay
    in the counter, so the counter never decreases.

    Args:
        power: The power model; None for the default.
        cpu_s: A function that returns the CPU seconds of a process so far, for all its threads together, or None if
            they are unknown; None for ``process_cpu_s``.
        own_pid: The id of this process; None to ask the system.
        clock: The clock, in monotonic seconds.
    """

    def __init__(
        self,
        power: PowerModel | None = None,
        *,
        cpu_s: Callable[[int], float | None] | None = None,
        own_pid: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._power = power or PowerModel()
        self._cpu_s = cpu_s or process_cpu_s
        self._clock = clock
        own = own_pid or os.getpid()
        self._pids: dict[str, tuple[int, ...]] = {"orkester": (own,)}
        self._last_s: dict[tuple[str, int], float] = {("orkester", own): 0.0}
        self._total_s: dict[str, float] = {"orkester": 0.0}

    @property
    def method(self) -> str:
        """The label ``estimate``."""
        return "estimate"

    @property
    def assumptions(self) -> Mapping[str, object]:
        """The power model, and the energy that it leaves out."""
        return {
            "model": "CPU seconds of the engines and of Orkester × watts per busy core over idle",
            **asdict(self._power),
            "not_included": "idle power, memory, disks, GPU, power supply, cooling",
        }

    @property
    def limits(self) -> Limits:
        """Limits of 0: CPU clocks count nanoseconds, and the joules contain no idle power."""
        return Limits()

    def watch(self, domain: str, pids: tuple[int, ...]) -> None:
        """See ``Meter.watch``. CPU seconds from before this call count too, because they were used for the start."""
        self._update(domain)
        self._pids[domain] = pids
        for pid in pids:
            self._last_s.setdefault((domain, pid), 0.0)
        self._update(domain)

    def read(self) -> Reading | None:
        """Read the counters; None if the system does not report CPU times."""
        if self._cpu_s(self._pids["orkester"][0]) is None:
            return None
        watts = self._power.active_w_per_core
        for domain in self._pids:
            self._update(domain)
        return Reading(time_s=self._clock(), energy_j={name: s * watts for name, s in self._total_s.items()})

    def close(self) -> None:
        """Do nothing: the meter has no open resources."""

    def _update(self, domain: str) -> None:
        """Add the CPU seconds that the domain's processes have used since the last update."""
        self._total_s.setdefault(domain, 0.0)
        for pid in self._pids.get(domain, ()):
            now_s = self._cpu_s(pid)
            if now_s is not None:
                last_s = self._last_s[domain, pid]
                self._total_s[domain] += max(0.0, now_s - last_s)
                self._last_s[domain, pid] = max(now_s, last_s)


def process_cpu_s(pid: int) -> float | None:
    """Return the user and system CPU seconds of all threads of a process; None if the process has ended.

    The resolution is a nanosecond. Linux derives the id of a process's CPU clock from the process id
    (clock_getcpuclockid(3)). ``/proc`` is not used, because it counts in ticks of 10 ms, which is as long as a small
    block.

    Args:
        pid: The id of the process.

    Returns:
        CPU time in seconds, or None if the process has ended.
    """
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return None


def meter(
    request: MeterRequest,
    *,
    active_w_per_core: float = PowerModel.active_w_per_core,
    low_w_per_core: float = PowerModel.low_w_per_core,
    high_w_per_core: float = PowerModel.high_w_per_core,
) -> EstimateMeter:
    """Make the estimate meter, for engines on the CPU.

    Args:
        request: The study's needs.
        active_w_per_core: See ``PowerModel``.
        low_w_per_core: See ``PowerModel``.
        high_w_per_core: See ``PowerModel``.

    Returns:
        The meter.

    Raises:
        InputError: The engines run on GPUs, or the watts are not in the order low, active, high.
    """
    request.require_cpu("estimate")
    try:
        power = PowerModel(
            active_w_per_core=active_w_per_core, low_w_per_core=low_w_per_core, high_w_per_core=high_w_per_core
        )
    except (TypeError, ValueError) as error:
        raise InputError(str(error)) from error
    return EstimateMeter(power, clock=request.clock)
