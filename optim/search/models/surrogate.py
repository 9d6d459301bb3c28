"""A model of the whole space: what teams that were measured say of those that were not.

A Gaussian process over the finite space, with a kernel that knows what a team is: teams are alike when they use the
same models, more so in the same topology, most when their numbers are near too. Its covariance is kept as a low-rank
part and a diagonal (incomplete Cholesky factorisation: Fine and Scheinberg, JMLR 2, 2001; used as in FITC: Snelson and
Ghahramani, NIPS 2005), so that a fit over a thousand teams takes milliseconds.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from orkester.graphs import OneOfModels, Team, topology
from orkester.optim.study.space import Space

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]

#: Most teams that are looked at together; of a larger space as many are drawn, and those near what is good come later.
MOST_TEAMS = 8000
#: Rank of the covariance; more changes predictions less than one more block does.
RANK = 96
#: Shares of the prior variance: what teams have in common by the models they use (in parts of those that either uses:
#: Jaccard), by the same models in the same places of a topology, and by near numbers too. They sum to one.
_MODELS, _TOPOLOGY, _NUMBERS = 0.5, 0.2, 0.3
#: Likeness left when one model, or one name, differs; and distance, in shares of a range, at which numbers differ.
_OTHER_NAME = 0.35
_LENGTH = 0.7
#: Of the prior variance: what no other team can say about a team.
_OWN = 0.03
_LEAST_VARIANCE = 1e-6
#: Teams measured last, and rank, by which the prior variance is found: a factor of three needs no more.
_RECENT, _ROUGH = 400, 40
#: What a measurement counts for of which no call is its own.
_SHARED = 0.15


@dataclass(frozen=True, kw_only=True, eq=False)
class Prediction:
    """Means and variances of one objective, of the teams that were asked for."""

    mean: Floats
    variance: Floats


class Universe:
    """The teams a search looks at, with what the kernel needs to know of them.

    Args:
        space: all teams; of more than ``MOST_TEAMS`` as many are drawn, topologies equally.
        seed: of the draw.
    """

    def __init__(self, space: Space, seed: int, *, start: Sequence[Team] = ()) -> None:
        if len(space) <= MOST_TEAMS:
            teams = list(space.teams())
        else:
            rng = random.Random(seed)
            teams = list({team.id: team for team in (space.draw(rng) for _ in range(MOST_TEAMS))}.values())
        self.teams: list[Team] = list({team.id: team for team in [*start, *teams]}.values())
        self.index: dict[str, int] = {team.id: i for i, team in enumerate(self.teams)}
        self._names, self._numbers, self._topologies, self._others = _features(space, self.teams)
        codes = range(int(self._names.max()) + 1)
        #: Which models a team uses, in whatever place.
        self._uses = np.column_stack([(self._names == code).any(axis=1) for code in codes])
        self.factor, rest = self._factorised()
        self._single = self.factor.astype(np.float32)
        self.own: Floats = rest + _OWN

    def __len__(self) -> int:
        return len(self.teams)

    def predict(
        self,
        rows: Ints,
        measured: Ints,
        values: Floats,
        variances: Floats,
        fresh: Floats,
        prior: Floats | None = None,
    ) -> Prediction:
        """What is to be expected of teams.

        Args:
            rows: indices of teams, those measured first, in their order.
            measured: indices of teams.
            values, variances: what was measured of each, and the variance of its error.
            fresh: how much of each is its own, 0 to 1. Teams that share calls share their luck too; counted in full,
                ten votes over the same answers would pass for ten times the evidence.
            prior: expected of every team before anything of it was measured; None for the mean of what was.
        """
        before = np.zeros(len(self)) if prior is None else prior
        rest = values - before[measured]
        weights = fresh / (variances + max(float(rest.var()), _LEAST_VARIANCE))
        centre = float((rest * weights).sum() / max(weights.sum(), _LEAST_VARIANCE))
        rest = rest - centre
        lessened = variances / (_SHARED + (1 - _SHARED) * fresh)
        scale = self._scale(measured, rest, lessened)
        known = self.factor[measured]
        noise = lessened + scale * self.own[measured]
        whitened = known / np.sqrt(noise)[:, None]
        precision = whitened.T @ whitened
        precision[np.diag_indices_from(precision)] += 1 / scale
        inverse = np.linalg.inv(precision)  # small, and well conditioned by 1 / scale
        weight = inverse @ (known.T @ (rest / noise))
        # In single precision: this takes most of a step's time, and nothing here is known to six digits.
        factor = self._single[rows]
        mean = before[rows] + centre + factor @ weight.astype(np.float32)
        shared = np.einsum("ij,ij->i", factor @ inverse.astype(np.float32), factor).astype(np.float64)
        variance = shared + scale * self.own[rows]
        # What is a team's own is learnt from its own measurement alone.
        gain = scale * self.own[measured] / (variances + scale * self.own[measured])
        first = slice(len(measured))
        mean[first] += gain * (rest - known @ weight)
        variance[first] = shared[first] * (1 - gain) ** 2 + gain * variances
        return Prediction(mean=mean, variance=np.maximum(variance, _LEAST_VARIANCE))

    def _scale(self, measured: Ints, rest: Floats, variances: Floats) -> float:
        """The prior variance that makes what was measured likeliest, of a few around its spread."""
        spread = max(float((rest**2).mean()), _LEAST_VARIANCE)
        recent = measured[-_RECENT:]
        known = self.factor[recent, :_ROUGH]
        own = self.own[recent] + (self.factor[recent, _ROUGH:] ** 2).sum(axis=1)
        rest, variances = rest[-_RECENT:], variances[-_RECENT:]

        def likelihood(scale: float) -> float:
            noise = variances + scale * own
            inner = known.T @ (known / noise[:, None])
            inner[np.diag_indices_from(inner)] += 1 / scale
            cholesky = np.linalg.cholesky(inner)
            fitted = np.linalg.solve(cholesky, known.T @ (rest / noise))
            size = known.shape[1] * np.log(scale) + 2 * np.log(np.diag(cholesky)).sum() + np.log(noise).sum()
            return -0.5 * float((rest**2 / noise).sum() - (fitted**2).sum() + size)

        return max((spread * factor for factor in (0.3, 1.0, 3.0)), key=likelihood)

    def _column(self, team: int) -> Floats:
        """Covariance of one team with all, in units of the prior variance."""
        both = (self._uses & self._uses[team]).sum(axis=1)
        common = both / np.maximum(1, (self._uses | self._uses[team]).sum(axis=1))
        alike = _OTHER_NAME ** (self._names != self._names[team]).sum(axis=1)
        same = self._topologies == self._topologies[team]
        near = np.exp(-0.5 * (((self._numbers - self._numbers[team]) / _LENGTH) ** 2).sum(axis=1))
        near *= _OTHER_NAME ** (self._others != self._others[team]).sum(axis=1)
        return np.asarray(_MODELS * common + same * alike * (_TOPOLOGY + _NUMBERS * near))

    def _factorised(self) -> tuple[Floats, Floats]:
        """Incomplete Cholesky factor (teams × rank), greatest remaining variance first, and what remains."""
        n = len(self.teams)
        rank = min(RANK, n)
        factor, rest = np.zeros((n, rank)), np.ones(n)
        for j in range(rank):
            pivot = int(rest.argmax())
            if rest[pivot] < 1e-6:
                return factor[:, :j], np.maximum(rest, 0.0)
            column = (self._column(pivot) - factor[:, :j] @ factor[pivot, :j]) / np.sqrt(rest[pivot])
            factor[:, j] = column
            rest = rest - column**2
        return factor, np.maximum(rest, 0.0)


def _features(space: Space, teams: Sequence[Team]) -> tuple[Ints, Floats, Ints, Ints]:
    """Models by place (teams × places), numbers in [0, 1], topology, and all other names."""
    places = max(sum(_is_model(name, knob) for knob in grids) for name, grids in space.grids.items())
    numbers: list[tuple[str, str]] = []
    others: list[tuple[str, str]] = []
    models: dict[str, list[str]] = {}
    for name, grids in space.grids.items():
        models[name] = [knob for knob in grids if _is_model(name, knob)]
        for knob, grid in grids.items():
            if knob not in models[name]:
                (others if isinstance(grid.values[0], str) else numbers).append((name, knob))
    codes: dict[object, int] = {}
    kinds = list(space.grids)
    names = np.full((len(teams), places), -1, dtype=np.int64)
    found = np.zeros((len(teams), len(numbers)))
    rest = np.full((len(teams), len(others) + len(space.engine)), -1, dtype=np.int64)
    at = {key: i for i, key in enumerate(numbers)}
    other_at = {key: i for i, key in enumerate(others)}
    spans = {
        (name, knob): (float(space.grids[name][knob].values[0]), float(space.grids[name][knob].values[-1]))
        for name, knob in numbers
    }
    for i, team in enumerate(teams):
        for place, knob in enumerate(models[team.topology]):
            names[i, place] = codes.setdefault(("model", team.knobs[knob]), len(codes))
        for knob, chosen in team.knobs.items():
            key = (team.topology, knob)
            if key in at:
                low, high = spans[key]
                found[i, at[key]] = (float(chosen) - low) / (high - low) if high > low else 0.0
            elif key in other_at:
                rest[i, other_at[key]] = codes.setdefault((*key, chosen), len(codes))
        for j, option in enumerate(space.engine):
            rest[i, len(others) + j] = codes.setdefault((option, team.engine[option]), len(codes))
    topologies = np.array([kinds.index(team.topology) for team in teams], dtype=np.int64)
    return names, found, topologies, rest


def _is_model(name: str, knob: str) -> bool:
    return isinstance(topology(name).knobs[knob].range, OneOfModels)
