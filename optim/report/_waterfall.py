"""A chart of the model calls of one example over time, as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from orkester.evals.records.block import Block, Call, ExampleResult

from ._numbers import number

_WIDTH, _NAMES, _ROW, _RIGHT = 340, 108, 17, 6
_MOST_ROWS = 24
_LONGEST = 16  # characters beside a bar


def typical(blocks: Sequence[Block]) -> ExampleResult | None:
    """The answered example with the median latency (the lower one of two medians); None if none was answered."""
    answered = [e for block in blocks for e in block.examples if e.failure is None and e.calls]
    return sorted(answered, key=lambda example: example.latency_s)[(len(answered) - 1) // 2] if answered else None


def waterfall(example: ExampleResult) -> str:
    """Draw an ``<svg>`` element with a bar for each call, on an axis from the submission to the answer."""
    shown = example.calls[:_MOST_ROWS]
    hidden = len(example.calls) - len(shown)
    end_s = max([example.latency_s, *(call.start_s + call.latency_s for call in shown)]) or 1.0
    scale = (_WIDTH - _NAMES - _RIGHT) / end_s
    height = (len(shown) + bool(hidden)) * _ROW + 20
    label = f"{len(example.calls)} model calls of example {escape(example.id, quote=True)} over time"
    parts = [
        f'<svg class="waterfall" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" role="img" aria-label="{label}">'
    ]
    for i, call in enumerate(shown):
        y = i * _ROW
        name = call.agent if len(call.agent) <= _LONGEST else call.agent[: _LONGEST - 1] + "…"
        tokens = f", {call.input_tokens} + {call.output_tokens} tokens" if call.output_tokens is not None else ""
        title = f"{call.agent} on {call.model}: {number(call.latency_s)} s from {number(call.start_s)} s{tokens}"
        parts.append(
            f"<g><title>{escape(title + _parts_text(call))}</title>"
            f'<text x="{_NAMES - 6}" y="{y + 12}" text-anchor="end">{escape(name)}</text>'
            f"{_bar(call, y, scale)}</g>"
        )
    if hidden:
        parts.append(f'<text x="{_NAMES}" y="{len(shown) * _ROW + 12}">and {hidden} more calls</text>')
    base = height - 18
    parts.append(
        f'<path d="M{_NAMES},0 V{base} H{_WIDTH - _RIGHT}"/><text x="{_NAMES}" y="{height - 4}">0</text>'
        f'<text x="{_WIDTH - _RIGHT}" y="{height - 4}" text-anchor="end">{number(end_s)} s</text></svg>'
    )
    return "".join(parts)


def has_parts(example: ExampleResult) -> bool:
    """Whether the server reported the parts of the time of a call."""
    return any(_parts(call) for call in example.calls[:_MOST_ROWS])


def _parts(call: Call) -> list[tuple[str, float]]:
    """The parts of the time of a call, in order and in seconds, if the server reported them."""
    known = (("queue", call.queue_s), ("prefill", call.ttft_s), ("decode", call.decode_s))
    return [(name, seconds) for name, seconds in known if seconds is not None]


def _parts_text(call: Call) -> str:
    words = {"queue": "in the queue", "prefill": "to the first token", "decode": "for the tokens after it"}
    return "".join(f"; {number(seconds)} s {words[name]}" for name, seconds in _parts(call))


def _bar(call: Call, y: int, scale: float) -> str:
    """Draw one bar, with a shade for each part. The parts end with the call; the time before them is mostly retries."""

    def rect(start_s: float, seconds: float, kind: str = "", least: float = 0.0) -> str:
        return (
            f'<rect{kind} x="{_NAMES + start_s * scale:.1f}" y="{y + 3}" width="{max(seconds * scale, least):.1f}" '
            f'height="{_ROW - 6}"/>'
        )

    if not (parts := _parts(call)):
        return rect(call.start_s, call.latency_s, least=1.0)
    drawn = [rect(call.start_s, call.latency_s, ' class="other"', 1.0)]
    left_s = call.latency_s
    for name, seconds in reversed(parts):
        shown_s = min(seconds, left_s)  # clocks differ, so a part is cut to its call
        left_s -= shown_s
        drawn.append(rect(call.start_s + left_s, shown_s, f' class="{name}"'))
    return "".join(drawn)
