"""The effect of each knob on each quantity: a model of the teams measured so far that random draws can be made from.

Within a topology a quantity is the sum of a mean, an effect of each searched knob and one of each pair of knobs
(functional ANOVA: Hutter, Hoos and Leyton-Brown, "An Efficient Approach for Assessing Hyperparameter Importance", ICML
2014). Effects are written in functions that are orthonormal over the grid (polynomials of a number's place in its
grid, contrasts of names), so that the variance an effect makes is the sum of its squared coefficients (Sudret,
"Global sensitivity analysis using polynomial chaos expansions", Reliability Engineering and System Safety 93, 2008).
The size of each effect is learnt from the data by Gibbs sampling with half-Cauchy priors (Makalic and Schmidt, "A
Simple Sampler for the Horseshoe Estimator", IEEE Signal Processing Letters 23, 2016): an effect without evidence
shrinks to 0, and an effect that few teams show stays uncertain. Every team counts according to its own measurement
error, so a team that was stopped early counts less. What the effects cannot explain is a variance of its own. All draws
come from one seed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from orkester.evals.objectives import Estimate, objective
from orkester.evals.summaries.measurement import Measurement
from orkester.optim.goals.goal import FAILURES, violation
from orkester.optim.run.results import Results
from orkester.optim.search.models.design import Design, Floats, Levels
from orkester.optim.study.space import Space

#: With fewer teams a quantity is not modelled.
MIN_TEAMS = 10
SWEEPS, BURN_IN = 300, 60
#: Half-width of a 95 % interval in standard deviations.
_HALF = 1.96
#: Prior scale of an effect's standard deviation (half-Cauchy), in standard deviations of all teams: for one knob, and
#: for a pair of knobs.
_SCALES = {1: 0.3, 2: 0.06}
#: Possible variances that the effects do not explain, as shares of the variance of all teams.
_MISFITS = np.geomspace(1e-4, 1.0, 7)
#: Teams that are added up at a time.
_SLICE = 64


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A quantity that is modelled.

    Attributes:
        name: The name of the objective.
        logarithmic: Whether its logarithm is modelled: when it is not a share and all values are above 0.
        centre, scale: The value (or its logarithm) is centre + scale × the model's value.
    """

    name: str
    logarithmic: bool
    centre: float
    scale: float

    def model(self, value: float) -> float:
        """The model's value for a value in the quantity's unit."""
        return ((math.log(value) if self.logarithmic else value) - self.centre) / self.scale

    def bounded(self, modelled: Floats) -> Floats:
        """The model's values within what is possible: a share is 0 to 1."""
        if not objective(self.name).share:
            return modelled
        return np.clip(modelled, (0.0 - self.centre) / self.scale, (1.0 - self.centre) / self.scale)

    def unit(self, modelled: Floats) -> Floats:
        """Values in the quantity's unit for the model's values."""
        plain = self.centre + self.scale * self.bounded(modelled)
        return np.exp(plain) if self.logarithmic else plain


@dataclass(frozen=True, kw_only=True)
class Effects:
    """Draws of everything that is not known.

    Attributes:
        space: The teams of the study.
        designs: The design of each topology, in the space's order.
        quantities: The modelled quantities, in the order of the draws' second axis.
        coefficients: By topology, (draws, quantities, columns).
        misfit: Variance that the effects cannot explain, (draws, quantities).
        teams: How many teams were used, by topology and quantity.
    """

    space: Space
    designs: Mapping[str, Design]
    quantities: Sequence[Quantity]
    coefficients: Mapping[str, Floats]
    misfit: Floats
    teams: Mapping[str, Mapping[str, int]]


def fit(results: Results, space: Space, names: Sequence[str], *, seed: int = 0, sweeps: int = SWEEPS) -> Effects | None:
    """Learn the effects from a run's teams.

    Teams that failed more than the constraints allow are left out: what a team that failed would score says little.

    Args:
        results: of the run.
        space: its teams.
        names: quantities; those that fewer than ``MIN_TEAMS`` teams have, or that never differ, are left out.
        seed: of the draws.
        sweeps: draws to make, besides those that are thrown away.

    Returns:
        None when nothing is left.
    """
    designs = {name: Design(name, space) for name in space.grids}
    places: dict[str, Levels] = {}
    rows: list[Measurement] = []
    for name, design in designs.items():
        of = [r for r in results.teams if r.team.topology == name]
        of = [r for r in of if r.search is not None and not failed(r.search, results.constraints)]
        levels, known = design.levels([r.team for r in of])
        places[name] = levels[known]
        rows += [r.search for r, good in zip(of, known, strict=True) if good and r.search is not None]
    scaled = {name: found for name in names if (found := _scaled(name, rows)) is not None}
    if not scaled:
        return None
    quantities = [quantity for quantity, _, _ in scaled.values()]
    values = np.stack([value for _, value, _ in scaled.values()])
    errors = np.stack([error for _, _, error in scaled.values()])
    chains, start, counts = [], 0, {}
    for name, design in designs.items():
        part = slice(start, start + len(places[name]))
        start = part.stop
        columns = design.columns(places[name])
        counts[name] = {q.name: int(np.isfinite(values[i, part]).sum()) for i, q in enumerate(quantities)}
        chains.append(_Chain(design, columns, values[:, part], errors[:, part]))
    coefficients, misfit = _draw(chains, len(quantities), sweeps, np.random.default_rng(seed))
    return Effects(
        space=space,
        designs=designs,
        quantities=quantities,
        coefficients=dict(zip(designs, coefficients, strict=True)),
        misfit=misfit,
        teams=counts,
    )


def failed(measurement: Measurement, constraints: Mapping[str, str]) -> bool:
    """Whether more of a team's examples failed than the constraints allow."""
    rate, text = measurement.estimates.get(FAILURES), constraints.get(FAILURES)
    return rate is not None and text is not None and violation(rate.value, text) > 0


def _scaled(name: str, rows: Sequence[Measurement]) -> tuple[Quantity, Floats, Floats] | None:
    """A quantity with its values and their error variances as the model takes them; NaN where it was not measured."""
    estimates = [row.estimates.get(name) for row in rows]
    known = [estimate for estimate in estimates if estimate is not None]
    if len(known) < MIN_TEAMS:
        return None
    # Knobs multiply everything but shares.
    logarithmic = not objective(name).share and all(estimate.value > 0 for estimate in known)
    plain = np.array([np.nan if e is None else math.log(e.value) if logarithmic else e.value for e in estimates])
    centre, scale = float(np.nanmean(plain)), float(np.nanstd(plain))
    if scale < 1e-9 * max(1.0, abs(centre)):
        return None
    quantity = Quantity(name=name, logarithmic=logarithmic, centre=centre, scale=scale)
    return quantity, (plain - centre) / scale, _errors(estimates, logarithmic) / scale**2


def _errors(estimates: Sequence[Estimate | None], logarithmic: bool) -> Floats:
    """Error variances from the intervals; without an interval, the typical variance for as many examples."""
    found = np.array([_error(estimate, logarithmic) for estimate in estimates])
    examples = np.array([estimate.n if estimate is not None else 1 for estimate in estimates], dtype=np.float64)
    known = np.isfinite(found)
    typical = float(np.median(found[known] * examples[known])) if known.any() else 0.0
    return np.where(known, found, typical / examples)


def _error(estimate: Estimate | None, logarithmic: bool) -> float:
    """The error variance from half the interval; when one end is not known, from the other side."""
    if estimate is None:
        return math.nan
    sides = [abs(end - estimate.value) for end in (estimate.low, estimate.high) if end is not None]
    if not sides:
        return math.nan
    half = sum(sides) / len(sides) / (estimate.value if logarithmic else 1.0)
    return (half / _HALF) ** 2


class _Chain:
    """Gibbs sampling of one topology's coefficients, for all quantities at once.

    Sums over teams are computed before the first sweep, for each possible misfit, so that a sweep takes the same time
    for ten teams and for ten thousand.
    """

    def __init__(self, design: Design, columns: Floats, values: Floats, errors: Floats) -> None:
        known = np.isfinite(values)
        weights = np.where(known, 1.0 / (_MISFITS[:, None, None] + errors), 0.0)
        self._log = np.where(known, np.log(_MISFITS[:, None, None] + errors), 0.0).sum(axis=2)
        sums = np.empty((*weights.shape[:2], len(design.prior) + 1, len(design.prior) + 1))
        for i, seen in enumerate(np.where(known, values, 0.0)):
            both = np.hstack([columns, seen[:, None]])
            for j in range(len(_MISFITS)):
                sums[j, i] = _gram(both, weights[j, i])
        self._gram, self._cross, self._square = sums[:, :, :-1, :-1].copy(), sums[:, :, :-1, -1], sums[:, :, -1, -1]
        quantities, effects = len(values), design.effects
        self._of = np.zeros((len(design.prior), len(effects)))
        for i, effect in enumerate(effects):
            self._of[effect.start : effect.stop, i] = 1.0
        self._prior = np.where(design.prior > 0, design.prior, 1.0)
        self._shape = (self._of.sum(axis=0) + 1) / 2
        self._scale = np.array([_SCALES[len(effect.knobs)] ** -2 for effect in effects])
        self.variance = np.full((quantities, len(effects)), 0.05)
        self._helper = np.ones((quantities, len(effects)))
        self.drawn = np.zeros((quantities, len(design.prior)))

    def sweep(self, misfit: Levels, mean: Floats, between: Floats, rng: np.random.Generator) -> None:
        """Draw the coefficients, then the sizes of the effects.

        Args:
            misfit: For each quantity, an index into ``_MISFITS``.
            mean, between: For each quantity, the mean of the constants of all topologies and their variance.
            rng: Random numbers.
        """
        each = np.arange(len(misfit))
        precision = (1.0 / self.variance) @ self._of.T / self._prior
        precision[:, 0] = 1.0 / between
        matrix = self._gram[misfit, each]  # a copy, since it is picked by indices
        diagonal = np.arange(matrix.shape[1])
        matrix[:, diagonal, diagonal] += precision
        right = self._cross[misfit, each]
        right[:, 0] += mean / between
        root = np.linalg.cholesky(matrix)
        noise = (root @ rng.standard_normal(right.shape)[:, :, None])[:, :, 0]
        self.drawn[:] = np.linalg.solve(matrix, (right + noise)[:, :, None])[:, :, 0]
        sizes = (self.drawn**2 / self._prior) @ self._of / 2
        variance = (1.0 / self._helper + sizes) / rng.gamma(self._shape, size=self.variance.shape)
        self.variance[:] = np.clip(variance, 1e-8, 1e4)
        self._helper = (self._scale + 1.0 / self.variance) / rng.exponential(size=self.variance.shape)

    def deviances(self) -> Floats:
        """Minus two times the log likelihood of the coefficients, (misfits, quantities)."""
        fitted = self.drawn[None, :, :]
        quadratic = ((fitted[:, :, None, :] @ self._gram)[:, :, 0, :] * fitted).sum(axis=2)
        found: Floats = self._square - 2 * (fitted * self._cross).sum(axis=2) + quadratic + self._log
        return found


def _gram(columns: Floats, weights: Floats) -> Floats:
    """Σ weight × row × row, in slices, since threads of a linear algebra library do not pay for so small a product."""
    found = np.zeros((columns.shape[1], columns.shape[1]))
    for start in range(0, len(columns), _SLICE):
        part = columns[start : start + _SLICE]
        found += (part.T * weights[start : start + _SLICE]) @ part
    return found


def _draw(
    chains: Sequence[_Chain], quantities: int, sweeps: int, rng: np.random.Generator
) -> tuple[list[Floats], Floats]:
    misfit = np.full(quantities, len(_MISFITS) // 2)
    mean, between, helper = np.zeros(quantities), np.ones(quantities), np.ones(quantities)
    kept: list[list[Floats]] = [[] for _ in chains]
    misfits = []
    for sweep in range(-BURN_IN, sweeps):
        for chain in chains:
            chain.sweep(misfit, mean, between, rng)
        likely = -0.5 * np.sum([chain.deviances() for chain in chains], axis=0)
        misfit = np.argmax(likely + rng.gumbel(size=likely.shape), axis=0)
        if len(chains) > 1:
            constants = np.stack([chain.drawn[:, 0] for chain in chains])
            # One more observation, of 0, keeps the mean near the teams.
            mean = constants.sum(axis=0) / (len(chains) + between) + rng.standard_normal(quantities) * np.sqrt(
                between / (len(chains) + between)
            )
            spread = ((constants - mean) ** 2).sum(axis=0) / 2
            between = np.clip((1.0 / helper + spread) / rng.gamma((len(chains) + 1) / 2, size=quantities), 1e-8, 1e4)
            helper = (1.0 + 1.0 / between) / rng.exponential(size=quantities)
        if sweep >= 0:
            misfits.append(_MISFITS[misfit])
            for samples, chain in zip(kept, chains, strict=True):
                samples.append(chain.drawn.copy())
    return [np.stack(samples) for samples in kept], np.stack(misfits)
