"""What is read of a chat completion: its text, its tokens, and what the server says of its time."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from orkester.errors import CallFailed

from .chat import Reply

#: Where a server says how long it took, in milliseconds: the object in its reply, and in that object the entry of each
#: of ours. vLLM (with --enable-per-request-metrics) counts the first token from when it took the request out of its
#: queue; llama.cpp counts the prompt, at whose end it has the first token, and knows no queue.
_TIMES: Mapping[str, Mapping[str, str]] = {
    "metrics": {"queue_s": "queue_time_ms", "ttft_s": "time_to_first_token_ms", "decode_s": "generation_time_ms"},
    "timings": {"ttft_s": "prompt_ms", "decode_s": "predicted_ms"},
}


def reply_of(completion: object, latency_s: float, attempts: int) -> Reply:
    """A chat completion, as parsed JSON, as a Reply.

    Raises:
        CallFailed: it has no text, since an answer that is not there must not pass for a quick one; or its token counts
            cannot be.
    """
    choices = _get(completion, "choices")
    if not isinstance(choices, list) or not choices:
        raise CallFailed("bad reply", "the reply has no choices", attempts)
    content = _get(_get(choices[0], "message"), "content")
    if not isinstance(content, str):
        raise CallFailed("bad reply", f"the reply's content is {type(content).__name__}, not text", attempts)
    text = content.strip()
    if not text:
        raise CallFailed("empty answer", "the model said nothing", attempts)
    usage = _get(completion, "usage")
    return Reply(
        text=text,
        input_tokens=_count(usage, "prompt_tokens", attempts),
        output_tokens=_count(usage, "completion_tokens", attempts),
        cached_tokens=_count(_get(usage, "prompt_tokens_details"), "cached_tokens", attempts),
        latency_s=latency_s,
        attempts=attempts,
        finish_reason=reason if isinstance(reason := _get(choices[0], "finish_reason"), str) else None,
        **_times(completion),
    )


def _get(value: object, key: str) -> object:
    """An entry of a JSON object; None where it is absent, or the value is no object."""
    return value.get(key) if isinstance(value, dict) else None


def _count(usage: object, name: str, attempts: int) -> int | None:
    """A token count; None when the server does not count.

    Raises:
        CallFailed: it is no count. A server that says nonsense about one thing is not believed about another.
    """
    value = _get(usage, name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        shown = str(value) if isinstance(value, int | float) else type(value).__name__
        raise CallFailed("bad reply", f"the reply's usage has {name} {shown}", attempts)
    return value


def _times(completion: object) -> Mapping[str, float | None]:
    """How long the server says it took. Nonsense is passed over: it is detail, and no reason to lose an answer."""
    for where, entries in _TIMES.items():
        said = _get(completion, where)
        if isinstance(said, dict):
            return {name: _seconds(said.get(entry)) for name, entry in entries.items()}
    return {}


def _seconds(ms: object) -> float | None:
    """Milliseconds as seconds; None for what is no duration."""
    if not isinstance(ms, int | float) or isinstance(ms, bool) or not 0 <= ms <= sys.float_info.max:
        return None
    return ms / 1000
