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

#: No call has more tokens than this.
_MAX_COUNT = 10**12


def parse_completion(completion: object, latency_s: float, attempts: int) -> Reply:
    """Convert a chat completion to a ``Reply``.

    Args:
        completion: The completion as parsed JSON.
        latency_s: The seconds from the first attempt to this completion.
        attempts: The number of attempts that were made.

    Returns:
        The reply.

    Raises:
        CallFailed: The completion has no text. An empty answer is a failure because it must not count as a very fast
            answer. It is none when the tokens were used: for a thought, or up to the limit of tokens. The reply then
            has no answer.
    """
    choices = _get(completion, "choices")
    if not isinstance(choices, list) or not choices:
        raise CallFailed("bad reply", "the reply has no choices", attempts)
    choice = next((each for each in choices if _get(each, "index") == 0), choices[0])
    message, reason = _get(choice, "message"), _get(choice, "finish_reason")
    thought = server_thought(message)
    content = _text_in(_get(message, "content"))
    if content is None and isinstance(refusal := _get(message, "refusal"), str):
        content = refusal  # a model that refuses has answered, only not the question
    if content is None and _get(message, "content") is not None:
        kind = type(_get(message, "content")).__name__
        raise CallFailed("bad reply", f"the reply's content is {kind}, not text", attempts)
    why_empty = _why_empty(choice, message)
    if content is None and not (thought or reason == "length" or why_empty):
        raise CallFailed("bad reply", "the reply has no content", attempts)
    text = (content or "").strip()
    usage, times = _get(completion, "usage"), _times(completion)
    output_tokens = _count(usage, "completion_tokens")
    reply = Reply(
        text=text,
        # A server that counts no token of a text that is there has not counted.
        input_tokens=_count(usage, "prompt_tokens") or None,
        output_tokens=(output_tokens or None) if text else output_tokens,
        cached_tokens=_count(_get(usage, "prompt_tokens_details"), "cached_tokens"),
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
        raise CallFailed("empty answer", why_empty or "the model's reply has no text", attempts)
    return reply


def _text_in(content: object) -> str | None:
    """The text of a reply's content: text, or a list of parts. None if it is neither.

    Parts that are not text, such as thoughts and images, are left out.
    """
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return None
    texts = []
    for part in content:
        if not isinstance(part, dict):
            return None
        if _get(part, "type") in {"text", "output_text", None}:
            text = _get(part, "text")
            text = _get(text, "value") if isinstance(text, dict) else text  # the form of OpenAI's assistants
            if not isinstance(text, str):
                return None
            texts.append(text)
    return "".join(texts)


def _why_empty(choice: object, message: object) -> str:
    """Why a reply has no text; empty if the server does not say it."""
    if _get(message, "tool_calls"):
        return "the model's reply is a call of a tool and no text"
    filtered = _get(choice, "finish_reason") == "content_filter"
    return "the server's content filter removed the reply" if filtered else ""


def _get(value: object, key: str) -> object:
    """An entry of a JSON object; None if the entry is missing or the value is not an object."""
    return value.get(key) if isinstance(value, dict) else None


def _count(usage: object, name: str) -> int | None:
    """A token count, also from a server that writes it as a decimal number or as text.

    None if the server does not report it, or reports what cannot be a count: the answer is right all the same.
    """
    value = _get(usage, name)
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MAX_COUNT:
        return None
    return int(value) if value == int(value) else None


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
