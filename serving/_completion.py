"""Reads a chat completion: its text, its token counts, and the times that the server reports."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from orkester.errors import CallFailed

from .chat import Reply
from .thinking import server_thought, with_answer_only

#: Where a server reports its times, in milliseconds. The key is the name of an object in the server's reply; the value
#: maps each time field of ``Reply`` to an entry of that object. vLLM (with --enable-per-request-metrics) measures the
#: time to the first token from the moment when the request leaves its queue. llama.cpp measures the time for the
#: prompt, which ends with the first token, and has no queue.
_TIME_FIELDS: Mapping[str, Mapping[str, str]] = {
    "metrics": {"queue_s": "queue_time_ms", "ttft_s": "time_to_first_token_ms", "decode_s": "generation_time_ms"},
    "timings": {"ttft_s": "prompt_ms", "decode_s": "predicted_ms"},
}


def parse_completion(completion: object, latency_s: float, attempts: int) -> Reply:
    """Convert a chat completion to a ``Reply``.

    Args:
        completion: The completion as parsed JSON.
        latency_s: The seconds from the first attempt to this completion.
        attempts: The number of attempts that were made.

    Returns:
        The reply.

    Raises:
        CallFailed: The completion has no text, or its token counts are impossible. An empty answer is a failure
            because it must not count as a very fast answer. It is none when the tokens were used: for a thought, or
            up to the limit of tokens. The reply then has no answer.
    """
    choices = _get(completion, "choices")
    if not isinstance(choices, list) or not choices:
        raise CallFailed("bad reply", "the reply has no choices", attempts)
    message = _get(choices[0], "message")
    reason = _get(choices[0], "finish_reason")
    thought = server_thought(message)
    content = _get(message, "content")
    if content is None and (thought or reason == "length"):
        content = ""
    if not isinstance(content, str):
        raise CallFailed("bad reply", f"the reply's content is {type(content).__name__}, not text", attempts)
    usage = _get(completion, "usage")
    times = _times(completion)
    reply = Reply(
        text=content.strip(),
        input_tokens=_count(usage, "prompt_tokens", attempts),
        output_tokens=_count(usage, "completion_tokens", attempts),
        cached_tokens=_count(_get(usage, "prompt_tokens_details"), "cached_tokens", attempts),
        latency_s=latency_s,
        attempts=attempts,
        finish_reason=reason if isinstance(reason, str) else None,
        queue_s=times.get("queue_s"),
        ttft_s=times.get("ttft_s"),
        decode_s=times.get("decode_s"),
    )
    reasoning_tokens = _get(_get(usage, "completion_tokens_details"), "reasoning_tokens")
    reply = with_answer_only(reply, apart=thought, reasoning_tokens=reasoning_tokens)
    if not reply.text and not reply.thought and reason != "length":
        raise CallFailed("empty answer", "the model's reply has no text", attempts)
    return reply


def _get(value: object, key: str) -> object:
    """An entry of a JSON object; None if the entry is missing or the value is not an object."""
    return value.get(key) if isinstance(value, dict) else None


def _count(usage: object, name: str, attempts: int) -> int | None:
    """A token count; None if the server does not report it.

    Raises:
        CallFailed: The value is not a count. If a server reports an impossible count, its reply is not trusted at all.
    """
    value = _get(usage, name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        shown = str(value) if isinstance(value, int | float) else type(value).__name__
        raise CallFailed("bad reply", f"the reply's usage has {name} {shown}", attempts)
    return value


def _times(completion: object) -> Mapping[str, float | None]:
    """The times that the server reports. Impossible values are ignored: they are no reason to lose an answer."""
    for object_name, entries in _TIME_FIELDS.items():
        server_times = _get(completion, object_name)
        if isinstance(server_times, dict):
            return {field: _seconds(server_times.get(entry)) for field, entry in entries.items()}
    return {}


def _seconds(ms: object) -> float | None:
    """Milliseconds converted to seconds; None if the value is not a duration."""
    if not isinstance(ms, int | float) or isinstance(ms, bool) or not 0 <= ms <= sys.float_info.max:
        return None
    return ms / 1000
