"""How far the search flattered the teams that it chose, measured against their confirmation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from orkester.evals.objectives import objective
from orkester.evals.stats.rows import Rows
from orkester.optim.goals.front_probability import DRAWS, has_all, objective_draws
from orkester.optim.goals.goal import Direction


@dataclass(frozen=True, kw_only=True)
class Optimism:
    """How much better a value looked in the search than it was when confirmed.

    Attributes:
        team: its id.
        objective: its name.
        search, confirmed: the two values, in the objective's unit.
        optimism: their difference in that unit, positive where the search flattered.
        low, high: ends of its 95 % interval.
    """

    team: str
    objective: str
    search: float
    confirmed: float
    optimism: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class MeanOptimism:
    """The same over all teams: the winner's curse of the search.

    Attributes:
        objective: its name.
        optimism: mean over the teams; in points for shares, as a fraction of the confirmed value for the rest.
        low, high: ends of its 95 % interval.
        teams: how many.
    """

    objective: str
    optimism: float
    low: float
    high: float
    teams: int


def winners_curse(
    search: Mapping[str, Rows],
    confirmed: Mapping[str, Rows],
    objectives: Mapping[str, Direction],
    rng: np.random.Generator,
    *,
    draws: int = DRAWS,
) -> tuple[tuple[Optimism, ...], tuple[MeanOptimism, ...]]:
    """The search's values against the confirmed ones, by team and over all teams.

    The two phases have different examples, so within a team they are independent; within a phase teams share theirs,
    and the interval of the mean keeps that.

    Args:
        search, confirmed: rows by team; only teams in both, with every objective, are compared.
        objectives: direction by name.
        rng: for the draws.
        draws: see ``front_probability``.

    Raises:
        InputError: see ``front_probability``.
    """
    teams = [
        team
        for team in confirmed
        if team in search and has_all(search[team], objectives) and has_all(confirmed[team], objectives)
    ]
    if not teams:
        return (), ()
    before, after = ({team: phase[team] for team in teams} for phase in (search, confirmed))
    drawn_before, drawn_after = (objective_draws(phase, objectives, rng, draws) for phase in (before, after))
    single: list[Optimism] = []
    mean: list[MeanOptimism] = []
    for column, (name, direction) in enumerate(objectives.items()):
        sign = 1.0 if direction == "maximize" else -1.0
        was, is_ = (np.array([objective(name).value(of[team].columns) for team in teams]) for of in (before, after))
        differences = sign * (drawn_before[:, :, column] - drawn_after[:, :, column])
        low, high = np.quantile(differences, [0.025, 0.975], axis=0)
        single += [
            Optimism(
                team=team,
                objective=name,
                search=float(was[i]),
                confirmed=float(is_[i]),
                optimism=float(sign * (was[i] - is_[i])),
                low=float(low[i]),
                high=float(high[i]),
            )
            for i, team in enumerate(teams)
        ]
        scale = np.ones(len(teams)) if objective(name).share else np.where(is_ > 0, is_, 1.0)
        over_all = (differences / scale).mean(axis=1)
        ends = np.quantile(over_all, [0.025, 0.975])
        mean.append(
            MeanOptimism(
                objective=name,
                optimism=float((sign * (was - is_) / scale).mean()),
                low=float(ends[0]),
                high=float(ends[1]),
                teams=len(teams),
            )
        )
    return tuple(single), tuple(mean)
