"""How probable it is that a team is on the front, and which teams stand in its way.

Everything here follows from rows alone (see ``evals/paired_tests.py``). The probabilities are those of the
Bayesian bootstrap (Rubin, "The Bayesian Bootstrap", Annals of Statistics 9, 1981): examples get random weights, the
same for all teams, so that teams are compared on the same examples in each draw.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping

import numpy as np
import numpy.typing as npt

from orkester.evals.objectives import objective
from orkester.evals.paired_tests import beaten_p
from orkester.evals.stats.draws import Weights
from orkester.evals.stats.intervals import Floats
from orkester.evals.stats.rows import Rows

from .front import front_indices
from .goal import Direction

DRAWS = 2000
#: A team is clearly on the front, or clearly off it, outside these.
CLEAR = (0.05, 0.95)
#: Draws compared at a time: 60 teams then need some 4 MB.
_CHUNK = 500


def front_probability(
    rows: Mapping[str, Rows],
    objectives: Mapping[str, Direction],
    rng: np.random.Generator,
    *,
    draws: int = DRAWS,
) -> dict[str, float]:
    """Probability for each team that no other one beats it in all objectives.

    A share has Jeffreys' prior, half an example right and half one wrong, so that ten right answers of ten are not
    taken as certain. Joules by block are weighted by block; of one block no spread is known. A team that lacks an
    objective has probability 0 and beats nobody.

    Args:
        rows: by team, on the same examples in the same order; one that is further has more of them.
        objectives: direction by name.
        rng: for the draws.
        draws: at least 2,000 for two digits.

    Raises:
        InputError: an unknown objective.
    """
    found = dict.fromkeys(rows, 0.0)
    having = {team: each for team, each in rows.items() if has_all(each, objectives)}
    if having:
        points = _oriented(objective_draws(having, objectives, rng, draws), objectives)
        shares = 1 - _beaten(points).mean(axis=0)
        found.update(zip(having, map(float, shares), strict=True))
    return found


def seeded(rows: Mapping[str, Rows], objectives: Mapping[str, Direction]) -> np.random.Generator:
    """Random numbers that follow from what the objectives see of the rows: the same records give the same draws."""
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
    """Teams that may beat one of those: they do in enough draws to keep it from being clear.

    Args:
        rows, objectives, rng, draws: see ``front_probability``.
        of: whose rivals; it may be in the answer itself, when another of them is beaten by it.
    """
    having = {team: each for team, each in rows.items() if has_all(each, objectives)}
    if not having:
        return set()
    points = _oriented(objective_draws(having, objectives, rng, draws), objectives)
    names = list(having)
    found = set()
    for beaten in (names.index(team) for team in of if team in having):
        one = points[:, beaten, None, :]
        beats = (points <= one).all(axis=2) & (points < one).any(axis=2)
        found |= {names[i] for i in np.flatnonzero(beats.mean(axis=0) > CLEAR[0] / len(names))}
    return found


def near_members(
    search: Mapping[str, Rows], objectives: Mapping[str, Direction], *, level: float = 0.05
) -> dict[str, float]:
    """Teams of the search that may be on the front: no member beats their optimistic corner.

    Args:
        search: rows by team; those that are infeasible are left out by the caller.
        objectives: direction by name.
        level: of the one-sided test that a member is better in every objective; 0.05 is z = 1.645.

    Returns:
        By team the p-value against the member that comes nearest to beating it, 1 for members, the largest first.
    """
    having = {team: each for team, each in search.items() if has_all(each, objectives)}
    if not having:
        return {}
    points = [[objective(name).value(each.columns) for name in objectives] for each in having.values()]
    names = list(having)
    members = [names[i] for i in front_indices(points, list(objectives.values()))]
    found = dict.fromkeys(members, 1.0)
    for team in names:
        if team in found:
            continue
        p = 1.0
        for member in members:
            p = min(p, beaten_p(having[team], having[member], objectives, enough=level))
            if p <= level:
                break
        if p > level:
            found[team] = p
    return dict(sorted(found.items(), key=lambda item: -item[1]))


# -- draws ------------------------------------------------------------------------------------------------------------


def has_all(rows: Rows, objectives: Mapping[str, Direction]) -> bool:
    """Whether the rows have a value of every objective.

    Raises:
        InputError: an unknown objective.
    """
    wanted = [objective(name) for name in objectives]  # an unknown one raises, whatever the rows lack
    return all(each.known(rows) for each in wanted)


def objective_draws(
    rows: Mapping[str, Rows], objectives: Mapping[str, Direction], rng: np.random.Generator, draws: int
) -> Floats:
    """Every objective of every team under the same random weights of the examples.

    Args:
        rows: by team, on the same examples in the same order; each with every objective.
        objectives: direction by name.
        rng: for the draws.
        draws: how many.

    Returns:
        (draws, teams, objectives), in the objectives' units.
    """
    weights = rng.standard_exponential((draws, max(each.n for each in rows.values())))
    block_weights = rng.standard_exponential((draws, max(len(each.block_sizes) for each in rows.values())))
    # What makes a normal draw one of Student's t, the same for all teams with as many blocks, so that pairs stay pairs.
    stretches = {
        blocks: np.sqrt(blocks / rng.chisquare(blocks, draws)) if blocks else np.ones(draws)
        for blocks in sorted({max(0, len(each.block_sizes) - 1) for each in rows.values()})
    }
    found = np.empty((draws, len(rows), len(objectives)))
    for i, each in enumerate(rows.values()):
        blocks = len(each.block_sizes)
        of_team = Weights(
            examples=weights[:, : each.n],
            blocks=block_weights[:, :blocks],
            stretch=stretches[max(0, blocks - 1)],
            rng=rng,
        )
        for j, name in enumerate(objectives):
            found[:, i, j] = objective(name).drawn(each, of_team)
    return found


def _oriented(points: Floats, objectives: Mapping[str, Direction]) -> Floats:
    """So that less is better in each."""
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
