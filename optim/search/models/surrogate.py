"""A model of the whole space: it predicts teams that were not measured from those that were.

It is a Gaussian process over the finite space. Its kernel is made for teams: two teams are similar when they use the
same models, more similar when they also have the same topology, and most similar when their numbers are near, too. The
covariance is the sum of a low-rank matrix and a diagonal one (incomplete Cholesky factorisation: Fine and Scheinberg,
JMLR 2, 2001; used as in FITC: Snelson and Ghahramani, NIPS 2005), so that a fit over a thousand teams takes
milliseconds.
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

#: The maximum number of teams of the model. From a larger space, a random part of this size is used.
MOST_TEAMS = 8000
#: The rank of the covariance. A higher rank changes the predictions less than one more block does.
RANK = 96
#: The shares of the prior variance that teams have in common: when they use the same models in any place (the Jaccard
#: index of the sets of models), when they use them in the same places of the same topology, and when their numbers are
#: near, too. The sum is 1.
_MODELS, _TOPOLOGY, _NUMBERS = 0.5, 0.2, 0.3
#: The factor of the similarity for each model or name that differs; and the length scale for numbers, as a share of
#: their range.
_OTHER_NAME = 0.35
_LENGTH = 0.7
#: The share of the prior variance of a team that cannot be predicted from other teams.
_OWN = 0.03
_LEAST_VARIANCE = 1e-6
#: The prior variance is estimated from so many recent teams, with so low a rank: it needs only a factor of three.
_RECENT, _ROUGH = 400, 40
#: The weight of a measurement for which all calls were answered from the call store.
_SHARED = 0.15


@dataclass(frozen=True, kw_only=True, eq=False)
class Prediction:
    """The prediction of one objective.

    Attributes:
        mean: The means, of shape (teams,).
        variance: The variances, of shape (teams,).
    """

    mean: Floats
    variance: Floats


class Universe:
    """The teams of the model, with their covariance.

    Args:
        space: The space. When it has more than ``MOST_TEAMS`` teams, so many are drawn at random, with equal
            probabilities for the topologies.
        seed: The seed of the random choice.
        start: Teams that the model has in any case.
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
        #: Which models each team uses, in any place, of shape (teams, models).
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
        """Predict an objective.

        Args:
            rows: The indices of the teams to predict: first the measured teams, in their order, then others.
            measured: The indices of the measured teams.
            values: The measured values, of shape (measured,).
            variances: The variances of their errors, of shape (measured,).
            fresh: The share of calls that each team did not share with others, from 0 to 1, of shape (measured,). Teams
                that share calls also share their random errors: ten votes over the same answers are not ten times the
                evidence.
            prior: The expected values of all teams before any measurement, of shape (teams,); None for the mean of the
                measured values.

        Returns:
            The predictions for ``rows``.
        """
        prior_mean = np.zeros(len(self)) if prior is None else prior
        rest = values - prior_mean[measured]
        weights = fresh / (variances + max(float(rest.var()), _LEAST_VARIANCE))
        centre = float((rest * weights).sum() / max(weights.sum(), _LEAST_VARIANCE))
        rest = rest - centre
        increased_variances = variances / (_SHARED + (1 - _SHARED) * fresh)
        scale = self._scale(measured, rest, increased_variances)
        known = self.factor[measured]
        noise = increased_variances + scale * self.own[measured]
        whitened = known / np.sqrt(noise)[:, None]
        precision = whitened.T @ whitened
        precision[np.diag_indices_from(precision)] += 1 / scale
        inverse = np.linalg.inv(precision)  # the matrix is small, and 1 / scale makes it well conditioned
        weight = inverse @ (known.T @ (rest / noise))
        # Single precision, because this takes most of the time of a step, and six digits are enough.
        factor = self._single[rows]
        mean = prior_mean[rows] + centre + factor @ weight.astype(np.float32)
        shared = np.einsum("ij,ij->i", factor @ inverse.astype(np.float32), factor).astype(np.float64)
        variance = shared + scale * self.own[rows]
        # The part of a team that other teams cannot predict is learnt only from its own measurement.
        gain = scale * self.own[measured] / (variances + scale * self.own[measured])
        first = slice(len(measured))
        mean[first] += gain * (rest - known @ weight)
        variance[first] = shared[first] * (1 - gain) ** 2 + gain * variances
        return Prediction(mean=mean, variance=np.maximum(variance, _LEAST_VARIANCE))

    def _scale(self, measured: Ints, rest: Floats, variances: Floats) -> float:
        """The prior variance with the highest likelihood, out of three values around the measured variance."""
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
        """The covariance of one team with all teams, in units of the prior variance."""
        both = (self._uses & self._uses[team]).sum(axis=1)
        common = both / np.maximum(1, (self._uses | self._uses[team]).sum(axis=1))
        similarity = _OTHER_NAME ** (self._names != self._names[team]).sum(axis=1)
        same = self._topologies == self._topologies[team]
        near = np.exp(-0.5 * (((self._numbers - self._numbers[team]) / _LENGTH) ** 2).sum(axis=1))
        near *= _OTHER_NAME ** (self._others != self._others[team]).sum(axis=1)
        return np.asarray(_MODELS * common + same * similarity * (_TOPOLOGY + _NUMBERS * near))

    def _factorised(self) -> tuple[Floats, Floats]:
        """The incomplete Cholesky factor, of shape (teams, rank), and the remaining variances, of shape (teams,)."""
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
    """The features of teams as arrays with one row per team.

    Returns:
        The codes of the models by place, the numbers scaled to [0, 1], the index of the topology, and the codes of all
        other names.
    """
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
