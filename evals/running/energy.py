"""The joules of a block: how they are shared among its calls, and the rows of the energy table beside the traces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from orkester.serving.energy import Window
from orkester.serving.energy.attribution import Attribution, Coefficients, Request, attribute
from orkester.telemetry import attributes as names

from ..records.block import Block, Call, ExampleResult


@dataclass(frozen=True, kw_only=True)
class TimedResult:
    """The result of an example, with the time of its submission.

    Attributes:
        result: The result. The times of its calls are counted from the submission.
        submitted_s: The time of submission, in seconds of the meter's clock.
        duration_s: Seconds from the submission to the answer or the failure.
    """

    result: ExampleResult
    submitted_s: float
    duration_s: float = 0.0


def share_energy(
    examples: Sequence[TimedResult],
    measured: Window,
    *,
    idle_w: Mapping[str, float] | None,
    coefficients: Mapping[str, Coefficients],
    refresh_s: float = 0.0,
) -> tuple[tuple[ExampleResult, ...], Attribution | None]:
    """Share the joules of a window among the calls in it. Failed calls get a share, too.

    Args:
        examples: The results, in order.
        measured: The window.
        idle_w: Idle watts by domain; None when they are not known.
        coefficients: What steps and tokens cost, by model name, for the models that are calibrated.
        refresh_s: Seconds between two updates of the meter's counters.

    Returns:
        The results, with a share for each call, and the attribution, which also has the joules of no call. When the
        window has no joules, the results as they are, and None.
    """
    if measured.energy_j is None:
        return tuple(each.result for each in examples), None
    attribution = attribute(
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
                replace(call, energy_j=attribution.requests_j.get(f"{i}.{k}", 0.0))
                for k, call in enumerate(each.result.calls)
            ),
        )
        for i, each in enumerate(examples)
    )
    return results, attribution


def _request(call: Call, submitted_s: float, name: str) -> Request:
    """The times at which the engine worked on a call, as far as they are known.

    When a call needed more than one try, the server's times are those of the last try. The time of the earlier tries
    counts as time in which the engine worked, because it may have done so.
    """
    start_s = submitted_s + call.start_s
    end_s = start_s + call.latency_s
    first_token_s = None
    if call.ttft_s is not None and call.decode_s is not None:
        work_start_s = start_s + (call.queue_s or 0.0) if call.attempts == 1 else start_s
        first_token_s = max(work_start_s, end_s - call.decode_s)
        if call.attempts == 1:
            # The rest of the call's time passed before the engine began, or after it ended.
            first_token_s = min(first_token_s, work_start_s + call.ttft_s)
            start_s, end_s = work_start_s, min(end_s, first_token_s + call.decode_s)
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
    """The rows of a block in the energy table: the totals of the devices, then a row for each call that has a span.

    The totals follow the OpenTelemetry metric ``hw.energy``, with ``hw.id`` and ``hw.type``. A call's row belongs to
    the span with its ``trace_id`` and ``span_id``. The rows of calls, ``idle`` and ``unattributed`` add up to the
    totals.

    Args:
        block: The block.

    Yields:
        The rows, by column name. There are none when the block has no joules.
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
