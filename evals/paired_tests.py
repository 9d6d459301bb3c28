"""Racing: whether a team is beaten by another on shared examples, looked at after every block.

Two pieces. ``look_level`` says how small a p-value must be so that over all looks together an error has the probability
that was asked for. ``beaten_p`` is that p-value: of the claim that one team is better than the other in every
objective. A team is beaten only when every objective says so, each at the whole level: the error of an
intersection-union test is that of its weakest part, so there is nothing to divide among objectives (Berger,
"Multiparameter Hypothesis Testing and Acceptance Sampling", Technometrics 24, 1982).

What the test of each kind of objective is stands in ``orkester.evals.objectives._statistics``.

What cannot be had: p95 needs some 120 examples before it shows anything at these levels (``examples_needed``), and no
method knows of a slow example that occurs in 3 % of them before it has occurred. A paired t of log ratios would decide
sooner, but compares geometric means: where one team is a cascade of the same median it erred in 40 % of simulated
cases with 16 examples and in all with 64. tests/evals/test_paired_tests.py records how often each test errs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from scipy.special import ndtri

from .objectives import Direction, objective
from .stats.intervals import Floats
from .stats.rows import Rows

# -- error over the looks ---------------------------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def look_level(alpha: float, looks: int, members: int = 1) -> float:
    """Level of each single test so that a team is wrongly called beaten at any look with probability ``alpha``.

    Over the looks Pocock's constant boundary (Biometrika 64, 1977), its level found by the recursive integration of
    Armitage, McPherson and Rowe (JRSS A 132, 1969): looks at growing data are so alike that eight of them need a level
    of about α/4 and not α/8. Constant, because most teams of a search are beaten early or never. It rests on the normal
    approximation and equal blocks; the tests used with it are mostly conservative, and simulations stay below.
    Over members Bonferroni: each may wrongly beat the team, and the one that does was not chosen beforehand.

    Args:
        alpha: over all looks and members.
        looks: how many there can be, that is blocks of a whole measurement.
        members: against how many the team is tested.

    Raises:
        ValueError: unless 0 < alpha < 0.5 and looks and members are at least 1.
    """
    if not 0 < alpha < 0.5 or looks < 1 or members < 1:
        raise ValueError(
            "0 < alpha < 0.5, looks >= 1 and members >= 1 must hold, "
            f"but got alpha={alpha}, looks={looks}, members={members}"
        )
    each = alpha / members
    low, high = each / looks, each  # Bonferroni is too small, no correction too large
    for _ in range(40):
        middle = math.sqrt(low * high)
        if _ever_crosses(-float(ndtri(middle)), looks) > each:
            high = middle
        else:
            low = middle
        if high / low < 1.0001:
            break
    return low


def _ever_crosses(boundary: float, looks: int) -> float:
    """Probability that a standardised sum of equal normal parts is ever over the boundary."""
    nodes, weights = np.polynomial.legendre.leggauss(64)
    stays = 1.0
    density: Floats = np.empty(0)
    before: Floats = np.empty(0)
    for look in range(1, looks + 1):
        low, high = -7.0 * math.sqrt(look), boundary * math.sqrt(look)
        points = low + (high - low) * (nodes + 1) / 2
        if look == 1:
            values = np.exp(-points * points / 2) / math.sqrt(2 * math.pi)
        else:
            values = np.exp(-((points[:, None] - before) ** 2) / 2) @ density / math.sqrt(2 * math.pi)
        density, before = values * weights * (high - low) / 2, points
        stays = float(density.sum())
    return 1.0 - stays


# -- one team against another -----------------------------------------------------------------------------------------


def dominated(
    candidate: Rows,
    members: Sequence[Rows],
    objectives: Mapping[str, Direction],
    *,
    level: float,
    margins: Mapping[str, float] | None = None,
) -> int | None:
    """Which member beats the candidate in every objective, surely enough; None when none does.

    Args:
        candidate, members: the same examples in the same order, the shorter one a beginning of the longer.
        objectives: direction by name.
        level: of one test, see ``look_level``, to which the number of members must have been told.
        margins: see ``beaten_p``.

    Raises:
        InputError, ValueError: see ``beaten_p``.
    """
    for index, member in enumerate(members):
        if beaten_p(candidate, member, objectives, margins=margins, enough=level) <= level:
            return index
    return None


def beaten_p(
    candidate: Rows,
    member: Rows,
    objectives: Mapping[str, Direction],
    *,
    margins: Mapping[str, float] | None = None,
    enough: float = 1.0,
) -> float:
    """p-value of the claim that the member is better in every objective: the largest of theirs.

    Args:
        candidate, member: see ``dominated``.
        objectives: direction by name. One that only one of them has, or none, is never shown: 1.
        margins: by how much the member may be worse and still count as better, by objective: an amount for shares, a
            fraction for the rest. Without one, two teams of equal quality never beat each other.
        enough: above it the exact number is of no interest, and the first objective that exceeds it ends the search.

    Raises:
        InputError: an unknown objective.
        ValueError: a margin below 0.
    """
    given = margins or {}
    worst, proven = 0.0, False
    for each in sorted(map(objective, objectives), key=lambda each: each.statistic.effort):
        margin = given.get(each.name, 0.0)
        if margin < 0:
            raise ValueError(f"a margin must not be below 0, but {each.name} has {margin}")
        p = each.paired_p(candidate, member, objectives[each.name], margin=margin, enough=enough)
        if p is None:  # equal counts
            continue
        proven, worst = True, max(worst, p)
        if worst > enough:
            break
    return worst if proven else 1.0


# -- one team alone ---------------------------------------------------------------------------------------------------


def optimistic(rows: Rows, name: str, direction: Direction, level: float) -> float | None:
    """The best that an objective may still be, wrong with probability ``level``; None where there is no such bound.

    A positive quantity has no upper bound, so only ``minimize`` has one for it.

    Raises:
        InputError: an unknown objective.
        ValueError: a level outside (0, 0.5).
    """
    known = objective(name)
    if not 0 < level < 0.5:
        raise ValueError(f"0 < level < 0.5 must hold, but got {level}")
    return known.optimistic(rows, direction, level)


def examples_needed(name: str, level: float) -> int:
    """Shared examples, all in the member's favour, before an objective can be shown at that level; at best.

    Raises:
        InputError: an unknown objective.
    """
    return objective(name).statistic.examples_needed(level)
