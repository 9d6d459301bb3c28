"""What the pool serves, what befalls it, and what it lends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from .catalogue import Model
from .chat import ChatModel, Message
from .client import ChatClient
from .engines import Endpoint, Engine, EngineMetrics, EngineOptions, Footprint

#: Engine options that a team is served with, where they are searched: names of ``EngineOptions``'s fields.
Overrides: TypeAlias = Mapping[str, bool | int | float | str | None]
EventKind: TypeAlias = Literal["started", "slept", "woken", "stopped", "died", "restarted"]


@dataclass(frozen=True, kw_only=True)
class Served:
    """A model with the engine that serves it.

    Attributes:
        model: what.
        weights: its file or folder; None where the engine needs none here.
        make: makes an engine for it, one for each configuration of options.
        preamble: messages put before every request: a base model's worked examples.
    """

    model: Model
    weights: Path | None
    make: Callable[[], Engine]
    preamble: Sequence[Message] = ()


@dataclass(frozen=True, kw_only=True)
class EngineEvent:
    """Something that befell an engine.

    Attributes:
        kind: ``restarted`` stands before the stop and start of one that woke with other answers than it had.
        model: the model's name.
        options: the engine options that are searched, as this engine has them.
        seconds: how long it took.
        at: UTC, ISO 8601, when it was over.
        reason: in words, where there is one.
        energy_j: joules meanwhile, of all that the meter sees, or of the block that died with it; None when there is no
            meter. They belong to no team.
    """

    kind: EventKind
    model: str
    options: Overrides
    seconds: float
    at: str
    reason: str = ""
    energy_j: float | None = None


@dataclass(eq=False)
class Instance:
    """A model with one configuration of options, as the pool keeps it.

    Attributes:
        name: of the model.
        served: the model and how its engine is made.
        overrides: its options that are searched.
        options: all of them.
        engine: serves it.
        log: takes its output.
        footprint: memory it needs.
        state: an engine that died is still ``running`` or ``asleep`` until somebody has seen it.
        starts: how often it was started.
        deaths: how often it died.
        last_lease: number of the lease that had it last.
        golden: what it answered to the golden prompt before it first slept; None before that.
        endpoint, client: None while it is stopped.
    """

    name: str
    served: Served
    overrides: Overrides
    options: EngineOptions
    engine: Engine
    log: Path
    footprint: Footprint
    state: Literal["stopped", "running", "asleep"] = "stopped"
    starts: int = 0
    deaths: int = 0
    last_lease: int = 0
    golden: str | None = None
    endpoint: Endpoint | None = None
    client: ChatClient | None = None


@dataclass(frozen=True)
class Lease:
    """Models whose engines are ready to answer, until the next lease.

    Attributes:
        models: by name.
        facts: what a record says of the engine of each.
        instances: the pool's own.
    """

    models: Mapping[str, ChatModel]
    facts: Mapping[str, Mapping[str, object]]
    instances: Sequence[Instance] = field(repr=False)

    async def reset_prefix_caches(self) -> Mapping[str, bool]:
        """Have the engines forget the prompts seen so far; by name, whether each did.

        Raises:
            EngineError: one that could did not.
        """
        return {each.name: await each.engine.reset_prefix_cache() for each in self.instances}

    async def metrics(self) -> Mapping[str, EngineMetrics]:
        """How busy those engines are that say it."""
        said = await asyncio.gather(*(each.engine.metrics() for each in self.instances))
        return {each.name: one for each, one in zip(self.instances, said, strict=True) if one is not None}
