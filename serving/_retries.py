"""When a request to an endpoint is sent again: after which answers, how often, and how long later."""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeVar

from orkester.errors import CallFailed

from .server_words import message_in, server_words, shortened

#: The most attempts of one call, the first one included.
MAX_ATTEMPTS: Final = 4
#: The wait before a retry is drawn at random between 0 and a limit. The limit starts at ``FIRST_WAIT_S`` and doubles
#: with each retry up to ``LONGEST_WAIT_S``. So callers that failed at the same time do not retry at the same time
#: ("full jitter": Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
FIRST_WAIT_S: Final = 0.25
LONGEST_WAIT_S: Final = 8.0
#: HTTP statuses below 500 that say nothing about the request itself: timeout, conflict, too early, too many requests.
_TEMPORARY: Final = frozenset({408, 409, 425, 429})
#: The kinds of failure in which a server may refuse a parameter.
REFUSALS: Final = frozenset({"http 400", "http 422"})
#: The codes of errors with status 429 that waiting does not end.
_NO_CREDIT: Final = frozenset({"insufficient_quota", "billing_hard_limit_reached", "insufficient_credits"})
_RESETS: Final = ("x-ratelimit-reset-requests", "x-ratelimit-reset-tokens")
_LONGEST_RESET_S: Final = 86_400.0
_ASKS_TO_WAIT: Final = re.compile(
    r"(?i)\b(?:retry|try again)\s+(?:after|in)\s+((?:\d+(?:\.\d+)?\s*"
    r"(?:ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hours?)?\s*)+)"
)
_DURATION: Final = re.compile(r"(?i)(\d+(?:\.\d+)?)\s*(ms|milliseconds?|seconds?|secs?|s|minutes?|mins?|m|hours?|h)?")
_UNIT_S: Final[Mapping[str, float]] = {"ms": 1e-3, "mil": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class HttpFault:
    """Why an attempt failed.

    Attributes:
        kind: The kind of failure; see ``CallFailed``.
        detail: The server's words, shortened and without secrets.
        temporary: Whether another attempt may succeed.
        retry_after_s: The seconds that the server asks to wait; 0 if it does not ask.
        note: What is wrong with the server's request to wait; empty if nothing is.
    """

    kind: str
    detail: str
    temporary: bool
    retry_after_s: float = 0.0
    note: str = ""


async def with_retries(
    attempt: Callable[[float], Awaitable[_T | HttpFault]],
    *,
    deadline_s: float,
    rng: random.Random,
    sleep: Callable[[float], Awaitable[None]],
    clock: Callable[[], float],
) -> tuple[_T, int]:
    """Make attempts until one succeeds, with at most ``MAX_ATTEMPTS`` attempts and never past the deadline.

    Args:
        attempt: Makes one attempt. Its argument is the number of seconds that are left.
        deadline_s: The time limit of all attempts and of the waits before them.
        rng: The random source for the waits.
        sleep: Waits for a number of seconds.
        clock: Monotonic seconds.

    Returns:
        The result of the last attempt, and the number of attempts.

    Raises:
        CallFailed: The last attempt failed.
    """
    start = clock()
    for number in range(1, MAX_ATTEMPTS + 1):
        outcome = await attempt(deadline_s - (clock() - start))
        if not isinstance(outcome, HttpFault):
            return outcome, number
        longest_wait_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** (number - 1))
        wait_s = max(outcome.retry_after_s, rng.uniform(0, longest_wait_s))
        remaining_s = deadline_s - (clock() - start)
        if not outcome.temporary or number == MAX_ATTEMPTS or wait_s >= remaining_s:
            notes = [outcome.note] if outcome.note else []
            if outcome.temporary and outcome.retry_after_s >= remaining_s:
                asked = f"{outcome.retry_after_s:,.0f} s" if math.isfinite(outcome.retry_after_s) else "without end"
                notes.append(f"the server asks to wait {asked}, and {max(0.0, remaining_s):.0f} s are left")
            detail = outcome.detail + (f" ({'; '.join(notes)})" if notes else "")
            raise CallFailed(outcome.kind, detail, number)
        await sleep(wait_s)
    raise AssertionError("the last attempt returns or raises")


def completion_or_fault(
    status: int, headers: Mapping[str, str], body: bytes, *, secrets: Iterable[str], now: Callable[[], datetime]
) -> Any:
    """Read an HTTP answer to the request of a completion.

    Some servers and gateways send their errors with status 200: as a JSON object, as a choice, or as an HTML page.

    Args:
        status: The HTTP status.
        headers: The HTTP headers; looked up without regard to case.
        body: The whole body.
        secrets: See ``without_secrets``.
        now: The wall clock, for a date in Retry-After.

    Returns:
        The completion as parsed JSON, which has at least one choice, or an ``HttpFault``.
    """
    secrets = tuple(secrets)
    if not 200 <= status < 300:
        return _http_fault(status, headers, body, secrets, now)
    try:
        completion = json.loads(body)
    except (ValueError, RecursionError):
        words = server_words(body, secrets)
        return HttpFault(
            kind="bad reply",
            detail=f"the reply is not JSON: {words}" if words else "the reply is empty",
            temporary=True,
        )
    choices = completion.get("choices") if isinstance(completion, Mapping) else None
    if isinstance(choices, list) and choices:
        first = choices[0] if isinstance(choices[0], Mapping) else {}
        error = first.get("error")
        if not error and first.get("finish_reason") != "error":
            return completion
    else:
        # {"object": "error", "message": …, "code": …} has the parts of the error at the top.
        error = completion.get("error") or completion if isinstance(completion, Mapping) else completion
    code = _status_in(error)
    if code is not None:
        inner = json.dumps({"error": error}).encode()
        return _http_fault(code, headers, inner, secrets, now)
    words = shortened(message_in(error), secrets)
    return HttpFault(kind="bad reply", detail=words or "the reply has no choice with an answer", temporary=True)


def retry_after_s(headers: Mapping[str, str], words: str, now: datetime) -> tuple[float, str]:
    """Find out how long the server asks the client to wait.

    Args:
        headers: The headers of the answer.
        words: The server's message, which may say "Please retry after 4 seconds".
        now: The time of this machine, for a date if the answer has no date of its own.

    Returns:
        Seconds, at least 0 and perhaps infinite; and a note about a value that makes no sense, empty if there is none.
    """
    note = ""
    ms = headers.get("retry-after-ms")
    if ms is not None and (wait_ms := _number(ms)) is not None:
        return wait_ms / 1000, ""
    text = headers.get("retry-after")
    if text is not None and text.strip():
        wait_s = _number(text)
        if wait_s is None:
            wait_s = _until(text, headers.get("date"), now)
        if wait_s is not None:
            return wait_s, ""
        note = f"the server's Retry-After is {shortened(text[:40])!r}, which is no time"
    if (asked := _ASKS_TO_WAIT.search(words)) is not None:
        return _duration_s(asked[1]), note
    resets = [_duration_s(value) for name in _RESETS if (value := headers.get(name)) is not None]
    # Some servers send a date in seconds here, which is far above the longest wait that makes sense.
    return min((reset_s for reset_s in resets if 0 < reset_s <= _LONGEST_RESET_S), default=0.0), note


def _http_fault(
    status: int, headers: Mapping[str, str], body: bytes, secrets: tuple[str, ...], now: Callable[[], datetime]
) -> HttpFault:
    words = server_words(body, secrets)
    temporary = status >= 500 or (status in _TEMPORARY and not _has_no_credit(body))
    wait_s, note = retry_after_s(headers, words, now()) if temporary else (0.0, "")
    return HttpFault(
        kind=f"http {status}", detail=words, temporary=temporary, retry_after_s=wait_s, note=shortened(note, secrets)
    )


def _status_in(error: object) -> int | None:
    """The HTTP status that an error names as its code."""
    if not isinstance(error, Mapping):
        return None
    for name in ("code", "status", "status_code", "statusCode"):
        value = error.get(name)
        if isinstance(value, str) and value.isascii() and value.isdigit():
            value = int(value[:4])
        if isinstance(value, int) and not isinstance(value, bool) and 400 <= value <= 599:
            return value
    return None


def _has_no_credit(body: bytes) -> bool:
    """Whether an error says that the account has no credit left."""
    try:
        error = json.loads(body)
    except (ValueError, RecursionError):
        return False
    error = error.get("error") if isinstance(error, Mapping) else None
    return isinstance(error, Mapping) and any(
        isinstance(value := error.get(name), str) and value in _NO_CREDIT for name in ("code", "type")
    )


def _number(text: str) -> float | None:
    """A number of at least 0, perhaps infinite; a negative one counts as 0. None if the text is no number."""
    try:
        value = float(text)
    except ValueError:
        return None
    return None if math.isnan(value) else max(0.0, value)


def _until(text: str, date: str | None, now: datetime) -> float | None:
    """The seconds until a date; 0 if it has passed. The server's own clock counts, if the answer has its time."""
    try:
        until = _date(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    try:
        start = _date(date) if date else now
    except (ValueError, TypeError, IndexError, OverflowError):
        start = now
    return max(0.0, (until - start).total_seconds())


def _date(text: str) -> datetime:
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        found = datetime.fromisoformat(text.strip())
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _duration_s(text: str) -> float:
    """The seconds of a duration such as ``4``, ``1m30s``, ``120ms`` or ``6 minutes``; 0 if it is none."""
    return sum(
        float(number) * _UNIT_S["mil" if unit.startswith("mil") else "ms" if unit == "ms" else unit[:1] or "s"]
        for number, unit in ((number, unit.lower()) for number, unit in _DURATION.findall(text))
    )
