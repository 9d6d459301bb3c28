"""Bookkeeping of the memory that engines share: how much each engine holds, and whether another one fits."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from .engines import Footprint

Holder = TypeVar("Holder", bound=Hashable)


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """The memory that a study's engines may use together.

    Attributes:
        device_bytes: The memory of each accelerator; None if there is no accelerator or its memory is unknown.
        host_bytes: The memory of this machine; None if it is unknown.
    """

    device_bytes: int | None = None
    host_bytes: int | None = None

    def holds(self, device_bytes: int, host_bytes: int) -> bool:
        """Check whether an amount of memory fits.

        Args:
            device_bytes: The memory needed on each accelerator.
            host_bytes: The memory needed on this machine.

        Returns:
            True if it fits. Memory of unknown size holds everything.
        """
        return (self.device_bytes is None or device_bytes <= self.device_bytes) and (
            self.host_bytes is None or host_bytes <= self.host_bytes
        )


@dataclass(frozen=True)
class _Entry:
    footprint: Footprint
    asleep: bool

    @property
    def device_bytes(self) -> int:
        return (self.footprint.asleep_device_bytes or 0) if self.asleep else self.footprint.device_bytes

    @property
    def host_bytes(self) -> int:
        return self.footprint.asleep_host_bytes if self.asleep else self.footprint.host_bytes


@dataclass
class MemoryLedger(Generic[Holder]):
    """The memory that each holder has reserved.

    An entry is the footprint that was computed before the engine started, not the memory that the engine uses now,
    because an engine may still grow.

    Attributes:
        capacity: The memory that all holders may use together.
    """

    capacity: Capacity
    _entries: dict[Holder, _Entry] = field(default_factory=dict)

    def hold(self, holder: Holder, footprint: Footprint, *, asleep: bool = False) -> None:
        """Add a holder, or replace its entry.

        Args:
            holder: The holder of the memory.
            footprint: The memory that the holder needs.
            asleep: Whether the holder sleeps, and so needs less memory.
        """
        self._entries[holder] = _Entry(footprint, asleep)

    def release(self, holder: Holder) -> None:
        """Remove a holder's entry, if there is one.

        Args:
            holder: The holder of the memory.
        """
        self._entries.pop(holder, None)

    def has_room_for(self, footprints: Iterable[Footprint], *, without: Iterable[Holder] = ()) -> bool:
        """Check whether more memory fits beside the memory that is reserved.

        Args:
            footprints: The memory that is needed.
            without: Holders that are not counted.

        Returns:
            True if it fits.
        """
        excluded = set(without)
        reserved = [entry for holder, entry in self._entries.items() if holder not in excluded]
        needed = list(footprints)
        return self.capacity.holds(
            sum(entry.device_bytes for entry in reserved) + sum(each.device_bytes for each in needed),
            sum(entry.host_bytes for entry in reserved) + sum(each.host_bytes for each in needed),
        )

    def can_sleep(self, holder: Holder) -> bool:
        """Check whether a holder is able to sleep, and the host has enough memory for it asleep.

        Args:
            holder: A holder with an entry.

        Returns:
            True if the holder can be put to sleep.
        """
        entry = self._entries[holder]
        if entry.footprint.asleep_device_bytes is None or self.capacity.host_bytes is None:
            return entry.footprint.asleep_device_bytes is not None
        host_bytes = sum(each.host_bytes for other, each in self._entries.items() if other != holder)
        return host_bytes + entry.footprint.asleep_host_bytes <= self.capacity.host_bytes

    def shortage(self, footprints: Iterable[Footprint]) -> str:
        """Describe why footprints do not fit into the capacity, even when nothing else is reserved.

        Args:
            footprints: The memory that is needed at the same time.

        Returns:
            The memory needed and the memory available, in words; empty if the footprints fit.
        """
        all_needed = list(footprints)
        device_bytes = sum(each.device_bytes for each in all_needed)
        host_bytes = sum(each.host_bytes for each in all_needed)
        for kind, needed, available in (
            ("GPU memory", device_bytes, self.capacity.device_bytes),
            ("memory", host_bytes, self.capacity.host_bytes),
        ):
            if available is not None and needed > available:
                parts: dict[str, int] = {}
                for each in all_needed:
                    for name, size in each.parts.items():
                        parts[name] = parts.get(name, 0) + size
                parts_text = ", ".join(f"{name} {gib(size)}" for name, size in parts.items())
                return (
                    f"{gib(needed)} of {kind} needed{f' ({parts_text})' if parts else ''}, {gib(available)} available"
                )
        return ""


def gib(size_bytes: int) -> str:
    """Format a size, such as ``3.1 GiB``.

    Args:
        size_bytes: Size in bytes.

    Returns:
        The size in GiB with one decimal place.
    """
    return f"{size_bytes / 2**30:.1f} GiB"
