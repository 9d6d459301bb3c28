"""How many tokens models write."""

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
        remedy="the engine did not count tokens; take calls instead, or use an engine that counts",
        of_agent=lambda share: share.output_tokens,
    ),
)
