"""An objective: how many tokens models read and write."""

from __future__ import annotations

from orkester.evals.objectives import Mean, Objective, PerCall
from orkester.evals.records.block import Call


def _total(call: Call) -> int | None:
    if call.input_tokens is None or call.output_tokens is None:
        return None
    return call.input_tokens + call.output_tokens


total_tokens = Objective(
    name="total_tokens",
    unit="tokens",
    meaning="Tokens read and written, per example.",
    column=PerCall(name="total_tokens", of=_total),
    statistic=Mean(),
    remedy="serve the model with an engine that counts tokens",
)
