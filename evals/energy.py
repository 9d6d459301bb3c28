"""A block's joules: shared among its calls, and as rows of the energy table that joins the trace."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from orkester.serving.energy import Window
from orkester.serving.energy.attribution import Attribution, Coefficients, Request, attribute
from orkester.telemetry import attributes as names

from .block import Block, Call, ExampleResult


@dataclass(frozen=True, kw_only=True)
class Timed:
    """An example's result with when it was submitted.

    Attributes:
        result: the example, its calls' times counted from its submission.
        submitted_s: on the meter's clock.
        taken_s: from then until it was over, however it ended.
    """

    result: ExampleResult
    submitted_s: float
    taken_s: float = 0.0


def shared(
    examples: Sequence[Timed],
    measured: Window,
    *,
    idle_w: Mapping[str, float] | None,
    coefficients: Mapping[str, Coefficients],
    refresh_s: float = 0.0,
) -> tuple[tuple[ExampleResult, ...], Attribution | None]:
    """Share a window's joules among the calls made in it, failed ones included.

    Args:
        examples: in their order.
        measured: the window.
        idle_w: idle watts by domain; None when not known.
        coefficients: what steps and tokens cost, by the models' names, for those that are calibrated.
        refresh_s: how often the meter's counters move, in seconds.

    Returns:
        The examples, each call with its share, and where the rest went; None and the examples as they were when there
        are no joules.
    """
    if measured.energy_j is None:
        return tuple(each.result for each in examples), None
    found = attribute(
        measured.readings,
        [
            _request(call, each.submitted_s, f"{i}.{k}")
            for i, each in enumerate(examples)
            for k, call in enumerate(each.result.calls)
        ],
        idle_w=idle_w or {},
        coefficients=coefficients,
        refresh_s=refresh_s,
    )
    results = tuple(
        replace(
            each.result,
            calls=tuple(
                replace(call, energy_j=found.requests_j.get(f"{i}.{k}", 0.0))
                for k, call in enumerate(each.result.calls)
            ),
        )
        for i, each in enumerate(examples)
    )
    return results, found


def _request(call: Call, submitted_s: float, name: str) -> Request:
    """When the engine worked on a call, as far as that is known.

    Where there was more than one try, the server's times are of the last; the tries before it are counted as time at
    work, for they were, or may have been.
    """
    start_s = submitted_s + call.start_s
    end_s = start_s + call.latency_s
    first_token_s = None
    if call.ttft_s is not None and call.decode_s is not None:
        begun_s = start_s + (call.queue_s or 0.0) if call.attempts == 1 else start_s
        first_token_s = max(begun_s, end_s - call.decode_s)
        if call.attempts == 1:
            # What is left of the call's time went by before and after the engine had it.
            first_token_s = min(first_token_s, begun_s + call.ttft_s)
            start_s, end_s = begun_s, min(end_s, first_token_s + call.decode_s)
    uncached = None if call.input_tokens is None else max(0, call.input_tokens - (call.cached_tokens or 0))
    return Request(
        id=name,
        engine=call.model,
        start_s=start_s,
        end_s=end_s,
        first_token_s=first_token_s,
        prompt_tokens=uncached,
        cached_tokens=call.cached_tokens or 0,
        output_tokens=call.output_tokens,
    )


def energy_table(block: Block) -> Iterator[dict[str, object]]:
    """The block's rows: its devices' totals, then a row for each call that has a span.

    Totals are what OpenTelemetry calls ``hw.energy``, with ``hw.id`` and ``hw.type``; calls' shares join the trace by
    ``trace_id`` and ``span_id``. Shares, ``idle`` and ``unattributed`` add up to the totals.
    """
    labels = {"method": block.energy_method, "block": [block.team, block.phase, block.index], "at": block.started_at}
    if block.energy_j is None:
        return
    for domain, joules in block.energy_j.items():
        kind = domain.split(":")[0]
        yield {
            "name": names.HW_ENERGY,
            names.HW_ID: domain,
            names.HW_TYPE: kind if kind in {"gpu", "cpu"} else "memory" if kind == "dram" else "process",
            "energy_j": joules,
            **labels,
        }
    total_j = sum(block.energy_j.values())
    error = block.energy_error_j / total_j if total_j else 0.0
    for scope, part_j in (("idle", block.energy_idle_j), ("unattributed", block.energy_unattributed_j)):
        if part_j is not None:
            yield {"name": names.ENERGY_J, "scope": scope, "energy_j": part_j, **labels}
    for example in block.examples:
        for call in example.calls:
            if call.energy_j is not None and call.span_id is not None:
                yield {
                    "name": names.ENERGY_J,
                    "scope": "chat",
                    "trace_id": example.trace_id,
                    "span_id": call.span_id,
                    "agent": call.agent,
                    "model": call.model,
                    "energy_j": call.energy_j,
                    "meter_error_j": call.energy_j * error,
                    "attribution": block.attribution,
                    **labels,
                }
