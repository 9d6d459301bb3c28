"""The search, without engines: it collects the results of blocks, stops teams, and chooses the next teams.

The tuner runs the blocks that a search chooses; a benchmark replays them from a table. All decisions depend only on the
blocks and their order, the study and its seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from orkester.evals.records.block import Block
from orkester.evals.summaries.rows import Floats
from orkester.graphs import Team
from orkester.optim.goals.front import front_indices
from orkester.optim.goals.goal import Goal, violation

from .models.composition import Composition, Part, no_prediction
from .models.evidence import Evidence
from .racing import Race
from .samplers import Sampler, Standing, Turn

#: The cost of an engine start, in model calls: half a minute, at a few calls per second.
CHANGE_CALLS = 200


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What the calls of a block took.

    Attributes:
        calls_per_example: Calls per example, both those that were sent and those answered from the call store.
        fresh: The share of the calls that were sent.
        sent: For every call that was sent: (role, model), seconds, and joules (NaN where they are not known).
    """

    calls_per_example: float
    fresh: float
    sent: Sequence[tuple[Part, float, float]]

    @classmethod
    def of(cls, block: Block) -> Taken:
        """Make it from the record of a block.

        Args:
            block: The block.
        """
        calls = [call for example in block.examples for call in example.calls]
        return cls(
            calls_per_example=len(calls) / len(block.examples),
            fresh=sum(not call.reused for call in calls) / max(1, len(calls)),
            sent=[
                ((call.agent, call.model), call.latency_s, math.nan if call.energy_j is None else call.energy_j)
                for call in calls
                if not call.reused and call.failure is None
            ],
        )


@dataclass(kw_only=True)
class Search:
    """Decides which team gets the next blocks, and which teams get no more.

    Attributes:
        goal: The objectives and constraints.
        examples: The number of examples of a whole measurement.
        block: The number of examples of a block.
        race: Stops teams; None to measure every team on all examples.
        composition: Predicts teams that were not measured; None for no predictions.
        reuse: Whether calls that were made before cost nothing.
        profiles: Whether latency and energy of a team are predicted from those of its agents.
        least_examples: The number of examples before which the race does not stop a team, by the team's id.
        engines_take_turns: Whether engines may have to be changed for another team, since not all fit into memory.
        evidence: What all blocks have shown so far.
        closed: Teams that get no more blocks, by id, with why each was not measured on every example (empty when it
            was).
        infeasible: Ids of teams that violate a constraint or could not be measured.
    """

    goal: Goal
    examples: int
    block: int
    race: Race | None
    composition: Composition | None
    reuse: bool = True
    profiles: bool = True
    least_examples: Mapping[str, int] = field(default_factory=dict)
    engines_take_turns: bool = False
    evidence: Evidence = field(init=False)
    closed: dict[str, str] = field(default_factory=dict, init=False)
    infeasible: set[str] = field(default_factory=set, init=False)
    _engines: object = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.evidence = Evidence([*self.goal.objectives, *self.goal.constraints], self.examples)

    def learn(self, team: Team, rows: Mapping[str, Floats], taken: Taken, *, stopped: str | None = None) -> None:
        """Learn from a block. The team is closed if it has seen all examples, or if the race stops it.

        Args:
            team: The team that ran the block.
            rows: The block's columns by name, each of shape (examples,).
            taken: What the block's calls took.
            stopped: Why the race stopped the team after this block, empty where it did not. None to decide it now.
        """
        evidence = self.evidence
        evidence.add(team, rows, fresh=taken.fresh)
        if taken.fresh:
            self._engines = _engines(team)
        if self.composition is not None:
            self.composition.learn(team, evidence.seen(team), taken.calls_per_example, taken.sent)
        if stopped is None:
            racing = self.race is not None and evidence.seen(team) >= self.least_examples.get(team.id, 0)
            stopped = self.race.stops(evidence, team, self._standing_front()) if self.race and racing else ""
        if stopped:
            self.close(team, stopped)
        elif evidence.seen(team) >= self.examples:
            self.close(team, "")
        if team.id in self.closed and self._violates(team):
            self.infeasible.add(team.id)

    def close(self, team: Team, reason: str) -> None:
        """Give a team no more blocks.

        Args:
            team: The team.
            reason: Why it was not measured on every example; empty when it was.
        """
        self.closed[team.id] = reason

    def give_up(self, team: Team, reason: str) -> None:
        """Close a team that could not be measured at all. It counts as infeasible.

        Args:
            team: The team.
            reason: Why the team could not be measured.
        """
        self.close(team, reason)
        self.infeasible.add(team.id)

    def choose(
        self, sampler: Sampler, most: int, *, new_teams: int | None = None, calls_left: float = float("inf")
    ) -> Sequence[Turn]:
        """Let the sampler choose the next turns; see ``Sampler.choose``.

        Args:
            sampler: The sampler.
            most: The maximum number of turns.
            new_teams, calls_left: See ``Standing``.
        """
        return sampler.choose(self.standing(new_teams=new_teams, calls_left=calls_left), most)

    def standing(self, *, new_teams: int | None = None, calls_left: float = float("inf")) -> Standing:
        """The state of the search for a sampler; see ``Standing``.

        Args:
            new_teams, calls_left: See ``Standing``.
        """
        return Standing(
            evidence=self.evidence,
            block=self.block,
            closed=self.closed.keys(),
            infeasible=self.infeasible,
            new_teams=new_teams,
            calls_left=calls_left,
            cost=self._cost(),
            predicted=self.composition.predicted if self.composition is not None and self.profiles else no_prediction,
        )

    def _cost(self) -> Callable[[Team, int], float]:
        """The function that predicts the model calls of blocks. A change of engines counts as calls, too."""
        composition = self.composition

        def calls(team: Team, more: int) -> float:
            if composition is None:
                return float(more)
            if not self.reuse:
                return more * composition.calls(team)
            return composition.cost(team, self.evidence.seen(team), more)

        if not self.engines_take_turns:
            return calls

        def with_change(team: Team, more: int) -> float:
            count = calls(team, more)
            return count + CHANGE_CALLS * (count >= 1 and self._engines != _engines(team))

        return with_change

    def _standing_front(self) -> Sequence[Team]:
        """The teams in the race that look better than all others so far."""
        evidence = self.evidence
        rows = [
            row
            for row, team in enumerate(evidence.teams)
            if not self.closed.get(team.id) and team.id not in self.infeasible
        ]
        points = np.column_stack([evidence.values(name)[rows] for name in self.goal.objectives])
        return [evidence.teams[rows[i]] for i in front_indices(points, list(self.goal.objectives.values()))]

    def _violates(self, team: Team) -> bool:
        evidence = self.evidence
        return any(violation(evidence.value(team, name), text) > 0 for name, text in self.goal.constraints.items())


def _engines(team: Team) -> object:
    return frozenset(team.models), tuple(sorted(team.engine.items()))
