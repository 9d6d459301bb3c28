"""What is known of a team before it is measured: its calls, those that are in the call store, and what they take.

Teams are composed of calls. Which calls a team makes is found by running its graph on models that cost nothing
(``Signature``); what a call of a role on a model takes is averaged over the calls made so far, its *profile*. So
latency and energy of a team that was never run are predicted from the profiles of its parts (as FlowCompile does for
compiled workflows, arXiv:2605.13647), and the calls that its blocks will have to send are those that no other team has
sent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from orkester.evals.objectives import Prediction, objective
from orkester.evals.probe import Signature, Stage
from orkester.graphs import Team

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
#: A role on a model.
Part: TypeAlias = tuple[str, str]
#: Stages of a team's run: parts that work at the same time, with how many calls.
_Stages: TypeAlias = tuple[tuple[tuple[Part, int], ...], ...]
_Pattern: TypeAlias = tuple[_Stages, _Stages]

#: How much of the difference between answers that all agree and answers that all differ a team is expected to call, as
#: long as nothing is known of its topology.
_HALF = 0.5


@dataclass(frozen=True, kw_only=True)
class _Known:
    """What a team's signature comes to.

    Attributes:
        keys: of calls that are always made, and of those that depend on the answers.
        pattern: the stages; None where the graph does not say.
    """

    keys: tuple[frozenset[str], frozenset[str]]
    pattern: _Pattern | None


@dataclass(frozen=True, kw_only=True, eq=False)
class _Plans:
    """Stages of many teams as arrays; teams with the same stages share a plan.

    A plan has two ways, one where answers agree and one where they differ; an entry is a part in a stage of a way.

    Attributes:
        index: of each team's plan.
        topologies: of the plans.
        known: by plan; False where the graph does not say.
        parts: roles on models in any of them.
        part, count: of each entry, the calls of its part.
        stage_starts: the first entry of each stage.
        way_of_entry, way_of_stage: twice the plan's index, and one more where answers differ.
    """

    index: Ints
    topologies: Sequence[str]
    known: NDArray[np.bool_]
    parts: Sequence[Part]
    part: Ints
    count: Floats
    stage_starts: Ints
    way_of_entry: Ints
    way_of_stage: Ints

    @classmethod
    def of(cls, teams: Sequence[tuple[_Pattern | None, str]]) -> _Plans:
        plans = {plan: i for i, plan in enumerate(dict.fromkeys(teams))}
        parts: dict[Part, int] = {}
        part: list[int] = []
        count: list[float] = []
        way_of_entry: list[int] = []
        starts: list[int] = []
        way_of_stage: list[int] = []
        for (pattern, _), i in plans.items():
            for way, found in enumerate(pattern or ()):
                for stage in filter(None, found):
                    starts.append(len(part))
                    way_of_stage.append(2 * i + way)
                    for each, calls in stage:
                        part.append(parts.setdefault(each, len(parts)))
                        count.append(calls)
                        way_of_entry.append(2 * i + way)
        return cls(
            index=np.array([plans[team] for team in teams], dtype=np.int64),
            topologies=[topology for _, topology in plans],
            known=np.array([pattern is not None for pattern, _ in plans], dtype=bool),
            parts=list(parts),
            part=np.array(part, dtype=np.int64),
            count=np.array(count, dtype=np.float64),
            stage_starts=np.array(starts, dtype=np.int64),
            way_of_entry=np.array(way_of_entry, dtype=np.int64),
            way_of_stage=np.array(way_of_stage, dtype=np.int64),
        )

    def sums(self, each: Floats) -> Floats:
        """(2, plans): over all calls, of a number that each part's call has."""
        return self._by_plan(self.way_of_entry, self.count * each[self.part])

    def longest(self, each: Floats) -> Floats:
        """(2, plans): over the stages, of the largest in each."""
        if not len(self.part):
            return np.zeros((2, len(self.topologies)))
        return self._by_plan(self.way_of_stage, np.maximum.reduceat(each[self.part], self.stage_starts))

    def _by_plan(self, ways: Ints, numbers: Floats) -> Floats:
        sums = np.bincount(ways, numbers, minlength=2 * len(self.topologies))
        return np.asarray(sums.reshape(-1, 2).T, dtype=np.float64)


class Composition:
    """Grows with every block.

    Args:
        signature: of a team.
    """

    def __init__(self, signature: Callable[[Team], Signature]) -> None:
        self._signature = signature
        self._teams: dict[str, _Known] = {}
        self._patterns: dict[object, _Pattern | None] = {}
        self._calls: dict[str, Floats] = {}
        self._covered: dict[str, int] = {}
        self._unseen: list[tuple[Team, int, float]] = []
        self._parts: dict[Part, Floats] = {}
        self._models: dict[str, Floats] = {}
        self._escalated: dict[str, Floats] = {}
        self._plans: tuple[int, _Plans] | None = None

    def learn(
        self, team: Team, seen: int, calls_per_example: float, taken: Iterable[tuple[Part, float, float]]
    ) -> None:
        """A block was run.

        Args:
            team: by whom.
            seen: examples of the search that the team has seen now.
            calls_per_example: that it made in the block, whether sent or answered from the store.
            taken: of every call that was sent: role and model, seconds, joules (NaN where not known).
        """
        self._calls.setdefault(team.topology, np.zeros(2))
        self._calls[team.topology] += (calls_per_example, 1.0)
        self._unseen.append((team, seen, calls_per_example))
        for part, latency_s, energy_j in taken:
            metered = math.isfinite(energy_j)
            known = np.array([latency_s, energy_j if metered else 0.0, 1.0, float(metered)])
            self._parts[part] = self._parts.get(part, np.zeros(4)) + known
            self._models[part[1]] = self._models.get(part[1], np.zeros(4)) + known

    def cost(self, team: Team, seen: int, more: int) -> float:
        """Model calls that are to be expected of a team's next examples, those in the call store left out."""
        self._look()
        if self._known(team).pattern is None:
            return more * self._usual(team.topology)
        always, sometimes = self._known(team).keys

        def uncovered(keys: Iterable[str]) -> int:
            return sum(max(0, seen + more - max(seen, self._covered.get(key, 0))) for key in keys)

        return uncovered(always) + self._share(team.topology) * uncovered(sometimes)

    def calls(self, team: Team) -> float:
        """Model calls an example that are to be expected of a team."""
        self._look()
        pattern = self._pattern(team)
        if pattern is None:
            return self._usual(team.topology)
        agreeing, differing = (float(sum(count for stage in stages for _, count in stage)) for stages in pattern)
        return agreeing + self._share(team.topology) * (differing - agreeing)

    def predicted(self, teams: Sequence[Team], name: str) -> Floats | None:
        """What profiles say of teams, NaN where they say nothing; None for an objective they never tell of.

        Args:
            teams: always the same list.
            name: of an objective.
        """
        prediction = objective(name).prediction
        if prediction is None or not self._models:
            return None
        self._look()
        if self._plans is None or self._plans[0] != id(teams):
            self._plans = (id(teams), _Plans.of([(self._pattern(team), team.topology) for team in teams]))
        plans = self._plans[1]
        profiles = np.array([self._profile(part) for part in plans.parts]).reshape(-1, 2)
        match prediction:
            case Prediction.CALLS:
                agreeing, differing = plans.sums(np.ones(len(plans.parts)))
            case Prediction.SUM_J:
                agreeing, differing = plans.sums(profiles[:, 1])
            case Prediction.LONGEST_PATH_S:
                agreeing, differing = plans.longest(profiles[:, 0])
        shares = np.array([self._share(topology) for topology in plans.topologies])
        return np.asarray(np.where(plans.known, agreeing + shares * (differing - agreeing), np.nan)[plans.index])

    # -- parts ----------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Which calls the blocks made, by the teams' graphs: that takes milliseconds, so only for searches that ask."""
        for team, seen, calls_per_example in self._unseen:
            always, sometimes = self._known(team).keys
            for key in always | sometimes:
                self._covered[key] = max(seen, self._covered.get(key, 0))
            if sometimes:
                share = float(np.clip((calls_per_example - len(always)) / len(sometimes), 0.0, 1.0))
                self._escalated.setdefault(team.topology, np.zeros(2))
                self._escalated[team.topology] += (share, 1.0)
        self._unseen.clear()

    def _share(self, topology: str) -> float:
        known = self._escalated.get(topology)
        return _HALF if known is None else float((known[0] + _HALF) / (known[1] + 1))

    def _usual(self, topology: str) -> float:
        """Calls an example that teams of a topology have made so far, where their graphs do not say."""
        known = self._calls.get(topology)
        return 1.0 if known is None else float(known[0] / known[1])

    def _known(self, team: Team) -> _Known:
        if team.id not in self._teams:
            found = self._signature(team)
            always = frozenset(call.key for stage in found.agreeing for call in stage)
            differing = frozenset(call.key for stage in found.differing for call in stage)
            self._teams[team.id] = (
                _Known(keys=(frozenset(), frozenset()), pattern=None)
                if found.reason
                else _Known(
                    keys=(always, differing - always), pattern=(_stages(found.agreeing), _stages(found.differing))
                )
            )
        return self._teams[team.id]

    def _pattern(self, team: Team) -> _Pattern | None:
        """Stages of a team; teams that differ in fractions alone (temperatures, say) are taken to share them."""
        rough = (team.topology, tuple((name, v) for name, v in team.knobs.items() if not isinstance(v, float)))
        if rough not in self._patterns:
            self._patterns[rough] = self._known(team).pattern
        return self._patterns[rough]

    def _profile(self, part: Part) -> tuple[float, float]:
        """Mean seconds and joules of a call; of the model in any role where the role made none."""
        known = self._parts.get(part, self._models.get(part[1]))
        if known is None:
            return float("nan"), float("nan")
        return known[0] / known[2], known[1] / known[3] if known[3] else float("nan")


def _stages(stages: Sequence[Stage]) -> _Stages:
    found = []
    for stage in stages:
        counts: dict[Part, int] = {}
        for call in stage:
            counts[call.agent, call.model] = counts.get((call.agent, call.model), 0) + 1
        found.append(tuple(counts.items()))
    return tuple(found)


def nothing_known(teams: Sequence[Team], name: str) -> None:
    """For a search that does without profiles."""
    del teams, name


Predicted: TypeAlias = Callable[[Sequence[Team], str], Floats | None]
