"""Events of a running study, for observers that show them. Nothing else depends on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from orkester.evals.records.block import Phase
from orkester.graphs import Team
from orkester.serving.lease import EngineEvent

from .results import Results, TeamResult


@dataclass(frozen=True, kw_only=True)
class Resumed:
    """The run directory holds finished work, and the study goes on from there.

    Attributes:
        teams: How many teams have blocks.
        blocks: How many blocks are finished.
        lost: Whether a block was cut off in the middle.
    """

    teams: int
    blocks: int
    lost: bool


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What the search will cost, without confirmation: before it starts, and again when teams have been measured.

    Attributes:
        teams: The most teams that will be measured, including those that are measured already.
        examples: The number of examples for each team.
        ranges: The lowest and highest cost of the whole search, by the names of limits (``llm_calls``, ``tokens``,
            ``minutes``, ``joules``). It includes what is spent already.
        limits: The limits of the budget, by name.
        later: The names of limits of which nothing is known before teams are measured.
        measured: How many measured teams the ranges follow from; 0 when they follow from the space alone.
        ends_by: The name of the limit that ends the search; ``trials`` when there are no more teams.
    """

    teams: int
    examples: int
    ranges: Mapping[str, tuple[float, float]]
    limits: Mapping[str, float] = field(default_factory=dict)
    later: tuple[str, ...] = ()
    measured: int = 0
    ends_by: str = "trials"


@dataclass(frozen=True, kw_only=True)
class BudgetSpent:
    """How much of the budget is spent, after a block.

    Attributes:
        name: The limit that will end the search first, by its name in the study file.
        spent: How much of it is spent, in the limit's unit.
        limit: The limit.
    """

    name: str
    spent: float
    limit: float


@dataclass(frozen=True, kw_only=True)
class Preparing:
    """Something is done before engines start that may take long, for example the conversion of weights.

    Attributes:
        line: What is done, in a line.
    """

    line: str


@dataclass(frozen=True, kw_only=True)
class EnginesStarting:
    """Engines are being started, or woken up where they sleep. ``EnginesReady`` follows.

    Attributes:
        models: The models of the engines.
        waking: The models whose engines sleep.
        options: The values of the engine options that are searched.
    """

    models: tuple[str, ...]
    waking: tuple[str, ...] = ()
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class StillStarting:
    """The engines do not answer yet, after so many seconds."""

    models: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class EnginesReady:
    """The engines answer, after so many seconds."""

    models: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class EngineChanged:
    """The state of an engine has changed."""

    event: EngineEvent


@dataclass(frozen=True, kw_only=True)
class TeamStarted:
    """The blocks of a team begin.

    Attributes:
        team: The team.
        phase: The phase.
        number: The number of the team in the phase, from 1.
        of: How many teams there will be in the phase, at most.
        blocks: The number of the team's blocks, at most.
    """

    team: Team
    phase: Phase
    number: int
    of: int
    blocks: int


@dataclass(frozen=True, kw_only=True)
class BlockProgress:
    """Some examples of a block are done.

    Attributes:
        team: The team that runs the block.
        phase: The phase.
        block: The number of the block, from 1.
        of: The number of the team's blocks.
        examples_done: How many examples of the block are done.
        examples: How many examples the block has.
        remaining_s: An estimate of the seconds until the study ends; None at first.
    """

    team: Team
    phase: Phase
    block: int
    of: int
    examples_done: int
    examples: int
    remaining_s: float | None


@dataclass(frozen=True, kw_only=True)
class BlockRerun:
    """An engine died in a block. The engine is started again, and the block is run again."""

    team: Team
    block: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class TeamMeasured:
    """A team gets no more blocks in this phase. ``results`` has the front so far."""

    result: TeamResult
    results: Results
    phase: Phase


@dataclass(frozen=True, kw_only=True)
class AnswersCut:
    """Many answers of a model were cut off at the limit of tokens. It comes once for each model and limit.

    Attributes:
        team: The team that was measured.
        warning: What was cut, and the remedy, as a message for the user.
    """

    team: Team
    warning: str


@dataclass(frozen=True, kw_only=True)
class SearchEnded:
    """The search has ended, for a reason that is given in words."""

    reason: str
    teams: int


@dataclass(frozen=True, kw_only=True)
class Stopping:
    """The user has interrupted the study. The block that runs is finished first, unless it is to stop at once."""

    at_once: bool


Event: TypeAlias = (
    Resumed
    | Forecast
    | BudgetSpent
    | Preparing
    | EnginesStarting
    | StillStarting
    | EnginesReady
    | EngineChanged
    | TeamStarted
    | BlockProgress
    | BlockRerun
    | TeamMeasured
    | AnswersCut
    | SearchEnded
    | Stopping
)
Observer: TypeAlias = Callable[[Event], None]


def silent(event: Event) -> None:
    """Ignore the event."""
    del event
