"""The objective ``input_tokens``: the number of tokens that models read."""

from __future__ import annotations

from typing import Final

from ._base import Objective
from ._columns import PerCall
from ._statistics import Mean

OBJECTIVES: Final = (
    Objective(
        name="input_tokens",
        meaning="Prompt tokens per example, cached ones included.",
        column=PerCall(name="input_tokens", of=lambda call: call.input_tokens),
        statistic=Mean(),
        remedy="the engine did not count tokens; use the objective calls, or an engine that counts tokens",
        of_agent=lambda share: share.input_tokens,
    ),
)
