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
    """Blocks for one team.

    Attributes:
        team: whose turn it is; one that is closed is told again at once.
        blocks: most blocks to run before the sampler is asked again; None until the team is closed.
    """

    team: Team
    blocks: int | None = None


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where a search stands when its sampler is asked.

    Attributes:
        evidence: of all blocks of the search so far.
        block: examples a block.
        closed: ids of teams that get no more blocks: measured on every example, stopped, or not measurable.
        infeasible: ids of teams that violate a constraint.
        new_teams: how many teams may still be begun; None for no limit.
        calls_left: model calls that the budget still has, whatever it is counted in; infinite for no limit.
        cost: model calls that a team's blocks are expected to send: of the team and how many examples more.
        predicted: what profiles of (role, model) say of teams, for one objective (see ``Composition.predicted``).
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
    """Which teams get the next blocks.

    A choice depends on its arguments, the seed and what was told alone, so that a resumed run takes the same way.
    """

    def choose(self, standing: Standing, most: int) -> Sequence[Turn]:
        """The next turns, at most so many; none when nothing is left that could change the front."""
        ...

    def tell(self, outcome: Outcome) -> None:
        """A team is closed. Of several that were chosen together, in the order of the choice."""
        ...


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What every sampler is made with.

    Attributes:
        space: teams to choose from.
        goal: what is wanted.
        seed: of the study.
        start: the user's own teams, to be measured first.
    """

    space: Space
    goal: Goal
    seed: int
    start: Sequence[Team] = field(default=())
