"""Energy as an estimate: CPU seconds times a declared power model, labelled as such wherever it goes."""

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
    """Watts of one busy core over idle.

    The default stands for a server core under full load: package power of current 32- to 96-core server CPUs (their
    makers' TDP, 200 to 400 W) divided by cores is 3 to 8 W; with few cores in use each clocks higher. The range is what
    a reader should keep in mind, not an interval: without a meter nobody knows.

    Attributes:
        active_w_per_core: what a CPU second is counted as.
        low_w_per_core, high_w_per_core: what it could as well be.
    """

    active_w_per_core: float = 8.0
    low_w_per_core: float = 3.0
    high_w_per_core: float = 15.0

    def __post_init__(self) -> None:
        if not 0 < self.low_w_per_core <= self.active_w_per_core <= self.high_w_per_core:
            raise ValueError(f"0 < low <= active <= high must hold for the watts per core, but got {self}")


class EstimateMeter:
    """CPU seconds of the engines' processes and of our own, times watts.

    Orkester's own process is the domain ``orkester``. A process that ends keeps what was counted of it up to the last
    reading; a counter never goes back.

    Args:
        power: the power model.
        cpu_s: CPU seconds that a process has used so far, all its threads together; None when it cannot be had.
        own_pid: of this process.
        clock: monotonic seconds.
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
        self._seen: dict[tuple[str, int], float] = {("orkester", own): 0.0}
        self._done_s: dict[str, float] = {"orkester": 0.0}

    @property
    def method(self) -> str:
        """The label."""
        return "estimate"

    @property
    def assumptions(self) -> Mapping[str, object]:
        """The power model and what it leaves out."""
        return {
            "model": "CPU seconds of the engines and of Orkester × watts per busy core over idle",
            **asdict(self._power),
            "not_included": "idle power, memory, disks, GPU, power supply, cooling",
        }

    @property
    def limits(self) -> Limits:
        """None: CPU clocks count nanoseconds, and idle power is not in them."""
        return Limits()

    def watch(self, domain: str, pids: tuple[int, ...]) -> None:
        """Count these processes under ``domain``, with what they used before: it was used to start them."""
        self._settle(domain)
        self._pids[domain] = pids
        for pid in pids:
            self._seen.setdefault((domain, pid), 0.0)
        self._settle(domain)

    def read(self) -> Reading | None:
        """The counters; None where the system does not tell CPU times."""
        if self._cpu_s(self._pids["orkester"][0]) is None:
            return None
        watts = self._power.active_w_per_core
        for domain in self._pids:
            self._settle(domain)
        return Reading(time_s=self._clock(), energy_j={name: s * watts for name, s in self._done_s.items()})

    def close(self) -> None:
        """Nothing was opened."""

    def _settle(self, domain: str) -> None:
        """Add what the domain's processes have used since they were last looked at."""
        self._done_s.setdefault(domain, 0.0)
        for pid in self._pids.get(domain, ()):
            now_s = self._cpu_s(pid)
            if now_s is not None:
                last_s = self._seen[domain, pid]
                self._done_s[domain] += max(0.0, now_s - last_s)
                self._seen[domain, pid] = max(now_s, last_s)


def process_cpu_s(pid: int) -> float | None:
    """User and system seconds of all threads of a process, in nanoseconds' resolution; None when it has gone.

    Linux makes a process's CPU clock from its id (clock_getcpuclockid(3)); ``/proc`` only counts ticks of 10 ms, which
    is as long as a small block.
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
    """The estimate for engines on the CPU.

    Args:
        request: What it is needed for.
        active_w_per_core, low_w_per_core, high_w_per_core: See ``PowerModel``.

    Raises:
        InputError: The engines run on GPUs, or the watts do not go together.
    """
    request.require_cpu("estimate")
    try:
        power = PowerModel(
            active_w_per_core=active_w_per_core, low_w_per_core=low_w_per_core, high_w_per_core=high_w_per_core
        )
    except (TypeError, ValueError) as error:
        raise InputError(str(error)) from error
    return EstimateMeter(power, clock=request.clock)
