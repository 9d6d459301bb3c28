"""The objective ``output_tokens``: the number of tokens that models generate."""

from __future__ import annotations

from typing import Final

from ._base import Objective
from ._columns import PerCall
from ._statistics import Mean

OBJECTIVES: Final = (
    Objective(
        name="output_tokens",
        meaning="Generated tokens per example.",
        column=PerCall(name="output_tokens", of=lambda call: call.output_tokens),
        statistic=Mean(),
        remedy="the engine did not count tokens; use the objective calls, or an engine that counts tokens",
        of_agent=lambda share: share.output_tokens,
    ),
)
