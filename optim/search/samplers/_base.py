"""What a sampler is: it says which teams get the next blocks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from orkester.graphs import Team
from orkester.optim.goals.goal import Goal
from orkester.optim.search.models.composition import Predicted, nothing_known
from orkester.optim.search.models.evidence import Evidence
from orkester.optim.study.space import Space

from ..outcome import Outcome


@dataclass(frozen=True, kw_only=True)
class Turn:
    """Blocks for one team, before the sampler is asked again.

    Attributes:
        team: The team that is measured. For a closed team no block is run, and its outcome is reported again.
        blocks: The most blocks to run; None to go on until the team is closed.
    """

    team: Team
    blocks: int | None = None


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where a search stands when its sampler is asked.

    Attributes:
        evidence: What all blocks of the search have shown so far.
        block: The number of examples of a block.
        closed: Ids of teams that get no more blocks: they were measured on every example, or stopped, or could not be
            measured.
        infeasible: Ids of teams that violate a constraint.
        new_teams: How many teams may still be begun; None for no limit.
        calls_left: How many model calls the budget still has, whatever unit it is given in; infinite for no limit.
        cost: Returns how many model calls a team is expected to send for a number of further examples.
        predicted: Returns what profiles of (role, model) predict for teams in one objective; see
            ``Composition.predicted``.
    """

    evidence: Evidence
    block: int
    closed: Collection[str] = frozenset()
    infeasible: Collection[str] = frozenset()
    new_teams: int | None = None
    calls_left: float = float("inf")
    cost: Callable[[Team, int], float]
    predicted: Predicted = nothing_known


class Sampler(Protocol):
    """Chooses which teams get the next blocks.

    A choice depends only on its arguments, the seed, and the outcomes that ``tell`` was given, so that a run that is
    resumed chooses the same teams as one that was never interrupted.
    """

    def choose(self, standing: Standing, most: int) -> Sequence[Turn]:
        """Choose the next turns.

        Args:
            standing: Where the search stands.
            most: The most turns to return.

        Returns:
            No turns when nothing is left that could change the front.
        """
        ...

    def tell(self, outcome: Outcome) -> None:
        """Receive the outcome of a team that is closed.

        Of several teams that were chosen together, the outcomes come in the order of the choice.

        Args:
            outcome: What was measured.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a sampler knows of its study.

    Attributes:
        space: The teams to choose from.
        goal: The objectives and constraints.
        seed: The study's seed.
        start: Teams that the user wants to be measured first.
    """

    space: Space
    goal: Goal
    seed: int
    start: Sequence[Team] = field(default=())
