"""Whose confirmation goes on: the team whose membership of the front is least clear."""

from __future__ import annotations

import math
from collections.abc import Mapping

from orkester.evals.stats.intervals import MIN_BLOCKS
from orkester.evals.stats.rows import Rows
from orkester.optim.goals.front_probability import CLEAR


def next_block(
    rows: Mapping[str, Rows],
    probability: Mapping[str, float],
    blocks_left: Mapping[str, int],
    cost: Mapping[str, float],
) -> str | None:
    """The team whose confirmation is to be extended by a block; None when the order is clear or examples are used up.

    First those that have too little for a spread (nothing at all, or fewer than three metered blocks), then
    the team whose membership is least clear, the cheaper of two. Where no unclear team has examples left, the
    likely members they are compared with go on. One that is clearly off the front then never does.

    Args:
        rows: so far, by team; one that has none yet is absent.
        probability: see ``front_probability``; by every team that is being confirmed.
        blocks_left: blocks of held-out examples that each has not seen.
        cost: of a block of it, in whatever the budget is in.
    """
    able = [team for team in probability if blocks_left.get(team, 0) > 0]
    low, high = CLEAR

    def begun(team: str) -> int:
        each = rows.get(team)
        return 0 if each is None else len(each.block_sizes) if each.block_sizes else MIN_BLOCKS

    # Even those that look clearly beaten: without a spread of their joules they look clearer than they are.
    thin = [team for team in able if begun(team) < MIN_BLOCKS]
    if thin:
        return min(thin, key=lambda team: (begun(team), cost.get(team, math.inf)))
    if all(not low < p < high for p in probability.values()):
        return None
    unclear = [team for team in able if low < probability[team] < high]
    likely = [team for team in able if probability[team] >= high]

    def order(team: str) -> tuple[float, float]:
        # Those about as unclear are taken as alike, and there the cost decides.
        return round(abs(probability[team] - 0.5), 1), cost.get(team, math.inf)

    return min(unclear or likely, key=order, default=None)
