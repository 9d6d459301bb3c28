"""Predictions for teams that were not measured, from the calls that they make.

A team is composed of calls. Its graph is run on fake models to find out which calls it makes (``Signature``). The
average seconds and joules of all calls of a role on a model so far are the *profile* of this part. The latency and the
energy of a team that was never run are predicted from the profiles of its parts (as FlowCompile does for compiled
workflows, arXiv:2605.13647). The cost of its next blocks is the number of its calls that no other team has sent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from orkester.evals.objectives import Prediction, objective
from orkester.evals.running.probe import Signature, Stage
from orkester.graphs import Team

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
#: A role on a model.
Part: TypeAlias = tuple[str, str]
#: The stages of a team's run: each has the parts that work at the same time, with their numbers of calls.
_Stages: TypeAlias = tuple[tuple[tuple[Part, int], ...], ...]
_Pattern: TypeAlias = tuple[_Stages, _Stages]

#: The share of the calls that depend on disagreement which a team is expected to make, when nothing is known about its
#: topology.
_HALF = 0.5


@dataclass(frozen=True, kw_only=True)
class _TeamCalls:
    """The calls of a team, from its signature.

    Attributes:
        keys: The keys of the calls that are always made, and of the calls that depend on the answers.
        pattern: The stages when answers agree and when they differ; None when they are not known.
    """

    keys: tuple[frozenset[str], frozenset[str]]
    pattern: _Pattern | None


@dataclass(frozen=True, kw_only=True, eq=False)
class _Plans:
    """The stages of many teams as arrays. Teams with the same stages share a plan.

    A plan has two cases: answers agree, and answers differ. An entry is a part in a stage of a case. The index of a
    case is twice the index of its plan, plus 1 when answers differ.

    Attributes:
        index: The index of the plan of each team, of shape (teams,).
        topologies: The topology of each plan.
        known: Whether the stages of each plan are known, of shape (plans,).
        parts: All parts (roles on models).
        part: The index of the part of each entry, of shape (entries,).
        count: The number of calls of each entry, of shape (entries,).
        stage_starts: The index of the first entry of each stage, of shape (stages,).
        case_of_entry: The index of the case of each entry, of shape (entries,).
        case_of_stage: The index of the case of each stage, of shape (stages,).
    """

    index: Ints
    topologies: Sequence[str]
    known: NDArray[np.bool_]
    parts: Sequence[Part]
    part: Ints
    count: Floats
    stage_starts: Ints
    case_of_entry: Ints
    case_of_stage: Ints

    @classmethod
    def of(cls, teams: Sequence[tuple[_Pattern | None, str]]) -> _Plans:
        plans = {plan: i for i, plan in enumerate(dict.fromkeys(teams))}
        parts: dict[Part, int] = {}
        part: list[int] = []
        count: list[float] = []
        case_of_entry: list[int] = []
        starts: list[int] = []
        case_of_stage: list[int] = []
        for (pattern, _), i in plans.items():
            for case, stages in enumerate(pattern or ()):
                for stage in filter(None, stages):
                    starts.append(len(part))
                    case_of_stage.append(2 * i + case)
                    for each, calls in stage:
                        part.append(parts.setdefault(each, len(parts)))
                        count.append(calls)
                        case_of_entry.append(2 * i + case)
        return cls(
            index=np.array([plans[team] for team in teams], dtype=np.int64),
            topologies=[topology for _, topology in plans],
            known=np.array([pattern is not None for pattern, _ in plans], dtype=bool),
            parts=list(parts),
            part=np.array(part, dtype=np.int64),
            count=np.array(count, dtype=np.float64),
            stage_starts=np.array(starts, dtype=np.int64),
            case_of_entry=np.array(case_of_entry, dtype=np.int64),
            case_of_stage=np.array(case_of_stage, dtype=np.int64),
        )

    def sums(self, value_of_part: Floats) -> Floats:
        """The sums of a value over all calls, of shape (2, plans)."""
        return self._by_plan(self.case_of_entry, self.count * value_of_part[self.part])

    def critical_paths(self, value_of_part: Floats) -> Floats:
        """The sums over the stages of the largest value in each stage, of shape (2, plans)."""
        if not len(self.part):
            return np.zeros((2, len(self.topologies)))
        return self._by_plan(self.case_of_stage, np.maximum.reduceat(value_of_part[self.part], self.stage_starts))

    def _by_plan(self, cases: Ints, numbers: Floats) -> Floats:
        sums = np.bincount(cases, numbers, minlength=2 * len(self.topologies))
        return np.asarray(sums.reshape(-1, 2).T, dtype=np.float64)


class Composition:
    """Predicts calls, latency and energy of teams from their calls. It learns from every block.

    Args:
        signature: Returns the signature of a team.
    """

    def __init__(self, signature: Callable[[Team], Signature]) -> None:
        self._signature = signature
        self._teams: dict[str, _TeamCalls] = {}
        self._patterns: dict[object, _Pattern | None] = {}
        self._calls: dict[str, Floats] = {}
        self._covered: dict[str, int] = {}
        self._new_blocks: list[tuple[Team, int, float]] = []
        self._parts: dict[Part, Floats] = {}
        self._models: dict[str, Floats] = {}
        self._shares: dict[str, Floats] = {}
        self._plans: tuple[int, _Plans] | None = None

    def learn(
        self, team: Team, seen: int, calls_per_example: float, taken: Iterable[tuple[Part, float, float]]
    ) -> None:
        """Learn from a block.

        Args:
            team: The team that ran the block.
            seen: The number of examples on which the team has now been measured.
            calls_per_example: Calls per example in the block, both sent calls and calls from the call store.
            taken: For every call that was sent: (role, model), seconds, and joules (NaN where they are not known).
        """
        self._calls.setdefault(team.topology, np.zeros(2))
        self._calls[team.topology] += (calls_per_example, 1.0)
        self._new_blocks.append((team, seen, calls_per_example))
        for part, latency_s, energy_j in taken:
            metered = math.isfinite(energy_j)
            sums = np.array([latency_s, energy_j if metered else 0.0, 1.0, float(metered)])
            self._parts[part] = self._parts.get(part, np.zeros(4)) + sums
            self._models[part[1]] = self._models.get(part[1], np.zeros(4)) + sums

    def cost(self, team: Team, seen: int, more: int) -> float:
        """The expected number of model calls that a team must send for its next examples.

        Args:
            team: The team.
            seen: The number of examples on which the team was measured.
            more: The number of further examples.

        Returns:
            The number of calls, without those in the call store.
        """
        self._process_new_blocks()
        if self._calls_of(team).pattern is None:
            return more * self._mean_calls(team.topology)
        always, sometimes = self._calls_of(team).keys

        def not_in_store(keys: Iterable[str]) -> int:
            return sum(max(0, seen + more - max(seen, self._covered.get(key, 0))) for key in keys)

        return not_in_store(always) + self._share(team.topology) * not_in_store(sometimes)

    def calls(self, team: Team) -> float:
        """The expected number of model calls per example of a team.

        Args:
            team: The team.
        """
        self._process_new_blocks()
        pattern = self._pattern(team)
        if pattern is None:
            return self._mean_calls(team.topology)
        agreeing, differing = map(_count, pattern)
        return agreeing + self._share(team.topology) * (differing - agreeing)

    def predicted(self, teams: Sequence[Team], name: str) -> Floats | None:
        """Predict an objective of teams from the profiles of their parts.

        Args:
            teams: The teams. It must be the same list in every call.
            name: The name of the objective.

        Returns:
            The predictions, of shape (teams,), NaN where there is none; None for an objective that is not predicted.
        """
        prediction = objective(name).prediction
        if prediction is None or not self._models:
            return None
        self._process_new_blocks()
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
                agreeing, differing = plans.critical_paths(profiles[:, 0])
        shares = np.array([self._share(topology) for topology in plans.topologies])
        return np.asarray(np.where(plans.known, agreeing + shares * (differing - agreeing), np.nan)[plans.index])

    # -- parts ----------------------------------------------------------------------------------------------------

    def _process_new_blocks(self) -> None:
        """Find out which calls the new blocks made. This takes milliseconds, so it is done only when it is needed."""
        for team, seen, calls_per_example in self._new_blocks:
            always, sometimes = self._calls_of(team).keys
            for key in always | sometimes:
                self._covered[key] = max(seen, self._covered.get(key, 0))
            agreeing, differing = map(_count, self._calls_of(team).pattern or ((), ()))
            if differing > agreeing:  # otherwise the number of calls says nothing about the case
                share = float(np.clip((calls_per_example - len(always)) / len(sometimes), 0.0, 1.0))
                self._shares.setdefault(team.topology, np.zeros(2))
                self._shares[team.topology] += (share, 1.0)
        self._new_blocks.clear()

    def _share(self, topology: str) -> float:
        """The mean share of the calls that depend on disagreement which teams of a topology have made."""
        sums = self._shares.get(topology)
        return _HALF if sums is None else float((sums[0] + _HALF) / (sums[1] + 1))

    def _mean_calls(self, topology: str) -> float:
        """The mean number of calls per example of a topology so far, for teams whose calls are not known."""
        sums = self._calls.get(topology)
        return 1.0 if sums is None else float(sums[0] / sums[1])

    def _calls_of(self, team: Team) -> _TeamCalls:
        if team.id not in self._teams:
            signature = self._signature(team)
            always = frozenset(call.key for stage in signature.agreeing for call in stage)
            differing = frozenset(call.key for stage in signature.differing for call in stage)
            self._teams[team.id] = (
                _TeamCalls(keys=(frozenset(), frozenset()), pattern=None)
                if signature.reason
                else _TeamCalls(
                    keys=(always, differing - always),
                    pattern=(_stages(signature.agreeing), _stages(signature.differing)),
                )
            )
        return self._teams[team.id]

    def _pattern(self, team: Team) -> _Pattern | None:
        """The stages of a team. Teams that differ only in fractions (for example temperatures) count as equal."""
        without_fractions = (
            team.topology,
            tuple((name, value) for name, value in team.knobs.items() if not isinstance(value, float)),
        )
        if without_fractions not in self._patterns:
            self._patterns[without_fractions] = self._calls_of(team).pattern
        return self._patterns[without_fractions]

    def _profile(self, part: Part) -> tuple[float, float]:
        """Mean seconds and joules of a call of a part. When it has made no calls, those of its model in any role."""
        sums = self._parts.get(part, self._models.get(part[1]))
        if sums is None:
            return float("nan"), float("nan")
        return sums[0] / sums[2], sums[1] / sums[3] if sums[3] else float("nan")


def _stages(stages: Sequence[Stage]) -> _Stages:
    result = []
    for stage in stages:
        counts: dict[Part, int] = {}
        for call in stage:
            counts[call.agent, call.model] = counts.get((call.agent, call.model), 0) + 1
        result.append(tuple(counts.items()))
    return tuple(result)


def _count(stages: _Stages) -> int:
    """The number of calls."""
    return sum(count for stage in stages for _, count in stage)


def no_prediction(teams: Sequence[Team], name: str) -> None:
    """Predict nothing, for a search without profiles. See ``Composition.predicted``."""
    del teams, name


Predicted: TypeAlias = Callable[[Sequence[Team], str], Floats | None]
