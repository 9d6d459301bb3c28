"""Who holds how much of the memory that engines share."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from .engines import Footprint

Holder = TypeVar("Holder", bound=Hashable)


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """Memory that a study's engines may use together.

    Attributes:
        device_bytes: of each accelerator; None where there is none, or nobody knows.
        host_bytes: of this machine's memory; None where nobody knows.
    """

    device_bytes: int | None = None
    host_bytes: int | None = None

    def holds(self, device_bytes: int, host_bytes: int) -> bool:
        """Whether so much would fit."""
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
class Ledger(Generic[Holder]):
    """What is held, by holder: as much as was said beforehand, so that it holds for what still grows.

    Attributes:
        capacity: what there is.
    """

    capacity: Capacity
    _entries: dict[Holder, _Entry] = field(default_factory=dict)

    def hold(self, holder: Holder, footprint: Footprint, *, asleep: bool = False) -> None:
        """Enter a holder, or what it holds now."""
        self._entries[holder] = _Entry(footprint, asleep)

    def release(self, holder: Holder) -> None:
        """Strike it out, if it is there."""
        self._entries.pop(holder, None)

    def room_for(self, footprints: Iterable[Footprint], *, without: Iterable[Holder] = ()) -> bool:
        """Whether these fit beside what is held, ``without`` aside."""
        aside = set(without)
        held = [entry for holder, entry in self._entries.items() if holder not in aside]
        wanted = list(footprints)
        return self.capacity.holds(
            sum(entry.device_bytes for entry in held) + sum(each.device_bytes for each in wanted),
            sum(entry.host_bytes for entry in held) + sum(each.host_bytes for each in wanted),
        )

    def could_sleep(self, holder: Holder) -> bool:
        """Whether the holder can sleep, and the host's memory holds what it then keeps there."""
        entry = self._entries[holder]
        if entry.footprint.asleep_device_bytes is None or self.capacity.host_bytes is None:
            return entry.footprint.asleep_device_bytes is not None
        host_bytes = sum(each.host_bytes for other, each in self._entries.items() if other != holder)
        return host_bytes + entry.footprint.asleep_host_bytes <= self.capacity.host_bytes

    def lacking(self, footprints: Iterable[Footprint]) -> str:
        """What these need together against what there is, in words; empty when they would fit into an empty machine."""
        wanted = list(footprints)
        device_bytes = sum(each.device_bytes for each in wanted)
        host_bytes = sum(each.host_bytes for each in wanted)
        for what, needed, there in (
            ("GPU memory", device_bytes, self.capacity.device_bytes),
            ("memory", host_bytes, self.capacity.host_bytes),
        ):
            if there is not None and needed > there:
                parts: dict[str, int] = {}
                for each in wanted:
                    for name, size in each.parts.items():
                        parts[name] = parts.get(name, 0) + size
                made_of = ", ".join(f"{name} {gib(size)}" for name, size in parts.items())
                return f"{gib(needed)} of {what} needed{f' ({made_of})' if parts else ''}, {gib(there)} there"
        return ""


def gib(size_bytes: int) -> str:
    """``3.1 GiB``."""
    return f"{size_bytes / 2**30:.1f} GiB"
