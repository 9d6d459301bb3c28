"""The meter for a machine without a usable meter: its energy is unavailable, which is not 0."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ._base import Limits, Reading


@dataclass(frozen=True)
class UnavailableMeter:
    """Records the reason why there are no joules.

    Attributes:
        reason: The reason, in words.
    """

    reason: str

    @property
    def method(self) -> str:
        """The label ``unavailable``."""
        return "unavailable"

    @property
    def assumptions(self) -> Mapping[str, object]:
        """The reason why there are no joules."""
        return {"reason": self.reason}

    @property
    def limits(self) -> Limits:
        """Limits of 0: there are no joules to check."""
        return Limits()

    def watch(self, domain: str, pids: tuple[int, ...]) -> None:
        """Do nothing."""

    def read(self) -> Reading | None:
        """Return None: energy is unavailable."""
        return None

    def close(self) -> None:
        """Do nothing."""
