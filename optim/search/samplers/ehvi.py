"""Expected hypervolume improvement per model call, over the whole space, one block at a time.

After every block a model of the space (``Universe``) predicts each objective of every team. The next block goes to the
team whose block is expected to add most to the front's hypervolume for each model call it costs: a new team, or one
that has seen a few examples. A block is valued by what it would teach (one step ahead, as in the knowledge gradient:
Frazier, Powell and Dayanik, SIAM J. Control Optim. 47, 2008; for hypervolume: Daulton, Balandat and Bakshy,
"Hypervolume Knowledge Gradient", ICML 2023); a block whose calls are all in the call store costs nothing and comes
first. Every other block that costs something goes to the member of the front that is least sure, so that a lucky one
does not keep better teams off it for long (as top-two sampling halves its effort between the best and its challengers:
Russo, "Simple Bayesian Algorithms for Best Arm Identification", COLT 2016).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from orkester.evals.objectives import objective
from orkester.evals.running.runner import derive_seed
from orkester.graphs import Team
from orkester.optim.goals.front import front_indices
from orkester.optim.goals.goal import FAILURES, limit
from orkester.optim.search.models.evidence import Evidence
from orkester.optim.search.models.improvement import Dominated
from orkester.optim.search.models.surrogate import Universe

from ..outcome import Outcome
from ._base import Setting, Standing, Turn

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
#: A topology with models.
_Kind: TypeAlias = tuple[str, tuple[str, ...]]

#: Draws of what a block may show.
_DRAWS = 16
#: Teams whose price is asked for: those with the greatest value. And teams that are valued with all draws.
_PRICED, _VALUED = 64, 256
#: Teams that were not measured of which the model is asked in a step.
_LOOKED_AT = 1500
#: By how much the model's variances are taken to be too small, in turn, before a search is over; and further as long as
#: there is a budget to spend: teams share their examples, so all that are alike may have had the same bad luck.
_DOUBTS, _GRAVE_DOUBTS = (1.0, 4.0), (16.0, 64.0, 256.0)
#: Expected calls below which a block counts as free.
_FREE = 0.5
#: A block that is expected to add less than this to the front, in its own units of volume, is not worth a call as long
#: as the front is not measured to its end.
_NOTHING = 1e-4
#: The front's range is taken to be this at least, in parts of its worst value: equal members must not divide by zero.
_LEAST_RANGE = 0.02
_LARGEST_LOG = 50.0
#: The reference point lies this far beyond the front's worst, in shares of its range.
_BEYOND = 0.1


@dataclass(frozen=True, kw_only=True, eq=False)
class _Gap:
    """Between a front and what would be better.

    Attributes:
        dominated: by the front, where each objective runs from 0 to 1 along it.
        low, scale: of the objectives in their own units.
    """

    dominated: Dominated
    low: Floats
    scale: Floats

    def improvement(self, points: Floats) -> Floats:
        """Hypervolume that each point would add."""
        return self.dominated.improvement((points - self.low) / self.scale)


class Ehvi:
    """See the module. A ``Sampler``."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting

    @cached_property
    def _universe(self) -> Universe:
        return Universe(self._setting.space, self._setting.seed, start=self._setting.start)

    def choose(self, standing: Standing, most: int) -> Sequence[Turn]:
        """One block of one team; see ``Sampler``."""
        del most
        evidence = standing.evidence
        if (team := self._still_free(standing)) is not None:
            return [Turn(team=team, blocks=1)]
        first = self._first(standing)
        if not evidence.teams or (first is not None and math.isinf(standing.calls_left)):
            return [] if first is None else [Turn(team=first, blocks=1)]
        mean, variance, learnt = self._fit(standing)
        front = self._believed(standing, mean)
        unfinished = [i for i in front if self._universe.teams[i].id not in standing.closed]
        # What is left when the front is measured to its end: a front of which nothing is whole is none.
        spare = standing.calls_left - sum(self._to_the_end(standing, self._universe.teams[i]) for i in unfinished)
        chosen = None if first is None else self._universe.index[first.id]
        if first is None and spare > 0:
            chosen = self._chosen(standing, mean, variance, learnt, front, unfinished)
        if unfinished and (chosen is None or standing.cost(self._universe.teams[chosen], standing.block) > spare):
            chosen = max(unfinished, key=lambda i: self._to_finish_first(standing, i))
        return [] if chosen is None else [Turn(team=self._universe.teams[chosen], blocks=1)]

    def _chosen(
        self,
        standing: Standing,
        mean: Floats,
        variance: Floats,
        learnt: Floats,
        front: Sequence[int],
        unfinished: Sequence[int],
    ) -> int | None:
        """Whose block it is, as long as more can be spent than the front needs; None when none is worth it."""
        gap = self._gap(standing, mean, front)
        chosen = self._most_worth(standing, gap, mean, variance, learnt)
        if unfinished and standing.evidence.sent % 2 and not self._is_free(standing, chosen):
            return self._least_sure(standing, unfinished, variance, learnt)
        if chosen is not None:
            return chosen
        if unfinished:
            return None
        doubts = _DOUBTS if math.isinf(standing.calls_left) else _DOUBTS + _GRAVE_DOUBTS
        # A failed example may have been an accident of one team, although the model takes all that are alike for alike.
        for failures_count in (True, False):
            for doubt in doubts:
                # One block more would change nothing; all that a team may be is another matter, and the model may err.
                wide, certain = doubt * variance, np.zeros_like(learnt)
                chosen = self._most_worth(standing, gap, mean, wide, certain, least=0.0, failures_count=failures_count)
                if chosen is not None:
                    return chosen
        unseen = self._unseen(standing, self._mixtures)
        if unseen is None and not front:
            # As long as no team keeps the constraints, any team may be the first.
            unseen = self._unseen(standing, {("", (team.id,)): [team] for team in self._universe.teams})
        return None if unseen is None else self._universe.index[unseen.id]

    def _to_finish_first(self, standing: Standing, index: int) -> tuple[float, ...]:
        """The furthest, and of those the cheapest."""
        team = self._universe.teams[index]
        return standing.evidence.seen(team), -self._to_the_end(standing, team), -index

    def tell(self, outcome: Outcome) -> None:
        """Nothing to learn beyond the blocks."""

    def believed_front(self, standing: Standing) -> Sequence[Team]:
        """Measured teams that the model takes for the front, from all that was seen."""
        if not standing.evidence.teams:
            return []
        mean, _, _ = self._fit(standing)
        return [self._universe.teams[i] for i in self._believed(standing, mean)]

    # -- steps ----------------------------------------------------------------------------------------------------

    def _first(self, standing: Standing) -> Team | None:
        """The user's teams; then one of each topology on each model, so that nothing is judged unseen."""
        if standing.new_teams == 0:
            return None
        evidence = standing.evidence
        for team in self._setting.start:
            if team not in evidence and team.id not in standing.closed:
                return team
        return self._unseen(standing, self._kinds)

    def _still_free(self, standing: Standing) -> Team | None:
        """A team whose last block cost nothing goes on as long as that is so: it is not worth another fit."""
        team = standing.evidence.last_for_nothing
        if team is None or team.id in standing.closed or standing.cost(team, standing.block) >= _FREE:
            return None
        return team

    def _unseen(self, standing: Standing, kinds: Mapping[_Kind, Sequence[Team]]) -> Team | None:
        """A team of the first kind of which none was measured; None when there is no such kind."""
        if standing.new_teams == 0:
            return None
        evidence = standing.evidence
        seen = {team.id for team in evidence.teams} | set(standing.closed)
        rng = np.random.default_rng(derive_seed(self._setting.seed, "first", evidence.blocks))
        for teams in kinds.values():
            if all(team.id not in seen for team in teams):
                return teams[int(rng.integers(len(teams)))]
        return None

    @cached_property
    def _mixtures(self) -> Mapping[_Kind, Sequence[Team]]:
        """Teams by topology and all their models: before a search ends by itself, one of each has been seen."""
        found: dict[_Kind, list[Team]] = {}
        for team in self._universe.teams:
            found.setdefault((team.topology, team.models), []).append(team)
        return found

    @cached_property
    def _kinds(self) -> Mapping[_Kind, Sequence[Team]]:
        """Teams by topology and first model; first models of all topologies in turn."""
        found: dict[_Kind, list[Team]] = {}
        for team in self._universe.teams:
            found.setdefault((team.topology, team.models[:1]), []).append(team)
        turn: dict[str, int] = {}
        order = {kind: turn.setdefault(kind[0], -1) for kind in found}
        for kind in found:
            turn[kind[0]] += 1
            order[kind] = turn[kind[0]]
        return {kind: found[kind] for kind in sorted(found, key=lambda kind: order[kind])}

    def _fit(self, standing: Standing) -> tuple[Floats, Floats, Floats]:
        """Means and variances (teams × objectives, to be minimised), and the variance of one block's mean.

        Constraints follow the objectives; theirs are as they are. Teams that are not looked at have infinite means.
        """
        evidence, universe = standing.evidence, self._universe
        measured = self._measured(evidence)
        rows = self._looked_at(evidence, measured)
        means = np.full((len(universe), len(self._wanted)), np.inf)
        variances, learnt = np.zeros_like(means), []
        # What was seen on every example needs no model: the front is what was measured.
        whole = np.flatnonzero(evidence.done >= evidence.examples)
        for at, (name, direction) in enumerate(self._wanted.items()):
            found = evidence.objective(name)
            prior = self._prior(standing, name)
            predicted = universe.predict(rows, measured, found.values, found.variances, evidence.fresh, prior)
            predicted.mean[whole] = found.values[whole]
            predicted.variance[whole] = found.variances[whole]
            means[rows, at] = -predicted.mean if direction == "maximize" else predicted.mean
            variances[rows, at] = predicted.variance
            learnt.append(found.row_variance / standing.block)
        return means, variances, np.array(learnt)

    def _looked_at(self, evidence: Evidence, measured: Ints) -> Ints:
        """Teams that were measured, and of the others as many as are looked at in a step; another draw in the next."""
        others = np.setdiff1d(np.arange(len(self._universe)), measured)
        if len(others) > _LOOKED_AT:
            rng = np.random.default_rng(derive_seed(self._setting.seed, "look", evidence.blocks))
            others = rng.choice(others, _LOOKED_AT, replace=False)
        return np.concatenate([measured, others])

    @cached_property
    def _wanted(self) -> dict[str, str]:
        goal = self._setting.goal
        return {**goal.objectives, **{name: "minimize" for name in goal.constraints if name not in goal.objectives}}

    def _measured(self, evidence: Evidence) -> Ints:
        return np.array([self._universe.index[team.id] for team in evidence.teams], dtype=np.int64)

    def _prior(self, standing: Standing, name: str) -> Floats | None:
        found = None if objective(name).share else standing.predicted(self._universe.teams, name)
        if found is None or not (found > 0).any():
            return None
        return np.log(np.where(found > 0, found, np.nanmedian(found[found > 0])))

    def _believed(self, standing: Standing, mean: Floats) -> list[int]:
        """Measured and feasible teams whose expected objectives no other's beat."""
        count = len(self._setting.goal.objectives)
        teams = [team for team in standing.evidence.teams if team.id not in standing.infeasible]
        rows = [self._universe.index[team.id] for team in teams]
        return [rows[i] for i in front_indices(mean[rows, :count], ["minimize"] * count)]

    def _to_the_end(self, standing: Standing, team: Team) -> float:
        left = standing.evidence.examples - standing.evidence.seen(team)
        return standing.cost(team, left) if left else 0.0

    def _gap(self, standing: Standing, mean: Floats, front: Sequence[int]) -> _Gap:
        """Between the front and what would be better, in units of the front's ranges."""
        count = len(self._setting.goal.objectives)
        points = self._natural(mean[list(front), :count] if front else mean[self._measured(standing.evidence), :count])
        low, high = points.min(axis=0), points.max(axis=0)
        scale = np.maximum(high - low, _LEAST_RANGE * np.maximum(1.0, np.abs(high)))
        dominated = Dominated((points - low) / scale if front else points[:0], [1 + _BEYOND] * count)
        return _Gap(dominated=dominated, low=low, scale=scale)

    def _most_worth(
        self,
        standing: Standing,
        gap: _Gap,
        mean: Floats,
        variance: Floats,
        learnt: Floats,
        *,
        least: float = _NOTHING,
        failures_count: bool = True,
    ) -> int | None:
        """The team whose next block adds most for a call; of blocks that cost nothing the best; None when none adds."""
        count = len(self._setting.goal.objectives)
        able = self._able(standing)
        able = able[np.isfinite(mean[able]).all(axis=1)]
        if not len(able):
            return None
        step = variance[able] / np.sqrt(variance[able] + learnt)
        hope = gap.improvement(self._natural(mean[able, :count] - 2 * step[:, :count]))
        able_too = np.argsort(-hope, kind="stable")[:_VALUED]
        able_too = able_too[hope[able_too] > least]
        able, step = able[able_too], step[able_too]
        rng = np.random.default_rng(derive_seed(self._setting.seed, "worth", standing.evidence.blocks))
        half = rng.standard_normal((_DRAWS // 2, count))
        draws = np.concatenate([half, -half])  # antithetic
        value = np.zeros(len(able))
        for draw in draws:
            value += gap.improvement(self._natural(mean[able, :count] + draw * step[:, :count]))
        value = value / len(draws) * self._feasible(standing, mean[able], variance[able], failures_count)
        order = np.argsort(-value, kind="stable")[:_PRICED]
        order = order[value[order] > least]
        if not len(order):
            return None
        prices = np.array([standing.cost(self._universe.teams[able[i]], standing.block) for i in order])
        if standing.new_teams is not None:
            # Where teams are counted, a new one is not free, whatever its calls cost.
            new = np.array([self._universe.teams[able[i]] not in standing.evidence for i in order])
            prices = np.where(new, np.maximum(prices, standing.block), prices)
        free = prices < _FREE
        if free.any():
            return int(able[order[free][0]])
        return int(able[order[np.argmax(value[order] / prices)]])

    def _natural(self, points: Floats) -> Floats:
        """Objectives in their own units, from the model's scale."""
        found = points.copy()
        for j, name in enumerate(self._setting.goal.objectives):
            if not objective(name).share:
                sign = -1.0 if self._wanted[name] == "maximize" else 1.0
                found[:, j] = sign * np.exp(np.minimum(sign * points[:, j], _LARGEST_LOG))
        return found

    def _is_free(self, standing: Standing, chosen: int | None) -> bool:
        return chosen is not None and standing.cost(self._universe.teams[chosen], standing.block) < _FREE

    def _least_sure(self, standing: Standing, front: Sequence[int], variance: Floats, learnt: Floats) -> int:
        """The member of the front of which a block would teach most for a call."""
        step = variance[list(front)] / np.sqrt(variance[list(front)] + learnt)
        price = np.array([max(standing.cost(self._universe.teams[i], standing.block), _FREE) for i in front])
        count = len(self._setting.goal.objectives)
        return front[int(np.argmax((step[:, :count] / np.sqrt(learnt[:count])).sum(axis=1) / price))]

    def _able(self, standing: Standing) -> Ints:
        """Teams that a block could be run for."""
        taken = set(standing.closed) | set(standing.infeasible)
        if standing.new_teams == 0:
            teams = [team for team in standing.evidence.teams if team.id not in taken]
            return np.array([self._universe.index[team.id] for team in teams], dtype=np.int64)
        free = np.ones(len(self._universe), dtype=bool)
        free[[self._universe.index[team] for team in taken if team in self._universe.index]] = False
        return np.flatnonzero(free)

    def _feasible(self, standing: Standing, mean: Floats, variance: Floats, failures_count: bool) -> Floats:
        """Chance that a team holds all constraints; without that on failures, unless they count."""
        chance = np.ones(len(mean))
        for name, text in self._setting.goal.constraints.items():
            if name == FAILURES and not failures_count:
                continue
            at = list(self._wanted).index(name)
            comparison, bound = limit(text)
            sign = -1.0 if self._wanted[name] == "maximize" else 1.0
            if objective(name).share:
                # Half an example more than the bound: a share that is seen can only be so near.
                bound += (0.5 if comparison == "<=" else -0.5) / standing.evidence.examples
            else:
                bound = math.log(max(bound, 1e-12))
            z = (bound - sign * mean[:, at]) / np.sqrt(variance[:, at])
            z = z if comparison == "<=" else -z
            chance *= ndtr(z)
        return chance


sampler = Ehvi
