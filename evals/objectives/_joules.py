"""The common parts of objectives that are computed from joules."""

from __future__ import annotations

from typing import Final

from orkester.evals.footprint import Footprint
from orkester.evals.records.block import Block

from ._columns import PerBlock

#: What the user can do when there are no joules.
NO_JOULES: Final = "orkester doctor says which meters there are and what they need; then tune in a new run directory"


def joules(block: Block, footprint: Footprint | None = None) -> float | None:
    """The joules of a block, the sum of all domains.

    Args:
        block: The block.
        footprint: Not used.

    Returns:
        Joules; None where they are unavailable.
    """
    del footprint
    return None if block.energy_j is None else sum(block.energy_j.values())


#: The joules of each block.
JOULES: Final = PerBlock(name="energy_j", total=joules)
