"""Adding up what servers count of calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from .block import Call


def is_counted(calls: Sequence[Call], count: Callable[[Call], int | None]) -> bool:
    """Whether there is a sum: one answer that was not counted would make it too small."""
    if None not in map(count, calls):
        return any(call.failure is None for call in calls)
    answered = [call for call in calls if call.failure is None]
    return bool(answered) and None not in map(count, answered)


def sum_known(counts: Iterable[int | None]) -> int:
    """The sum of the counts that there are."""
    return sum(filter(None, counts))
