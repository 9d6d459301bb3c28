"""What every energy meter offers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Counters at one moment. Both only ever grow.

    Attributes:
        time_s: the monotonic clock.
        energy_j: joules so far by domain (``engine:NAME``, ``orkester``, ``gpu:0``); differences mean something.
    """

    time_s: float
    energy_j: Mapping[str, float]


class Meter(Protocol):
    """Reads the energy of what a block uses.

    A meter that cannot measure says so by returning None from ``read``: unavailable is never 0.
    """

    @property
    def method(self) -> str:
        """The label every joule carries: ``nvml``, ``rapl``, ``estimate``, …; ``unavailable`` for none."""
        ...

    @property
    def assumptions(self) -> Mapping[str, object]:
        """What the numbers stand on; part of the record."""
        ...

    def watch(self, domain: str, pids: tuple[int, ...]) -> None:
        """Count these processes under ``domain`` from now on; calling again replaces them."""
        ...

    def read(self) -> Reading | None:
        """The counters now, or None when they cannot be had."""
        ...
