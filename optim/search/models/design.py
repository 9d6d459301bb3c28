"""The teams of a topology as rows of numbers for a linear model: functions of single knobs and of pairs of knobs.

The functions, including a constant, are orthonormal over the grid: polynomials of the position of a number in its grid,
contrasts of names, and products of these.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias, cast

import numpy as np
import numpy.typing as npt

from orkester.graphs import EngineValue, KnobValue, Team
from orkester.optim.study.space import Space

Floats: TypeAlias = npt.NDArray[np.float64]
Levels: TypeAlias = npt.NDArray[np.int64]
Bools: TypeAlias = npt.NDArray[np.bool_]

#: The highest power of the position of a number in its grid, for one knob and for a pair (the sum of both powers).
_POWERS, _PAIR_POWERS = 4, 3
#: A pair with more functions (for example two knobs with seven models each) is left out, because no study measures
#: enough teams to estimate it.
_PAIR_FUNCTIONS = 30


@dataclass(frozen=True, kw_only=True)
class Knob:
    """A searched knob of a topology, or an engine option.

    Attributes:
        name: ``TOPOLOGY.KNOB`` or ``engine.OPTION``.
        values: The values of the grid.
        functions: The functions, of shape (values, functions), orthonormal over the grid.
        powers: The power of each function, of shape (functions,); 1 for contrasts of names.
        prior: The share of the effect's variance that is expected for each function, of shape (functions,).
    """

    name: str
    values: Sequence[KnobValue | EngineValue]
    functions: Floats
    powers: Levels
    prior: Floats


@dataclass(frozen=True, kw_only=True)
class Effect:
    """The effect of one knob or of a pair of knobs.

    Attributes:
        knobs: The names of the knobs.
        start, stop: The range of columns of the effect; ``stop`` is not included.
    """

    knobs: tuple[str, ...]
    start: int
    stop: int


class Design:
    """The columns of one topology: a constant, then the effects of knobs, then the effects of pairs.

    Args:
        name: The name of the topology.
        space: The space of the study.
    """

    def __init__(self, name: str, space: Space) -> None:
        grids = {knob: grid.values for knob, grid in space.grids[name].items() if not grid.fixed}
        options = {option: values for option, values in space.engine.items() if len(values) > 1}
        self.name = name
        self._grids, self._options = space.grids[name], space.engine
        self.knobs = [
            *(_knob(f"{name}.{knob}", values) for knob, values in grids.items()),
            *(_knob(f"engine.{option}", values) for option, values in options.items()),
        ]
        self._keys = [*((False, knob) for knob in grids), *((True, option) for option in options)]
        self._places: list[dict[KnobValue | EngineValue, int]] = [
            {value: i for i, value in enumerate(knob.values)} for knob in self.knobs
        ]
        self._settled = [(knob, grid.values[0]) for knob, grid in space.grids[name].items() if grid.fixed]
        self.effects: list[Effect] = []
        self._parts: list[tuple[int, int, int, int]] = []  # of pairs: knob, function, knob, function
        prior = [0.0]
        for knob in self.knobs:
            self.effects.append(Effect(knobs=(knob.name,), start=len(prior), stop=len(prior) + len(knob.prior)))
            prior.extend(knob.prior)
        for k, m in itertools.combinations(range(len(self.knobs)), 2):
            a, b = self.knobs[k], self.knobs[m]
            parts = [
                (k, i, m, j)
                for i, j in itertools.product(range(len(a.powers)), range(len(b.powers)))
                if a.powers[i] + b.powers[j] <= _PAIR_POWERS
            ]
            if len(parts) > _PAIR_FUNCTIONS:
                continue
            weights = np.array([a.prior[i] * b.prior[j] for _, i, _, j in parts])
            self.effects.append(Effect(knobs=(a.name, b.name), start=len(prior), stop=len(prior) + len(parts)))
            self._parts.extend(parts)
            prior.extend(weights / weights.sum())
        self.prior = np.array(prior)

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of values of each knob."""
        return tuple(len(knob.values) for knob in self.knobs)

    @property
    def fixed(self) -> Sequence[KnobValue]:
        """The values of the knobs that are not searched."""
        return [value for _, value in self._settled]

    def team(self, levels: Sequence[int]) -> Team:
        """Make a team.

        Args:
            levels: The position of each knob's value in its grid.
        """
        chosen = {
            key: self.knobs[i].values[level] for i, (key, level) in enumerate(zip(self._keys, levels, strict=True))
        }
        knobs = {k: g.values[0] if g.fixed else chosen[False, k] for k, g in self._grids.items()}
        engine = {o: values[0] if len(values) == 1 else chosen[True, o] for o, values in self._options.items()}
        return Team(self.name, cast("dict[str, KnobValue]", knobs), engine)

    def levels(self, teams: Sequence[Team]) -> tuple[Levels, Bools]:
        """The positions of the knobs' values in their grids.

        Args:
            teams: Teams of the topology.

        Returns:
            The positions, of shape (teams, knobs), with -1 for a value that is not in the grid; and whether each team
            belongs to the space, of shape (teams,).
        """
        levels = np.zeros((len(teams), len(self.knobs)), dtype=np.int64)
        for column, ((engine, key), places) in enumerate(zip(self._keys, self._places, strict=True)):
            values = [(team.engine if engine else team.knobs).get(key) for team in teams]
            levels[:, column] = [places.get(value, -1) for value in values]
        in_space: Bools = np.all(levels >= 0, axis=1)
        for key, value in self._settled:
            in_space = in_space & np.array([team.knobs.get(key) == value for team in teams], dtype=bool)
        return levels, in_space

    def columns(self, levels: Levels) -> Floats:
        """The values of the functions.

        Args:
            levels: The positions of the knobs' values in their grids, of shape (teams, knobs).

        Returns:
            The values, of shape (teams, functions).
        """
        single = [knob.functions[levels[:, i]] for i, knob in enumerate(self.knobs)]
        pairs = [(single[k][:, i] * single[m][:, j])[:, None] for k, i, m, j in self._parts]
        return np.hstack([np.ones((len(levels), 1)), *single, *pairs])


def _knob(name: str, values: Sequence[KnobValue | EngineValue]) -> Knob:
    count = len(values)
    ordered = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
    if ordered:
        degree = min(count - 1, _POWERS)
        raw = np.vander(np.linspace(-1, 1, count), degree + 1, increasing=True)
        powers = np.arange(1, degree + 1)
    else:
        raw = np.hstack([np.ones((count, 1)), np.eye(count)[:, 1:]])
        powers = np.ones(count - 1, dtype=np.int64)
    functions = np.linalg.qr(raw)[0][:, 1:] * math.sqrt(count)  # the first column is the constant
    prior = 1.0 / powers.astype(np.float64) ** 2
    return Knob(name=name, values=values, functions=functions, powers=powers, prior=prior / prior.sum())
