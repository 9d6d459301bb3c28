"""Paired tests for racing: after every block, they decide whether one team is beaten by another on shared examples.

There are two parts. ``beaten_p`` is the p-value of the claim that one team is better than the other in every objective.
``look_level`` is the level for this p-value with which the probability of an error over all looks has the given value.
A team is beaten only when the tests of all objectives show it, each at the whole level. The error of such an
intersection-union test is that of its weakest part, so the level is not divided among the objectives (Berger,
"Multiparameter Hypothesis Testing and Acceptance Sampling", Technometrics 24, 1982).

``orkester.evals.objectives._statistics`` describes the test for each kind of objective.

The tests have limits. A p95 needs about 120 examples before a test can show anything at these levels
(``examples_needed``), and no method knows of a kind of slow example that is 3 % of all examples before it has occurred.
A paired t of log ratios would decide earlier, but it compares geometric means: when one team is a cascade with the same
median, it was wrong in 40 % of simulated cases with 16 examples, and in all cases with 64.
tests/evals/test_paired_tests.py records how often each test is wrong.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from scipy.special import ndtri

from ..objectives import Direction, objective
from ..stats.intervals import Floats
from ..stats.rows import Rows

# -- error over the looks ---------------------------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def look_level(alpha: float, looks: int, members: int = 1) -> float:
    """The level of a single test with which a team is wrongly found beaten, at any look, with probability ``alpha``.

    For the looks, it uses Pocock's constant boundary (Biometrika 64, 1977), computed by the recursive integration of
    Armitage, McPherson and Rowe (JRSS A 132, 1969). Looks at growing data are strongly correlated, so eight looks need
    a level of about α/4 and not α/8. The boundary is constant because most teams are beaten early or never. It assumes
    normal distributions and blocks of equal size; the tests used with it are mostly conservative, and in simulations
    the error stays below ``alpha``. For several members, it uses Bonferroni's correction.

    Args:
        alpha: The probability of an error over all looks and members.
        looks: The maximum number of looks, which is the number of blocks of a complete measurement.
        members: The number of members that the team is compared with.

    Raises:
        ValueError: alpha is not between 0 and 0.5, or looks or members are below 1.
    """
    if not 0 < alpha < 0.5 or looks < 1 or members < 1:
        raise ValueError(
            "0 < alpha < 0.5, looks >= 1 and members >= 1 must hold, "
            f"but got alpha={alpha}, looks={looks}, members={members}"
        )
    member_alpha = alpha / members
    low, high = member_alpha / looks, member_alpha  # Bonferroni's level is too small; the uncorrected one is too large
    for _ in range(40):
        middle = math.sqrt(low * high)
        if _crossing_probability(-float(ndtri(middle)), looks) > member_alpha:
            high = middle
        else:
            low = middle
        if high / low < 1.0001:
            break
    return low


def _crossing_probability(boundary: float, looks: int) -> float:
    """The probability that a standardised sum of equal normal parts is above the boundary at one of the looks."""
    nodes, weights = np.polynomial.legendre.leggauss(64)
    below = 1.0
    density: Floats = np.empty(0)
    previous_points: Floats = np.empty(0)
    for look in range(1, looks + 1):
        low, high = -7.0 * math.sqrt(look), boundary * math.sqrt(look)
        points = low + (high - low) * (nodes + 1) / 2
        if look == 1:
            values = np.exp(-points * points / 2) / math.sqrt(2 * math.pi)
        else:
            values = np.exp(-((points[:, None] - previous_points) ** 2) / 2) @ density / math.sqrt(2 * math.pi)
        density, previous_points = values * weights * (high - low) / 2, points
        below = float(density.sum())
    return 1.0 - below


# -- one team against another -----------------------------------------------------------------------------------------


def dominating_member(
    candidate: Rows,
    members: Sequence[Rows],
    objectives: Mapping[str, Direction],
    *,
    level: float,
    margins: Mapping[str, float] | None = None,
) -> int | None:
    """Find a member that is better than the candidate in every objective, with statistical significance.

    Args:
        candidate, members: The rows of the teams, with the same examples in the same order. One of two teams may have
            more examples at the end.
        objectives: The directions of the objectives, by name.
        level: The level of one test; see ``look_level``, which must be given the number of members.
        margins: See ``beaten_p``.

    Returns:
        The position of the first such member in ``members``; None when there is none.

    Raises:
        InputError, ValueError: See ``beaten_p``.
    """
    for index, member in enumerate(members):
        if beaten_p(candidate, member, objectives, margins=margins, exact_up_to=level) <= level:
            return index
    return None


def beaten_p(
    candidate: Rows,
    member: Rows,
    objectives: Mapping[str, Direction],
    *,
    margins: Mapping[str, float] | None = None,
    exact_up_to: float = 1.0,
) -> float:
    """The p-value of the claim that the member is better in every objective: the largest p-value of the objectives.

    Args:
        candidate, member: See ``dominating_member``.
        objectives: The directions of the objectives, by name. The p-value is 1 when a team was not measured in one.
        margins: By how much the member may be worse and still count as better, by objective: an amount for shares, a
            fraction for other objectives. Without a margin, two teams of equal quality never beat each other.
        exact_up_to: A p-value above it need not be exact, which saves work.

    Raises:
        InputError: An objective does not exist.
        ValueError: A margin is below 0.
    """
    margins = margins or {}
    largest_p, was_tested = 0.0, False
    for each in sorted(map(objective, objectives), key=lambda each: each.statistic.effort):
        margin = margins.get(each.name, 0.0)
        if margin < 0:
            raise ValueError(f"a margin must not be below 0, but {each.name} has {margin}")
        p = each.paired_p(candidate, member, objectives[each.name], margin=margin, exact_up_to=exact_up_to)
        if p is None:  # equal counts
            continue
        was_tested, largest_p = True, max(largest_p, p)
        if largest_p > exact_up_to:
            break
    return largest_p if was_tested else 1.0


# -- one team alone ---------------------------------------------------------------------------------------------------


def optimistic_bound(rows: Rows, name: str, direction: Direction, level: float) -> float | None:
    """A bound on the true value of an objective: the team is not better than this, except with probability ``level``.

    Args:
        rows: The rows of the team.
        name: The name of the objective.
        direction: Which value is better. Objectives that are not shares have a bound only for ``minimize``.
        level: The probability that the bound is wrong.

    Returns:
        The bound; None where there is no such bound.

    Raises:
        InputError: The objective does not exist.
        ValueError: The level is not between 0 and 0.5.
    """
    quantity = objective(name)
    if not 0 < level < 0.5:
        raise ValueError(f"0 < level < 0.5 must hold, but got {level}")
    return quantity.optimistic_bound(rows, direction, level)


def examples_needed(name: str, level: float) -> int:
    """The smallest number of shared examples with which a test of an objective can reach a level.

    Args:
        name: The name of the objective.
        level: The level of one test.

    Raises:
        InputError: The objective does not exist.
    """
    return objective(name).statistic.examples_needed(level)
