"""What a study says while it runs. Observers show it; nothing depends on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from orkester.evals.block import Phase
from orkester.graphs import Team
from orkester.serving.lease import EngineEvent

from .results import Results, TeamResult


@dataclass(frozen=True, kw_only=True)
class Resumed:
    """The run directory held finished work."""

    teams: int
    blocks: int
    lost: bool  # whether a block had been cut off in the middle


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What the search will cost, confirmation apart: before it starts, and again when teams have been measured.

    Attributes:
        teams: most teams there will be, those that are measured included.
        examples: a team.
        ranges: lowest and highest by the names of limits (``llm_calls``, ``tokens``, ``minutes``, ``joules``), for the
            whole search, what is spent included.
        limits: of the budget, by name.
        later: limits' names of which nothing is known before teams are measured.
        measured: teams that the ranges follow from; 0 when they follow from the space alone.
        ends_by: the name of the limit that ends the search; ``trials`` when there are no more teams.
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
    """A block has been paid for. The limit that ends the search first, by its name in the study file."""

    name: str
    spent: float
    limit: float


@dataclass(frozen=True, kw_only=True)
class Preparing:
    """Something that takes long goes before the engines' start: weights are converted, say."""

    line: str


@dataclass(frozen=True, kw_only=True)
class EnginesStarting:
    """Engines are being started, or woken where they sleep; ``EnginesReady`` follows.

    Attributes:
        models: whose.
        waking: those of them that sleep.
        options: the engine options that are searched, as these have them.
    """

    models: tuple[str, ...]
    waking: tuple[str, ...] = ()
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class StillStarting:
    """They do not answer yet."""

    models: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class EnginesReady:
    """They answer."""

    models: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class EngineChanged:
    """Something befell an engine."""

    event: EngineEvent


@dataclass(frozen=True, kw_only=True)
class TeamStarted:
    """A team's blocks begin. ``number`` counts teams of the phase from 1, up to ``of``."""

    team: Team
    phase: Phase
    number: int
    of: int
    blocks: int


@dataclass(frozen=True, kw_only=True)
class BlockProgress:
    """Examples of a block are done; ``remaining_s`` is a guess for the whole study, None at first."""

    team: Team
    phase: Phase
    block: int
    of: int
    examples_done: int
    examples: int
    remaining_s: float | None


@dataclass(frozen=True, kw_only=True)
class BlockRerun:
    """An engine died in a block; it is started again."""

    team: Team
    block: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class TeamMeasured:
    """A team is measured; ``results`` has the front so far."""

    result: TeamResult
    results: Results
    phase: Phase


@dataclass(frozen=True, kw_only=True)
class SearchEnded:
    """The search is over."""

    reason: str
    teams: int


@dataclass(frozen=True, kw_only=True)
class Stopping:
    """An interrupt was seen; the block under way is finished first, unless it is to end at once."""

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
    | SearchEnded
    | Stopping
)
Observer: TypeAlias = Callable[[Event], None]


def silent(event: Event) -> None:
    """Show nothing."""
    del event
