"""The interface of samplers. A sampler chooses the teams that get the next blocks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from orkester.graphs import Team
from orkester.optim.goals.goal import Goal
from orkester.optim.search.models.composition import Predicted, no_prediction
from orkester.optim.search.models.evidence import Evidence
from orkester.optim.study.space import Space

from ..outcome import Outcome


@dataclass(frozen=True, kw_only=True)
class Turn:
    """Blocks for one team, before the sampler is asked again.

    Attributes:
        team: The team to measure. For a closed team no block is run, and its outcome is reported again.
        blocks: The maximum number of blocks to run; None to go on until the team is closed.
    """

    team: Team
    blocks: int | None = None


@dataclass(frozen=True, kw_only=True)
class Standing:
    """The state of a search when its sampler chooses.

    Attributes:
        evidence: The results of all blocks of the search so far.
        block: The number of examples of a block.
        closed: Ids of teams that get no more blocks: they were measured on every example, or stopped, or could not be
            measured.
        infeasible: Ids of teams that violate a constraint.
        new_teams: The number of new teams that may be started; None for no limit.
        calls_left: The number of model calls until the budget is spent, converted from any unit of the budget;
            infinite for no limit.
        cost: Returns the expected number of model calls of a team for a number of further examples.
        predicted: Returns predictions for teams in one objective; see ``Composition.predicted``.
    """

    evidence: Evidence
    block: int
    closed: Collection[str] = frozenset()
    infeasible: Collection[str] = frozenset()
    new_teams: int | None = None
    calls_left: float = float("inf")
    cost: Callable[[Team, int], float]
    predicted: Predicted = no_prediction


class Sampler(Protocol):
    """Chooses which teams get the next blocks.

    A choice depends only on its arguments, the seed, and the outcomes that ``tell`` was given, so that a run that is
    resumed chooses the same teams as one that was never interrupted.
    """

    def choose(self, standing: Standing, most: int) -> Sequence[Turn]:
        """Choose the next turns.

        Args:
            standing: The state of the search.
            most: The maximum number of turns.

        Returns:
            The turns; empty when no team is left that could change the front.
        """
        ...

    def tell(self, outcome: Outcome) -> None:
        """Receive the outcome of a team that is closed.

        When several teams were chosen together, their outcomes come in the order of the choice.

        Args:
            outcome: The outcome.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The study of a sampler.

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
