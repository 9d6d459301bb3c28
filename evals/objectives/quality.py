"""The objective ``quality``: the mean score."""

from __future__ import annotations

from typing import Final

from ._base import Objective
from ._columns import SCORE
from ._statistics import Share

QUALITY: Final = Objective(
    name="quality",
    direction="maximize",
    meaning="Mean score of the examples; a failed example scores 0.",
    column=SCORE,
    statistic=Share(),
)

OBJECTIVES: Final = (QUALITY,)
