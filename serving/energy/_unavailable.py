"""No meter: joules are unavailable, which is not 0."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ._base import Limits, Reading


@dataclass(frozen=True)
class UnavailableMeter:
    """Says why there are no joules.

    Attributes:
        reason: for the record.
    """

    reason: str

    @property
    def method(self) -> str:
        """The label."""
        return "unavailable"

    @property
    def assumptions(self) -> Mapping[str, object]:
        """The reason."""
        return {"reason": self.reason}

    @property
    def limits(self) -> Limits:
        """None."""
        return Limits()

    def watch(self, domain: str, pids: tuple[int, ...]) -> None:
        """Nothing to watch."""

    def read(self) -> Reading | None:
        """Always None."""
        return None

    def close(self) -> None:
        """Nothing was opened."""
