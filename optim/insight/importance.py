"""How much each knob, and each pair of knobs, decides each objective: shares of its variance, with intervals.

The variance is over all settings of the space, where topologies are equally likely, and the values of their knobs, too.
It is not over the teams that were tried, since a sampler chose those. So a share does not depend on the sampler, and a
knob that only some topologies have counts for those (law of total variance: between topologies, and within each).
Within a topology, shares are first-order and second-order Sobol' indices of the model of ``effects.py``; those of all
objectives and knobs come from the same draws, and an interval is the shortest one that holds 95 % of them.

Optuna's PED-ANOVA (Watanabe et al., arXiv:2304.10255) answers another question (what sets the best tenth apart), has no
interactions, and compares knobs of one topology with those of another over different trials.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from orkester.optim.search.models.design import Floats

from .effects import Effects, Quantity

#: A smaller share cannot be told apart from 0.
_NOTHING = 0.005
#: Teams of a topology that its interactions need, for each of its knobs.
_TEAMS_PER_KNOB = 3


@dataclass(frozen=True, kw_only=True)
class Share:
    """A share of an objective's variance.

    Attributes:
        value: The mean of the draws.
        low, high: The ends of the 95 % interval; ``low`` is 0 where the share cannot be told apart from 0.
        teams: The number of teams that the share is computed from: those of the knob's topology.
    """

    value: float
    low: float
    high: float
    teams: int


@dataclass(frozen=True, kw_only=True)
class Interaction:
    """The share of what two knobs do together and neither does alone."""

    first: str
    second: str
    share: Share


@dataclass(frozen=True, kw_only=True)
class Importance:
    """The importance of all knobs for one objective. All shares together make 1.

    Attributes:
        objective: The name of the objective.
        logarithmic: Whether the variance is that of the objective's logarithm, so that a factor counts the same at any
            size. It is, unless the objective is a share.
        knobs: The shares of ``topology``, of each ``TOPOLOGY.KNOB`` and of each ``engine.OPTION``, the largest first. A
            knob is absent when its topology has too few teams.
        interactions: The shares of pairs of knobs, the largest first, for topologies with enough teams.
        together: The sum of these interactions; None where there are none.
        rest: The rest of the variance: three and more knobs together, what smooth effects cannot explain, and what is
            absent above.
        teams: The number of teams with a value of the objective.
    """

    objective: str
    logarithmic: bool
    knobs: Mapping[str, Share]
    interactions: Sequence[Interaction]
    together: Share | None
    rest: Share
    teams: int


def importances(effects: Effects | None, objectives: Collection[str]) -> Mapping[str, Importance]:
    """The importance of the knobs for each objective.

    Args:
        effects: The result of ``effects.fit``; None for none.
        objectives: The names of the objectives.

    Returns:
        By objective. An objective is absent when there are too few teams, or when they do not differ.
    """
    if effects is None:
        return {}
    return {q.name: _importance(effects, i, q) for i, q in enumerate(effects.quantities) if q.name in objectives}


def _importance(effects: Effects, index: int, quantity: Quantity) -> Importance:
    teams = {name: counts[quantity.name] for name, counts in effects.teams.items()}
    everyone, topologies = sum(teams.values()), len(effects.designs)
    constants = np.stack([drawn[:, index, 0] for drawn in effects.coefficients.values()])
    single: dict[str, Floats] = {"topology": constants.var(axis=0)} if topologies > 1 else {}
    pairs: dict[tuple[str, str], Floats] = {}
    total = constants.var(axis=0) + effects.misfit[:, index]
    stands_on: dict[str, int] = {"topology": everyone}
    for name, design in effects.designs.items():
        drawn = effects.coefficients[name][:, index]
        for effect in design.effects:
            part = (drawn[:, effect.start : effect.stop] ** 2).sum(axis=1) / topologies
            total = total + part
            if teams[name] <= len(design.knobs) + 1:
                continue  # too few teams
            first, *others = effect.knobs
            if not others:
                single[first] = single.get(first, 0.0) + part
                stands_on[first] = stands_on.get(first, 0) + teams[name]
            elif teams[name] >= _TEAMS_PER_KNOB * len(design.knobs):
                key = (first, others[0])
                pairs[key] = pairs.get(key, 0.0) + part
    named = sum([*single.values(), *pairs.values()], np.zeros_like(total))
    knobs = {name: _share(part / total, stands_on[name]) for name, part in single.items()}
    interactions = [
        Interaction(first=a, second=b, share=_share(part / total, min(stands_on[a], stands_on[b])))
        for (a, b), part in pairs.items()
    ]
    return Importance(
        objective=quantity.name,
        logarithmic=quantity.logarithmic,
        knobs=dict(sorted(knobs.items(), key=lambda item: (-item[1].value, item[0]))),
        interactions=sorted(interactions, key=lambda i: (-i.share.value, i.first, i.second)),
        together=_share(sum(pairs.values(), np.zeros_like(total)) / total, everyone) if pairs else None,
        rest=_share(1.0 - named / total, everyone),
        teams=everyone,
    )


def _share(draws: Floats, teams: int) -> Share:
    """The mean and the shortest interval; for a share that may be 0, the interval begins at 0."""
    ordered = np.sort(draws)
    inside = int(np.ceil(0.95 * len(ordered))) - 1
    widths = ordered[inside:] - ordered[: len(ordered) - inside]
    start = int(np.argmin(widths))
    low, high = float(ordered[start]), float(ordered[start + inside])
    return Share(value=float(draws.mean()), low=low if low >= _NOTHING else 0.0, high=high, teams=teams)
