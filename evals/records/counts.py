"""Sums of the tokens that servers counted for calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from .block import Call


def is_counted(calls: Sequence[Call], count: Callable[[Call], int | None]) -> bool:
    """Whether the count is known for every call, so that the sum is right.

    Calls that failed may lack a count.

    Args:
        calls: The calls.
        count: Returns the count of a call; None when the server did not count.
    """
    if None not in map(count, calls):
        return any(call.failure is None for call in calls)
    answered = [call for call in calls if call.failure is None]
    return bool(answered) and None not in map(count, answered)


def sum_known(counts: Iterable[int | None]) -> int:
    """The sum of the counts that are not None."""
    return sum(filter(None, counts))
