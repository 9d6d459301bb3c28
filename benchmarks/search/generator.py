"""Tables with known truth: an item-response model of answers, lognormal latencies and joules.

An answer of model m to example x at temperature t is right with the probability 1 / (1 + exp(-SLOPE (ability_m - d_x -
u_mx) / (0.15 + t))): the two-parameter logistic model (Birnbaum, in Lord and Novick, "Statistical Theories of Mental
Test Scores", 1968, chapter 17), flatter at higher temperatures. The difficulty d_x is shared by all models and u_mx by
all samples of one, so errors are correlated both ways. A wrong answer is one of three; on half of the examples nine in
ten wrong answers are the same one, so a vote may well elect it. A debater repeats another's last draft with the
probability ``persuasion`` and answers anew otherwise. Calls take and use lognormal amounts, times a factor that all
calls on an example share.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orkester.graphs import Team
from orkester.optim.study.space import Grid, Space

from ._truth import Latencies, Votes
from .compose import NONE, Calls, compose
from .table import Table

SLOPE = 1.2
#: Share of wrong answers that are the commonest wrong one; each is the case on half of the examples.
DISTRACTION = (0.5, 0.9)
SAMPLES = 9
DEBATERS = 4
ROUNDS = 2
#: Examples in the Monte Carlo of a debate's truth: the standard error of a share is at most 0.0012.
_DRAWS = 160_000


@dataclass(frozen=True, kw_only=True)
class SimulatedModel:
    """One model of a world.

    Attributes:
        name: in the space.
        ability: on the scale of difficulties, which have mean 0 and standard deviation 1.
        latency_s: median of a call.
        energy_j: mean of a call.
    """

    name: str
    ability: float
    latency_s: float
    energy_j: float


MODELS = (
    SimulatedModel(name="tiny", ability=-0.5, latency_s=0.05, energy_j=0.2),
    SimulatedModel(name="small", ability=0.3, latency_s=0.12, energy_j=0.7),
    SimulatedModel(name="medium", ability=1.0, latency_s=0.3, energy_j=2.5),
    SimulatedModel(name="large", ability=1.7, latency_s=0.7, energy_j=8.0),
)


def _grid(low: float, high: float, step: float) -> Grid:
    return Grid(tuple(round(low + i * step, 6) for i in range(round((high - low) / step) + 1)))


def default_space(models: tuple[SimulatedModel, ...] = MODELS) -> Space:
    """1,264 teams with the four models, of all four topologies."""
    names, warm = Grid(tuple(model.name for model in models)), _grid(0.2, 1.0, 0.2)
    return Space(
        {
            "single": {"model": names, "temperature": _grid(0.0, 1.0, 0.2)},
            "vote": {"agents": Grid(tuple(range(2, 10))), "model": names, "temperature": warm},
            "cascade": {
                "first": names,
                "then": names,
                "votes": Grid((2, 3, 4, 5)),
                "temperature": warm,
                "agreement": Grid((0.5, 0.75, 1.0)),
            },
            "debate": {"agents": Grid((2, 3, 4)), "rounds": Grid((1, 2)), "model": names, "temperature": warm},
        }
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class World:
    """Models and examples whose distribution is known. Any number of tables is drawn from one world.

    Attributes:
        models: who can be asked.
        space: whose teams are composed.
        own: standard deviation of the difficulty that an example has for one model alone.
        latency_sigma, energy_sigma: of the logarithm of a call's seconds and joules.
        shared_sigma: of the logarithm of the factor that all calls on an example share.
        persuasion: probability that a debater repeats another's draft.
        seed: of everything.
    """

    models: tuple[SimulatedModel, ...] = MODELS
    space: Space = field(default_factory=default_space)
    own: float = 0.6
    latency_sigma: float = 0.3
    energy_sigma: float = 0.2
    shared_sigma: float = 0.25
    persuasion: float = 0.5
    seed: int = 0

    @cached_property
    def temperatures(self) -> tuple[float, ...]:
        """All that some team is asked at, and 0, at which a cascade's second model answers."""
        asked = {0.0}
        for grids in self.space.grids.values():
            if "temperature" in grids:
                asked.update(float(value) for value in grids["temperature"].values)
        return tuple(sorted(asked))

    def table(self, *, examples: int = 200, searched: int | None = None, items: int = 0, draw: int = 0) -> Table:
        """All teams on so many examples.

        Args:
            examples: how many.
            searched: the first so many are for the search; three in five if None.
            items: which examples: another number, other examples.
            draw: which samples: another number, fresh answers, seconds and joules for the same examples.
        """
        calls = self.calls(examples=examples, items=items, draw=draw)
        return compose(
            f"generated-{self.seed}-{items}-{draw}",
            self.space,
            calls,
            searched=math.ceil(0.6 * examples) if searched is None else searched,
        )

    def calls(self, *, examples: int, items: int = 0, draw: int = 0) -> Calls:
        """The calls behind a table; see ``table``."""
        nature = np.random.default_rng([self.seed, 1, items])
        difficulty = nature.standard_normal(examples)
        own = self.own * nature.standard_normal((len(self.models), examples))
        distraction = nature.choice(DISTRACTION, examples)
        factor = np.exp(self.shared_sigma * nature.standard_normal(examples))
        rng = np.random.default_rng([self.seed, 2, items, draw])

        models, temperatures = len(self.models), len(self.temperatures)
        right = self._right(difficulty + own)  # (model, temperature, example)
        first = (models, temperatures, SAMPLES, examples)
        answers = _answers(rng, np.broadcast_to(right[:, :, None, :], first), distraction)
        base = np.arange(math.prod(first), dtype=np.int32).reshape(first)
        greedy = self.temperatures.index(0.0)
        base[:, greedy, 1:] = NONE  # a greedy call has one answer, whoever asks

        later = np.full((models, temperatures, DEBATERS + 1, ROUNDS + 1, DEBATERS, examples), NONE, np.int32)
        votes = [answers.ravel()]
        taken = base.size
        for agents in range(2, DEBATERS + 1):
            said = answers[:, :, :agents]
            for following in range(1, ROUNDS + 1):
                anew = _answers(rng, np.broadcast_to(right[:, :, None, :], said.shape), distraction)
                said = _persuaded(rng, said, anew, self.persuasion)
                new = taken + np.arange(said.size, dtype=np.int32).reshape(said.shape)
                later[:, :, agents, following, :agents] = new
                votes.append(said.ravel())
                taken += said.size
        vote = np.concatenate(votes).astype(np.int32)
        model, example = np.empty(taken, np.int16), np.empty(taken, np.intp)
        for places in (base, later):
            at = np.nonzero(places != NONE)
            ids = places[at]
            model[ids], example[ids] = at[0], at[-1]
        unused = np.setdiff1d(np.arange(base.size), base)
        model[unused] = example[unused] = 0
        latency_s = np.asarray([each.latency_s for each in self.models])[model] * factor[example]
        energy_j = np.asarray([each.energy_j for each in self.models])[model] * factor[example]
        spread = self.energy_sigma
        return Calls(
            models=tuple(each.name for each in self.models),
            temperatures=self.temperatures,
            examples=tuple(f"item-{items}-{i}" for i in range(examples)),
            base=base,
            later=later,
            model=model,
            vote=vote,
            score=(vote == 0).astype(np.float32),
            latency_s=(latency_s * np.exp(self.latency_sigma * rng.standard_normal(taken))).astype(np.float32),
            energy_j=(energy_j * np.exp(spread * rng.standard_normal(taken) - spread**2 / 2)).astype(np.float32),
            input_tokens=np.full(taken, 20, np.int32),
            output_tokens=np.full(taken, 4, np.int32),
        )

    def true_objectives(self, team: Team) -> tuple[float, float, float]:
        """What the team scores, takes and uses over all examples and samples there could be.

        Returns:
            Mean score, median seconds, mean joules: exact up to quadrature (under 0.001), a debate's score and seconds
            by Monte Carlo from a fixed seed.
        """
        quality, latency_p50_s, energy_j = self.truth()[self._index[team.id]]
        return float(quality), float(latency_p50_s), float(energy_j)

    def truth(self) -> NDArray[np.float64]:
        """The same for all teams of the space, in its order: teams × 3."""
        return self._truth

    @cached_property
    def _index(self) -> Mapping[str, int]:
        return {team.id: number for number, team in enumerate(self.space.teams())}

    @cached_property
    def _truth(self) -> NDArray[np.float64]:
        votes = Votes(self._right, self.own, DISTRACTION)
        latencies = Latencies([model.latency_s for model in self.models], self.latency_sigma, self.shared_sigma)
        mean_j = [model.energy_j * math.exp(self.shared_sigma**2 / 2) for model in self.models]
        number = {model.name: i for i, model in enumerate(self.models)}
        debates = self._debates() if "debate" in self.space.grids else {}
        rows = []
        for team in self.space.teams():
            knobs: Mapping[str, Any] = team.knobs
            t = self.temperatures.index(float(knobs["temperature"]))
            match team.topology:
                case "single" | "vote":
                    m, k = number[knobs["model"]], knobs.get("agents", 1)
                    rows.append((votes.right(m, t, k), latencies.vote(m, k), k * mean_j[m]))
                case "cascade":
                    m, other, k = number[knobs["first"]], number[knobs["then"]], knobs["votes"]
                    quality, escalated = votes.cascade(
                        m, other, t, k, knobs["agreement"], greedy=self.temperatures.index(0.0)
                    )
                    seconds = latencies.cascade(m, other, k, escalated)
                    rows.append((quality, seconds, k * mean_j[m] + escalated * mean_j[other]))
                case _:
                    m, k, rounds = number[knobs["model"]], knobs["agents"], knobs["rounds"]
                    quality, seconds = debates[m, t, k, rounds]
                    rows.append((quality, seconds * self.models[m].latency_s, k * (rounds + 1) * mean_j[m]))
        return np.asarray(rows, dtype=np.float64)

    def _right(self, difficulty: NDArray[Any]) -> NDArray[np.float64]:
        """Probability of the right answer: difficulties (model, …) → (model, temperature, …)."""
        ability = np.asarray([model.ability for model in self.models])
        ability = ability.reshape(-1, *[1] * (difficulty.ndim - 1))
        flat = 0.15 + np.asarray(self.temperatures).reshape(1, -1, *[1] * (difficulty.ndim - 1))
        logit = SLOPE * (ability - difficulty)[:, None] / flat
        return np.asarray(1 / (1 + np.exp(-np.clip(logit, -60, 60))), dtype=np.float64)

    def _debates(self) -> dict[tuple[int, int, int, int], tuple[float, float]]:
        """By model, temperature, agents and rounds: share of right answers, and median seconds of a model with 1 s."""
        rng = np.random.default_rng([self.seed, 3])
        grids = self.space.grids["debate"]
        warm = [self.temperatures.index(float(value)) for value in grids["temperature"].values]
        names = [model.name for model in self.models]
        asked = [names.index(str(value)) for value in grids["model"].values]
        factor = np.exp(self.shared_sigma * rng.standard_normal(_DRAWS)).astype(np.float32)
        distraction = rng.choice(DISTRACTION, _DRAWS)
        difficulty = math.hypot(1, self.own) * rng.standard_normal(_DRAWS)
        right = self._right(np.broadcast_to(difficulty, (len(names), _DRAWS)))
        found = {}
        for agents in (int(value) for value in grids["agents"].values):
            # The same noise for all models and temperatures: their differences are sharper than their values.
            spoken = np.exp(self.latency_sigma * rng.standard_normal((ROUNDS + 1, agents, _DRAWS), dtype=np.float32))
            seconds = [float(np.median(factor * spoken[: r + 1].max(axis=1).sum(axis=0))) for r in range(ROUNDS + 1)]
            for m, t in product(asked, warm):
                chance = np.broadcast_to(right[m, t], (agents, _DRAWS))
                said = _answers(rng, chance, distraction)
                for following in range(1, ROUNDS + 1):
                    said = _persuaded(rng, said, _answers(rng, chance, distraction), self.persuasion)
                    found[m, t, agents, following] = float(_elected_right(said).mean()), seconds[following]
        return found


def table(seed: int = 0, *, examples: int = 200, searched: int | None = None) -> Table:
    """A table of the default world: 1,264 teams."""
    return World(seed=seed).table(examples=examples, searched=searched)


def _answers(rng: np.random.Generator, right: NDArray[Any], distraction: NDArray[Any]) -> NDArray[np.int8]:
    """0 is right; 1 is the commonest wrong answer, 2 and 3 are the others."""
    drawn = rng.random(right.shape, dtype=np.float32)
    wrong = (drawn - right) / np.maximum(1 - right, 1e-12)  # uniform again, given that the answer is wrong
    which = 1 + (wrong >= distraction).astype(np.int8) + (wrong >= (1 + distraction) / 2)
    return np.where(drawn < right, 0, which).astype(np.int8)


def _persuaded(
    rng: np.random.Generator, said: NDArray[np.int8], anew: NDArray[np.int8], persuasion: float
) -> NDArray[np.int8]:
    """Of drafts (…, seat, example) the next round's: another's draft, or what the debater says anew."""
    agents = said.shape[-2]
    seats = np.arange(agents).reshape(-1, 1)
    whose = (seats + rng.integers(1, agents, said.shape)) % agents
    repeated = np.take_along_axis(said, whose, axis=-2)
    return np.where(rng.random(said.shape, dtype=np.float32) < persuasion, repeated, anew)


def _elected_right(said: NDArray[np.int8]) -> NDArray[np.bool_]:
    from .compose import majority

    elected, _ = majority(said)
    return np.asarray(np.take_along_axis(said, elected[..., None, :], axis=-2)[..., 0, :] == 0)
