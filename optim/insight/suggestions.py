"""Suggestions what to try next: untried teams that may beat the front, and ranges that end too early.

Everything here is a prediction of the model in ``effects.py``, and must be labelled as one. Teams are ranked by how
much they may be expected to push the front (expected maximin improvement: Svenson and Santner, "Multiobjective
optimization of expensive-to-evaluate deterministic computer simulator models", Computational Statistics and Data
Analysis 94, 2016, section 3); after each choice its prediction counts as part of the front, so that the next one is not
its neighbour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from orkester.errors import OrkesterError
from orkester.evals.objectives import Estimate, objective
from orkester.graphs import Between, Team, topology
from orkester.optim.goals.goal import violation
from orkester.optim.run.results import Results
from orkester.optim.search.models.design import Bools, Design, Floats, Levels
from orkester.optim.study.space import Space

from .effects import Effects, failed

#: Suggestions at most.
MOST = 5
#: A suggestion joins the front with at least this probability.
_LEAST_CHANCE = 0.05
#: Untried teams that are looked at; of more, so many at random, and all that differ from a front member in one knob.
_CANDIDATES = 4000
_DRAWS = 75
#: Teams that are predicted at a time.
_SLICE = 16


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """A team that was not tried and may be worth it.

    Attributes:
        team: The team.
        predicted: By objective, mean and 95 % interval of the predicted true value; ``n`` is the number of teams of the
            same topology that the prediction is made from.
        chance: Predicted probability that no front member beats the team in every objective.
        claim: Which part of the front the team would beat, if the prediction is right.
    """

    team: Team
    predicted: Mapping[str, Estimate]
    chance: float
    claim: str

    @property
    def reason(self) -> str:
        """The suggestion in a sentence."""
        values = ", ".join(
            f"{name} {_number(name, e.value)} ({e.low:.3g}–{e.high:.3g})" for name, e in self.predicted.items()
        )
        return f"{self.team}: predicted {values}; {self.claim} ({self.chance:.0%} likely to join the front)"


def worth_trying(results: Results, effects: Effects | None, *, most: int = MOST, seed: int = 0) -> Sequence[Suggestion]:
    """Untried teams that may beat the front if their true values are at the good end of the prediction.

    The most promising team comes first. A team is left out if it is predicted to violate a constraint, or if it has a
    model or another named value with which every team failed so far.

    Args:
        results: The results of the run.
        effects: The result of ``effects.fit`` for the objectives and the constraints.
        most: The most suggestions.
        seed: The seed of the random numbers.

    Returns:
        No suggestions where there is no front yet, or too few teams to predict an objective.
    """
    modelled = {q.name: i for i, q in enumerate(effects.quantities)} if effects is not None else {}
    objectives = [name for name in results.objectives if name in modelled]
    if effects is None or not results.front or _too_little(results, objectives):
        return []
    rng = np.random.default_rng(seed)
    candidates = {
        name: _candidates(results, design, len(effects.designs), rng) for name, design in effects.designs.items()
    }
    draws = {name: _predict(effects, name, levels, rng) for name, levels in candidates.items()}
    where = [(name, i) for name, levels in candidates.items() for i in range(len(levels))]
    every = np.concatenate(list(draws.values()))  # (teams, draws, quantities)
    allowed = _allowed(results, effects, every) & ~_failing(results, effects, candidates)
    where, every = [where[i] for i in np.flatnonzero(allowed)], every[allowed]
    if not where:
        return []
    judge = _Judge(results, effects, objectives)
    oriented = judge.oriented(every)
    gains = judge.gains(oriented, judge.front)
    corner = judge.gains(np.quantile(oriented, 0.975, axis=1, keepdims=True), judge.front)[:, 0]
    chances = (gains > 0).mean(axis=1)
    open_ = (corner > 0) & (chances >= _LEAST_CHANCE)
    found: list[Suggestion] = []
    while len(found) < most and open_.any():
        expected = np.where(open_, np.maximum(gains, 0).mean(axis=1), -1.0)
        best = int(np.argmax(expected))
        if expected[best] <= 0:
            break
        name, row = where[best]
        team = effects.designs[name].team([int(level) for level in candidates[name][row]])
        if team not in effects.space:  # another setting of it stands for the team, and is judged by itself
            open_[best] = False
            continue
        predicted = _estimates(effects, name, objectives, every[best])
        claim = _claim(predicted, results)
        found.append(Suggestion(team=team, predicted=predicted, chance=float(chances[best]), claim=claim))
        gains = np.minimum(gains, judge.gains(oriented, oriented[best].mean(axis=0, keepdims=True)))
        open_[best] = False
    return found


def border_hints(results: Results, space: Space) -> Sequence[str]:
    """Sentences about ranges that could be widened: most front members of the topology are at one end of the range."""
    hints = []
    for name, grids in space.grids.items():
        members = [result.team for result in results.front if result.team.topology == name]
        for knob, grid in grids.items():
            limits = _limits(name, knob)
            if limits is None or len(grid.values) < 3 or not members:
                continue
            for value, end, beyond in (
                (grid.values[0], "lower", limits.low),
                (grid.values[-1], "upper", limits.high),
            ):
                count = sum(team.knobs.get(knob) == value for team in members)
                if count < 2 or 2 * count <= len(members) or abs(float(value) - beyond) < 1e-9:
                    continue
                hints.append(
                    f"{count} of {len(members)} front members of {name} have {knob}={value}, the {end} end of its "
                    f"range: widen it, the topology takes {limits.low:g} to {limits.high:g}"
                )
    return hints


class _Judge:
    """Compares predictions with the front, each objective in standard deviations of all teams and more being better."""

    def __init__(self, results: Results, effects: Effects, objectives: Sequence[str]) -> None:
        self._index = [[q.name for q in effects.quantities].index(name) for name in objectives]
        self._signs = np.array([1.0 if results.objectives[name] == "maximize" else -1.0 for name in objectives])
        self.front = (
            np.array(
                [
                    [
                        effects.quantities[i].model(result.search.estimates[effects.quantities[i].name].value)
                        for i in self._index
                    ]
                    for result in results.front
                    if result.search is not None
                ]
            )
            * self._signs
        )

    def oriented(self, draws: Floats) -> Floats:
        """(teams, draws, objectives)."""
        found: Floats = draws[:, :, self._index] * self._signs
        return found

    def gains(self, oriented: Floats, front: Floats) -> Floats:
        """How far each draw is from being beaten by a member of the front, (teams, draws); above 0 it is not."""
        gains = np.full(oriented.shape[:2], np.inf)
        for member in front:
            gains = np.minimum(gains, (oriented - member).max(axis=2))
        return gains


def _too_little(results: Results, objectives: Sequence[str]) -> bool:
    """Whether an objective that differs among teams could not be modelled."""
    for name in results.objectives:
        values = {r.search.estimates[name].value for r in results.teams if r.search and name in r.search.estimates}
        if name not in objectives and len(values) > 1:
            return True
    return not objectives


def _candidates(results: Results, design: Design, topologies: int, rng: np.random.Generator) -> Levels:
    shape = design.shape
    size = int(np.prod(shape, dtype=np.int64))
    of = [result for result in results.teams if result.team.topology == design.name]
    levels, known = design.levels([result.team for result in of])
    tried = {int(i) for i in _flat(levels[known], shape)}
    most = max(1, _CANDIDATES // topologies)
    chosen = set(range(size)) if size <= most else {int(i) for i in rng.integers(0, size, most)}
    on_front = np.array([result.on_front for result in of], dtype=bool)
    for member in levels[known & on_front]:
        for knob, count in enumerate(shape):
            near = np.repeat(member[None, :], count, axis=0)
            near[:, knob] = np.arange(count)
            chosen.update(int(i) for i in _flat(near, shape))
    untried = np.array(sorted(chosen - tried), dtype=np.int64)
    if not shape:
        return np.empty((len(untried), 0), dtype=np.int64)
    return np.stack(np.unravel_index(untried, shape), axis=1).astype(np.int64)


def _flat(levels: Levels, shape: tuple[int, ...]) -> Levels:
    if not shape:
        return np.zeros(len(levels), dtype=np.int64)
    return np.asarray(np.ravel_multi_index(tuple(levels.T), shape), dtype=np.int64)


def _predict(effects: Effects, name: str, levels: Levels, rng: np.random.Generator) -> Floats:
    """Draws of what is true of teams, (teams, draws, quantities): effects, and what they cannot follow."""
    drawn = effects.coefficients[name]
    picked = np.linspace(0, len(drawn) - 1, _DRAWS).astype(np.int64)
    columns, coefficients = effects.designs[name].columns(levels), drawn[picked].reshape(-1, drawn.shape[2]).T
    # In slices, as in effects.py: so small a product is not worth a linear algebra library's threads.
    parts = [columns[start : start + _SLICE] @ coefficients for start in range(0, len(columns), _SLICE)]
    means = np.concatenate(parts or [columns @ coefficients])
    means = means.reshape(len(levels), len(picked), drawn.shape[1])
    found = means + rng.standard_normal(means.shape) * np.sqrt(effects.misfit[picked])
    for i, quantity in enumerate(effects.quantities):
        found[:, :, i] = quantity.bounded(found[:, :, i])
    return found


def _allowed(results: Results, effects: Effects, draws: Floats) -> Bools:
    """Which teams are predicted to hold the constraints; one that could not be modelled forbids none."""
    holds = np.ones(len(draws), dtype=bool)
    for i, quantity in enumerate(effects.quantities):
        if quantity.name in results.constraints:
            means = quantity.unit(draws[:, :, i].mean(axis=1))
            holds &= np.array(
                [violation(float(mean), results.constraints[quantity.name]) <= 0 for mean in means], dtype=bool
            )
    return holds


def _failing(results: Results, effects: Effects, candidates: Mapping[str, Levels]) -> Bools:
    """Which teams have a named value with which every team so far failed; models count whichever knob names them."""
    good: set[object] = set()
    bad: set[object] = set()
    for result in results.teams:
        broken = result.search is None or failed(result.search, results.constraints)
        (bad if broken else good).update(value for value in result.team.knobs.values() if isinstance(value, str))
    doomed = bad - good
    found = []
    for name, levels in candidates.items():
        hit = np.zeros(len(levels), dtype=bool)
        for column, knob in enumerate(effects.designs[name].knobs):
            hit |= np.array([value in doomed for value in knob.values], dtype=bool)[levels[:, column]]
        found.append(hit | any(value in doomed for value in effects.designs[name].fixed))
    return np.concatenate(found)


def _estimates(effects: Effects, name: str, objectives: Sequence[str], draws: Floats) -> dict[str, Estimate]:
    found = {}
    for i, quantity in enumerate(effects.quantities):
        if quantity.name in objectives:
            low, high = np.quantile(quantity.unit(draws[:, i]), [0.025, 0.975])
            value = float(quantity.unit(draws[:, i].mean(keepdims=True))[0])
            n = effects.teams[name][quantity.name]
            found[quantity.name] = Estimate(value=value, low=float(low), high=float(high), n=n)
    return {objective: found[objective] for objective in objectives}


def _claim(predicted: Mapping[str, Estimate], results: Results) -> str:
    means = {name: estimate.value for name, estimate in predicted.items()}
    if claim := _beats(means, results):
        return f"it would beat {claim}"
    ends = {
        name: estimate.high if results.objectives[name] == "maximize" else estimate.low
        for name, estimate in predicted.items()
    }
    claim = _beats({name: end for name, end in ends.items() if end is not None}, results)
    if claim is None:
        return "at the good end of these ranges, no team of the front would beat it in everything"
    return f"at the good end of these ranges, it would beat {claim}"


def _beats(values: Mapping[str, float], results: Results) -> str | None:
    """What of the front such a team would beat, if there is one objective to say it by."""
    first, *others = values
    front = [{name: r.search.estimates[name].value for name in values} for r in results.front if r.search is not None]
    peers = [member for member in front if not _better(values[first], member[first], results.objectives[first])]
    most = {name: results.objectives[name] == "maximize" for name in values}
    word = {name: "highest" if most[name] else "lowest" for name in values}
    if not peers:
        best = (max if most[first] else min)(member[first] for member in front)
        return f"the front's {word[first]} {first}, {_number(first, best)}"
    gains = {}
    for name in others:
        best = (max if most[name] else min)(member[name] for member in peers)
        if _better(values[name], best, results.objectives[name]):
            gains[name] = (abs(values[name] - best) / max(abs(best), 1e-12), best)
    if not gains:
        return None
    name = max(gains, key=lambda each: gains[each][0])
    return (
        f"{_number(name, gains[name][1])}, the {word[name]} {name} of the front's teams that are as good or better in "
        f"{first}"
    )


def _better(a: float, b: float, direction: str) -> bool:
    return a > b if direction == "maximize" else a < b


def _number(name: str, value: float) -> str:
    return f"{value:.3g} {objective(name).unit}".strip()


def _limits(name: str, knob: str) -> Between | None:
    """What the topology allows; None for names, and for a topology that is not known here."""
    try:
        found = topology(name).knobs[knob].range
    except (OrkesterError, KeyError):
        return None
    return found if isinstance(found, Between) else None
