"""Racing: whether a team is beaten by another on shared examples, looked at after every block.

Two pieces. ``look_level`` says how small a p-value must be so that over all looks together an error has the probability
that was asked for. ``beaten_p`` is that p-value: of the claim that one team is better than the other in every
objective. A team is beaten only when every objective says so, each at the whole level: the error of an
intersection-union test is that of its weakest part, so there is nothing to divide among objectives (Berger,
"Multiparameter Hypothesis Testing and Acceptance Sampling", Technometrics 24, 1982).

| objective | test that the member is better; for its one made-up example see ``weighting.py`` |
|---|---|
| quality, failure_rate | McNemar with mid-p for 0 and 1, else weighted differences, one of a whole score made up |
| latency_p50_s, latency_p95_s | both teams' weighted quantiles; made up: no time against an endless one |
| latency_mean_s, energy_j …, tokens, calls | weighted differences; made up: nothing against the largest seen |
| joules metered by block | Student's t of the log ratios of whole blocks |
| energy_j_per_success | both energy_j and the share of successes |

What cannot be had: p95 needs some 120 examples before it shows anything at these levels (``examples_needed``), and no
method knows of a slow example that occurs in 3 % of them before it has occurred. A paired t of log ratios would decide
sooner, but compares geometric means: where one team is a cascade of the same median it erred in 40 % of simulated
cases with 16 examples and in all with 64. tests/evals/stats/test_paired_tests.py records how often each test errs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

import numpy as np
from scipy.special import ndtri

from orkester.evals.block import Block
from orkester.evals.footprint import Footprint
from orkester.evals.objectives import OF_JOULES
from orkester.evals.rows import VIEWS, Statistic, View, rows_of

from .intervals import Floats, student_t, student_tail
from .weighting import binomial, mean_lower, mean_upper, paired_quantile_p, quantile_lower, weighted_mean_p

Direction: TypeAlias = Literal["maximize", "minimize"]

#: Cheap tests first.
_COST: Mapping[Statistic, int] = {"mean": 0, "per success": 1, "p50": 2, "p95": 2}
#: Whole numbers by nature: teams that agree in every shared example are taken as equal.
_COUNTED = frozenset({"calls", "input_tokens", "output_tokens", "failed"})
#: Student's t of two, three, … blocks is less alike from look to look than Pocock's sums are: over eight looks it erred
#: in up to 7 % of simulated cases where 5 % were meant. With its p that many times as large it errs in 3 to 5.5 %.
_FEW_BLOCKS = 1.5
_QUANTILES: Mapping[Statistic, float] = {"p50": 0.5, "p95": 0.95}


@dataclass(frozen=True, kw_only=True)
class Rows:
    """What a team left behind, example by example, in the order of the data.

    Attributes:
        columns: each of length n, by quantity (see ``VIEWS``); what is not known of every example is absent.
        block_sizes: examples of each block, in order, when joules were metered by block: columns of joules then hold
            each block's joules per example, and only blocks tell of their spread. Empty when joules are by example.
    """

    columns: Mapping[str, Floats]
    block_sizes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        lengths = {name: len(column) for name, column in self.columns.items()}
        if len(set(lengths.values())) != 1 or not self.n:
            raise ValueError(f"columns must be there and equally long, but got {lengths or 'none'}")
        if self.block_sizes and sum(self.block_sizes) != self.n:
            raise ValueError(f"the blocks must hold {self.n} examples, but got {self.block_sizes}")

    @property
    def n(self) -> int:
        """Examples."""
        return len(next(iter(self.columns.values())))


def team_rows(blocks: Sequence[Block], footprint: Footprint | None = None) -> Rows:
    """The rows of one team's blocks in one phase, in their order; at least one.

    Raises:
        ValueError: no blocks.
    """
    if not blocks:
        raise ValueError("rows are made of blocks, at least one")
    parts = [rows_of(block, footprint) for block in blocks]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    columns = {name: column for name, column in joined.items() if not np.isnan(column).any()}
    return Rows(columns=columns, block_sizes=tuple(len(block.examples) for block in blocks))


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
        ValueError: see ``beaten_p``.
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
        ValueError: an unknown objective, or a margin below 0.
    """
    given = margins or {}
    worst, proven = 0.0, False
    for name in sorted(_known(objectives), key=lambda name: _COST[VIEWS[name].statistic]):
        margin = given.get(name, 0.0)
        if margin < 0:
            raise ValueError(f"a margin must not be below 0, but {name} has {margin}")
        p = _objective_p(candidate, member, name, objectives[name], margin, enough)
        if p is None:  # equal counts
            continue
        proven, worst = True, max(worst, p)
        if worst > enough:
            break
    return worst if proven else 1.0


def _known(objectives: Mapping[str, Direction]) -> Mapping[str, Direction]:
    unknown = sorted(set(objectives) - set(VIEWS))
    if unknown:
        raise ValueError(f"{', '.join(unknown)} cannot be raced; there are {', '.join(VIEWS)}")
    return objectives


def _objective_p(
    candidate: Rows, member: Rows, name: str, direction: Direction, margin: float, enough: float
) -> float | None:
    """As ``beaten_p`` for one objective; None when both have the same counts."""
    view = VIEWS[name]
    if not {view.quantity} <= set(candidate.columns) & set(member.columns):
        return 1.0
    n = min(candidate.n, member.n)
    theirs, ours = candidate.columns[view.quantity], member.columns[view.quantity]
    if view.quantity in _COUNTED and np.array_equal(theirs[:n], ours[:n]):
        return None
    if view.statistic == "per success":
        return _per_success_p(candidate, member, direction, margin, enough)
    # What must be shown to be larger than the other: the candidate's time, the member's score.
    more, less = (theirs, ours) if direction == "minimize" else (ours, theirs)
    if view.share:
        return _share_p(more[:n] - less[:n], margin)
    return _positive_p(more[:n] * (1 + margin), less, name, candidate.block_sizes or member.block_sizes, enough)


def _positive_p(more: Floats, less: Floats, name: str, sizes: Sequence[int], enough: float) -> float:
    """``less`` may go on beyond the shared examples: its largest is then known the better."""
    shared = less[: len(more)]
    q = _QUANTILES.get(VIEWS[name].statistic)
    if q is not None:
        return paired_quantile_p(more, shared, q, enough=enough)
    if name in OF_JOULES and sizes:
        return _blocks_p(more, shared, sizes)
    return weighted_mean_p(more - shared, -float(less.max()))


def _share_p(differences: Floats, margin: float) -> float:
    if margin == 0 and bool(np.isin(differences, (-1.0, 0.0, 1.0)).all()):
        gained, lost = int((differences == 1).sum()), int((differences == -1).sum())
        if not gained:
            return 1.0
        # The mid-p: exact is so coarse that it errs in 1.5 % where 5 % are allowed, this in 3 % (Fagerland, Lydersen
        # and Laake, "The McNemar Test for Binary Matched-Pairs Data", BMC Medical Research Methodology 13, 2013).
        at_most = binomial(gained + lost, 0.5)
        return float(at_most[lost] + (at_most[lost - 1] if lost else 0.0)) / 2
    return weighted_mean_p(differences + margin, margin - 1.0)


def _per_success_p(candidate: Rows, member: Rows, direction: Direction, margin: float, enough: float) -> float:
    """More joules with no more successes are more joules per success: an intersection once more."""
    n = min(candidate.n, member.n)
    c, m = _successes(candidate, n), _successes(member, n)
    if direction == "maximize" or c is None or m is None:
        return 1.0
    successes = _share_p(m - c, 0.0)
    if successes > enough:
        return successes
    joules = _objective_p(candidate, member, "energy_j", direction, margin, enough)
    return max(successes, 1.0 if joules is None else joules)


def _successes(rows: Rows, n: int) -> Floats | None:
    scores = rows.columns.get("score")
    return None if scores is None else np.where(scores[:n] > 0.5, 1.0, 0.0)


def _blocks_p(more: Floats, less: Floats, sizes: Sequence[int]) -> float:
    """Paired t of the log ratios of whole blocks that both have."""
    ends = np.cumsum(sizes)
    ends = ends[ends <= len(more)]
    if len(ends) < 2:
        return 1.0
    starts = np.concatenate(([0], ends[:-1]))
    lengths = np.diff(np.concatenate(([0], ends)))
    sums = [np.add.reduceat(values[: ends[-1]], starts) / lengths for values in (more, less)]
    if sums[0].min() <= 0 or sums[1].min() <= 0:
        return 1.0
    ratios = np.log(sums[0]) - np.log(sums[1])
    spread = float(ratios.std(ddof=1))
    mean = float(ratios.mean())
    if spread <= 1e-12 * abs(mean) or spread == 0:  # a spread of nothing is no measurement of it
        return 1.0
    return min(1.0, _FEW_BLOCKS * student_tail(mean / spread * math.sqrt(len(ratios)), len(ratios) - 1))


# -- one team alone ---------------------------------------------------------------------------------------------------


def optimistic(rows: Rows, objective: str, direction: Direction, level: float) -> float | None:
    """The best that an objective may still be, wrong with probability ``level``; None where there is no such bound.

    Sources as in this file's table. A positive quantity has no upper bound, so only ``minimize`` has one for it.

    Raises:
        ValueError: an unknown objective, or a level outside (0, 0.5).
    """
    _known({objective: direction})
    if not 0 < level < 0.5:
        raise ValueError(f"0 < level < 0.5 must hold, but got {level}")
    view = VIEWS[objective]
    values = rows.columns.get(view.quantity)
    if values is None or (direction == "maximize" and not view.share):
        return None
    if view.share:
        return mean_upper(values, level) if direction == "maximize" else 1 - mean_upper(1 - values, level)
    if view.statistic == "per success":
        successes = _successes(rows, rows.n)
        return None if successes is None else _lower(rows, view, level / 2) / mean_upper(successes, level / 2)
    return _lower(rows, view, level)


def _lower(rows: Rows, view: View, level: float) -> float:
    values = rows.columns[view.quantity]
    q = _QUANTILES.get(view.statistic)
    if q is not None:
        return quantile_lower(values, q, level)
    # Columns of joules are named as the objectives that are their means.
    if view.quantity in OF_JOULES and rows.block_sizes:
        return _blocks_lower(values, rows.block_sizes, level)
    return mean_lower(values, level)


def _blocks_lower(values: Floats, sizes: Sequence[int], level: float) -> float:
    if len(sizes) < 2:
        return 0.0
    starts = np.concatenate(([0], np.cumsum(sizes)[:-1]))
    means = np.add.reduceat(values, starts) / np.asarray(sizes)
    if means.min() <= 0:
        return 0.0
    logs = np.log(means)
    half = student_t(1 - level, len(logs) - 1) * float(logs.std(ddof=1)) / math.sqrt(len(logs))
    return math.exp(float(logs.mean()) - half)


def examples_needed(objective: str, level: float) -> int:
    """Shared examples, all in the member's favour, before an objective can be shown at that level; at best.

    Raises:
        ValueError: an unknown objective.
    """
    _known({objective: "minimize"})
    q = _QUANTILES.get(VIEWS[objective].statistic, 0.5)
    return max(1, math.ceil(math.log(level) / math.log(q)))
