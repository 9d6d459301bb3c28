"""What objectives that follow from joules have in common."""

from __future__ import annotations

from typing import Final

from orkester.evals.block import Block
from orkester.evals.footprint import Footprint

from ._columns import PerBlock

#: What to do where there are no joules.
NO_JOULES: Final = "orkester doctor says which meters there are and what they need; then tune in a new run directory"


def joules(block: Block, footprint: Footprint | None = None) -> float | None:
    """Joules of a block, all domains together; None where they are unavailable."""
    del footprint
    return None if block.energy_j is None else sum(block.energy_j.values())


#: Joules by block.
JOULES: Final = PerBlock(name="energy_j", total=joules)
