"""The meter for CPU packages and memory, which reads the RAPL (Running Average Power Limit) counters through Linux.

Intel's and AMD's CPUs have such counters.

https://www.kernel.org/doc/html/latest/power/powercap/powercap.html
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from orkester.errors import InputError

from .._base import Limits, Reading
from .._request import MeterRequest
from ._counter import Counter

POWERCAP = Path("/sys/class/powercap")
#: The name of a package's zone. It matches no sub-zone (intel-rapl:0:0), and not intel-rapl-mmio:0, which is package 0
#: for the second time.
_ZONE = re.compile(r"intel-rapl:\d+")
_PACKAGE = re.compile(r"package-(\d+)(-die-\d+)?")
_UNIT_J = 1e-6
_STALL_S = 2.0
#: A power that no package reaches. Counters wrap after 65 or 262 kJ, which is one or four minutes at this power.
_MAX_W = 1000.0


@dataclass(frozen=True, kw_only=True)
class _Zone:
    """One counter. A package with several dies has several counters."""

    domain: str
    name: str
    folder: Path

    @property
    def file(self) -> Path:
        return self.folder / "energy_uj"


def rapl_unavailable_reason(root: Path = POWERCAP) -> str | None:
    """Check whether the RAPL counters can be read.

    Args:
        root: The kernel's folder with the power zones.

    Returns:
        Why they cannot be read, with the remedy; None if they can.
    """
    zones = _zones(root)
    if not any(zone.domain.startswith("cpu:") for zone in zones):
        return (
            f"{root} has no RAPL package zone, which is usual in virtual machines and containers; run on the machine "
            "itself"
        )
    for zone in zones:
        try:
            _microjoules(zone.file.read_text(encoding="ascii"))
        except PermissionError:
            return (
                f"only root may read {zone.file}, because fine power readings can reveal secrets (CVE-2020-8694). Run "
                f"as root, or allow everyone to read it until the next boot with: sudo chmod a+r "
                f"{root}/intel-rapl*/energy_uj. A udev rule can do the same at every boot"
            )
        except (OSError, ValueError) as error:
            return (
                f"{zone.file} cannot be read ({error}), so the joules would lack {zone.domain}; use the estimate meter"
            )
    return None


class RaplMeter:
    """Measures the joules of CPU packages (``cpu:N``) and of the memory beside them (``dram:N``).

    A package's energy includes its sub-zones ``core`` and ``uncore``, so they are not counted again. It does not
    include memory. ``psys`` is the whole platform including the packages, so it is left out.

    Args:
        root: The kernel's folder with the power zones.
        clock: The clock, in monotonic seconds.

    Raises:
        InputError: There are no zones, or they cannot be read; the message is that of ``rapl_unavailable_reason``.
    """

    def __init__(self, root: Path = POWERCAP, *, clock: Callable[[], float] = time.monotonic) -> None:
        if (reason := rapl_unavailable_reason(root)) is not None:
            raise InputError(reason)
        self._clock = clock
        self._zones = _zones(root)
        self._counters = [_counter(zone) for zone in self._zones]
        self._open: list[int] | None = [os.open(zone.file, os.O_RDONLY) for zone in self._zones]

    @property
    def method(self) -> str:
        """The label ``rapl``."""
        return "rapl"

    @property
    def assumptions(self) -> Mapping[str, object]:
        """The zones, and the energy that they leave out."""
        devices: dict[str, str] = {}
        for zone in self._zones:
            devices[zone.domain] = " + ".join(filter(None, (devices.get(zone.domain), zone.name)))
        memory = "" if any(domain.startswith("dram:") for domain in devices) else "memory, "
        return {
            "model": "RAPL counters of whole CPU packages, everything that ran on them and idle power included",
            "devices": devices,
            "not_included": f"{memory}GPU, disks, network, power supply, cooling",
        }

    @property
    def limits(self) -> Limits:
        """Rules of thumb: the counters move every millisecond, and their joules include idle power."""
        return Limits(window_s=1.0, over_idle_j=1.0, refresh_s=0.001, idle_s=5.0)

    def watch(self, domain: str, pids: tuple[int, ...]) -> None:
        """Do nothing: a package's counter cannot be divided by process."""

    def read(self) -> Reading | None:
        """Read the counters now; None after ``close``. A zone that can no longer be read is reported as a fault."""
        if self._open is None:
            return None
        now_s = self._clock()
        energy_j: dict[str, float] = {}
        faults = []
        for zone, counter, file in zip(self._zones, self._counters, self._open, strict=True):
            if fault := counter.add(_read(file), now_s):
                faults.append(f"the counter of {zone.domain} {fault}")
            energy_j[zone.domain] = energy_j.get(zone.domain, 0.0) + counter.total_j
        return Reading(time_s=now_s, energy_j=energy_j, faults=tuple(dict.fromkeys(faults)))

    def close(self) -> None:
        """Close the files. A second call does nothing."""
        for file in self._open or ():
            os.close(file)
        self._open = None


def _zones(root: Path) -> list[_Zone]:
    """The zones whose sum counts every joule once, in the order of packages."""
    zones = []
    folders = sorted(root.glob("intel-rapl:*"), key=lambda folder: (len(folder.name), folder.name))
    for folder in folders:
        package = _PACKAGE.fullmatch(_name(folder)) if _ZONE.fullmatch(folder.name) else None
        if package is None:
            continue
        number = package[1]
        zones.append(_Zone(domain=f"cpu:{number}", name=package[0], folder=folder))
        # Sub-zones are in the folder of their package; some kernels list them beside the packages as well.
        sub_zones = sorted(folder.glob(f"{folder.name}:*")) or sorted(root.glob(f"{folder.name}:*"))
        zones += [
            _Zone(domain=f"dram:{number}", name=f"dram of {package[0]}", folder=sub_zone)
            for sub_zone in sub_zones
            if _name(sub_zone) == "dram"
        ]
    return zones


def _name(folder: Path) -> str:
    try:
        return (folder / "name").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


def _counter(zone: _Zone) -> Counter:
    try:
        highest = _microjoules((zone.folder / "max_energy_range_uj").read_text(encoding="ascii"))
    except (OSError, ValueError):
        highest = 0
    if highest <= 0:  # without the range, a wrap looks like a counter that jumped back, so it will be a fault
        return Counter(stall_s=_STALL_S, unit_j=_UNIT_J)
    return Counter(highest, _STALL_S, max_w=_MAX_W, unit_j=_UNIT_J)


def _read(file: int) -> int | None:
    try:
        return _microjoules(os.pread(file, 32, 0).decode("ascii"))
    except (OSError, ValueError):
        return None


def _microjoules(text: str) -> int:
    return int(text.strip())


def meter(request: MeterRequest, *, root: Path = POWERCAP) -> RaplMeter:
    """Make the meter of this machine's CPU packages.

    Args:
        request: The study's needs.
        root: The kernel's folder with the power zones.

    Returns:
        The meter.

    Raises:
        InputError: The counters cannot be read, or the engines run on GPUs.
    """
    request.require_cpu("rapl")
    return RaplMeter(root, clock=request.clock)
