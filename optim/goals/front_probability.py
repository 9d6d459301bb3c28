"""How probable it is that a team is on the front, and which teams may beat it.

Everything here follows from rows alone (see ``evals/summaries/paired_tests.py``). The probabilities are those of the
Bayesian bootstrap (Rubin, "The Bayesian Bootstrap", Annals of Statistics 9, 1981): examples get random weights, the
same for all teams, so that teams are compared on the same examples in each draw.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping

import numpy as np
import numpy.typing as npt

from orkester.evals.objectives import objective
from orkester.evals.stats.draws import Weights
from orkester.evals.stats.intervals import Floats
from orkester.evals.stats.rows import Rows
from orkester.evals.summaries.paired_tests import beaten_p

from .front import front_indices
from .goal import Direction

DRAWS = 2000
#: Below the first probability a team is clearly not on the front, above the second it clearly is.
CLEAR = (0.05, 0.95)
#: Draws that are compared at a time; 60 teams then need about 4 MB.
_CHUNK = 500


def front_probability(
    rows: Mapping[str, Rows],
    objectives: Mapping[str, Direction],
    rng: np.random.Generator,
    *,
    draws: int = DRAWS,
) -> dict[str, float]:
    """The probability of each team that no other team beats it in all objectives.

    A share has Jeffreys' prior, half an example right and half an example wrong, so that ten right answers out of ten
    are not taken as certain. Joules that are metered by block are weighted by block; a single block says nothing about
    their spread. A team that lacks an objective has probability 0 and beats no other team.

    Args:
        rows: Rows by team, on the same examples in the same order. Some teams may have more of them.
        objectives: Direction by name.
        rng: Random numbers for the draws.
        draws: The number of draws; at least 2,000 for two digits.

    Raises:
        InputError: An objective is unknown.
    """
    probabilities = dict.fromkeys(rows, 0.0)
    having = {team: each for team, each in rows.items() if has_all(each, objectives)}
    if having:
        points = _oriented(objective_draws(having, objectives, rng, draws), objectives)
        shares = 1 - _beaten(points).mean(axis=0)
        probabilities.update(zip(having, map(float, shares), strict=True))
    return probabilities


def seeded(rows: Mapping[str, Rows], objectives: Mapping[str, Direction]) -> np.random.Generator:
    """Random numbers that follow from the rows, so that the same records give the same draws."""
    names = sorted({objective(name).column.name for name in objectives})
    seed = 0
    for each in rows.values():
        for name in names:
            seed = zlib.crc32(each.columns.get(name, np.empty(0)).tobytes(), seed)
    return np.random.default_rng(seed)


def rivals(
    rows: Mapping[str, Rows],
    of: Collection[str],
    objectives: Mapping[str, Direction],
    rng: np.random.Generator,
    *,
    draws: int = DRAWS,
) -> set[str]:
    """Teams that may beat one of some teams: they do in too many draws for it to be clear.

    Args:
        rows, objectives, rng, draws: See ``front_probability``.
        of: Ids of the teams whose rivals are wanted. One of them may be a rival of another.

    Returns:
        The ids of the rivals.
    """
    having = {team: each for team, each in rows.items() if has_all(each, objectives)}
    if not having:
        return set()
    points = _oriented(objective_draws(having, objectives, rng, draws), objectives)
    names = list(having)
    found: set[str] = set()
    for beaten in (names.index(team) for team in of if team in having):
        one = points[:, beaten, None, :]
        beats = (points <= one).all(axis=2) & (points < one).any(axis=2)
        found |= {names[i] for i in np.flatnonzero(beats.mean(axis=0) > CLEAR[0] / len(names))}
    return found


def near_members(
    search: Mapping[str, Rows], objectives: Mapping[str, Direction], *, level: float = 0.05
) -> dict[str, float]:
    """Teams of the search that may be on the front: no member is shown to be better in every objective.

    Args:
        search: Rows by team, without the infeasible teams.
        objectives: Direction by name.
        level: The level of the one-sided test that a member is better in every objective.

    Returns:
        By team, the smallest p-value against a member, 1 for members themselves; the largest first.
    """
    having = {team: each for team, each in search.items() if has_all(each, objectives)}
    if not having:
        return {}
    points = [[objective(name).value(each.columns) for name in objectives] for each in having.values()]
    names = list(having)
    members = [names[i] for i in front_indices(points, list(objectives.values()))]
    p_values = dict.fromkeys(members, 1.0)
    for team in names:
        if team in p_values:
            continue
        p = 1.0
        for member in members:
            p = min(p, beaten_p(having[team], having[member], objectives, exact_up_to=level))
            if p <= level:
                break
        if p > level:
            p_values[team] = p
    return dict(sorted(p_values.items(), key=lambda item: -item[1]))


# -- draws ------------------------------------------------------------------------------------------------------------


def has_all(rows: Rows, objectives: Mapping[str, Direction]) -> bool:
    """Whether the rows have a value of every objective.

    Raises:
        InputError: An objective is unknown.
    """
    quantities = [objective(name) for name in objectives]  # all of them, so that an unknown one raises
    return all(each.known(rows) for each in quantities)


def objective_draws(
    rows: Mapping[str, Rows], objectives: Mapping[str, Direction], rng: np.random.Generator, draws: int
) -> Floats:
    """Every objective of every team, computed with random weights of the examples that are the same for all teams.

    Args:
        rows: Rows by team, on the same examples in the same order; each team has every objective.
        objectives: Direction by name.
        rng: Random numbers for the draws.
        draws: The number of draws.

    Returns:
        (draws, teams, objectives), in the objectives' units.
    """
    weights = rng.standard_exponential((draws, max(each.n for each in rows.values())))
    block_weights = rng.standard_exponential((draws, max(len(each.block_sizes) for each in rows.values())))
    # These factors turn a normal draw into one of Student's t. Teams with as many blocks share them, so that they stay
    # paired.
    stretches = {
        blocks: np.sqrt(blocks / rng.chisquare(blocks, draws)) if blocks else np.ones(draws)
        for blocks in sorted({max(0, len(each.block_sizes) - 1) for each in rows.values()})
    }
    values = np.empty((draws, len(rows), len(objectives)))
    for i, each in enumerate(rows.values()):
        blocks = len(each.block_sizes)
        of_team = Weights(
            examples=weights[:, : each.n],
            blocks=block_weights[:, :blocks],
            stretch=stretches[max(0, blocks - 1)],
            rng=rng,
        )
        for j, name in enumerate(objectives):
            values[:, i, j] = objective(name).draws(each, of_team)
    return values


def _oriented(points: Floats, objectives: Mapping[str, Direction]) -> Floats:
    """The points with signs such that less is better in every objective."""
    signs: Floats = np.array([-1.0 if direction == "maximize" else 1.0 for direction in objectives.values()])
    return points * signs


def _beaten(points: Floats) -> npt.NDArray[np.bool_]:
    """(draws, teams): whether another team is at least as good in all objectives and better in one."""
    parts = []
    for start in range(0, len(points), _CHUNK):
        part = points[start : start + _CHUNK]
        at_least = np.ones((len(part), part.shape[1], part.shape[1]), dtype=bool)
        better = np.zeros_like(at_least)
        for column in range(part.shape[2]):
            one, other = part[:, :, None, column], part[:, None, :, column]
            at_least &= one <= other
            better |= one < other
        parts.append((at_least & better).any(axis=1))
    return np.concatenate(parts)
