"""The pool's values: the models it serves, the events of its engines, and the leases it gives."""

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

#: Engine options of a team that differ from the study's options: values by field name of ``EngineOptions``.
Overrides: TypeAlias = Mapping[str, bool | int | float | str | None]
EventKind: TypeAlias = Literal["started", "slept", "woken", "stopped", "died", "restarted"]


@dataclass(frozen=True, kw_only=True)
class ServedModel:
    """A model and how its engine is made.

    Attributes:
        model: The model.
        weights: The file or folder with the model's weights; None if the engine needs no weights on this machine.
        make_engine: A function that makes an engine for the model. It is called once per configuration of options.
        preamble: The messages before every request, for example the worked examples of a base model.
    """

    model: Model
    weights: Path | None
    make_engine: Callable[[], Engine]
    preamble: Sequence[Message] = ()


@dataclass(frozen=True, kw_only=True)
class EngineEvent:
    """A change in the state of an engine.

    Attributes:
        kind: What happened. ``restarted`` comes before the stop and the start of an engine whose answers changed after
            it woke.
        model: The model's name.
        options: The engine's options that differ from the study's options.
        seconds: The duration of the change.
        at: The time of the end of the change, UTC in ISO 8601.
        reason: The reason in words; empty if there is none.
        energy_j: The joules that the meter measured during the change; for an engine that died, the joules of the block
            that was lost with it. None without a meter. These joules belong to no team.
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
    """One engine of the pool: a model with one configuration of options.

    Attributes:
        name: The model's name.
        served: The model and how its engine is made.
        overrides: The options that differ from the study's options.
        options: All options of the engine.
        engine: The engine that serves the model.
        log: The file that takes the engine's output.
        footprint: The memory that the engine needs.
        state: The state that the pool last saw. An engine that died is still ``running`` or ``asleep`` here until the
            pool notices it.
        starts: The number of times the engine was started.
        deaths: The number of times the engine died.
        last_lease: The number of the newest lease that includes this engine.
        golden_answer: The engine's answer to the golden prompt before its first sleep; None before that.
        endpoint: Where the engine answers; None while it is stopped.
        client: The chat client of the engine; None while it is stopped.
    """

    name: str
    served: ServedModel
    overrides: Overrides
    options: EngineOptions
    engine: Engine
    log: Path
    footprint: Footprint
    state: Literal["stopped", "running", "asleep"] = "stopped"
    starts: int = 0
    deaths: int = 0
    last_lease: int = 0
    golden_answer: str | None = None
    endpoint: Endpoint | None = None
    client: ChatClient | None = None


@dataclass(frozen=True)
class Lease:
    """Models that are ready to answer until the pool gives the next lease.

    Attributes:
        models: The models by name.
        facts: The facts about each model's engine that records contain, by model name.
        instances: The pool's own entries for the engines.
    """

    models: Mapping[str, ChatModel]
    facts: Mapping[str, Mapping[str, object]]
    instances: Sequence[Instance] = field(repr=False)

    @property
    def models_without_preamble(self) -> Mapping[str, ChatModel]:
        """The models by name, whose requests do not begin with the preamble."""
        return {each.name: each.client.without_preamble() for each in self.instances if each.client is not None}

    async def reset_prefix_caches(self) -> Mapping[str, bool]:
        """Empty the prefix caches of the engines, so that they forget the prompts seen so far.

        Returns:
            Whether each engine emptied its cache, by model name. An engine that cannot do so has False.

        Raises:
            EngineError: An engine that can empty its cache failed to do so.
        """
        return {each.name: await each.engine.reset_prefix_cache() for each in self.instances}

    async def metrics(self) -> Mapping[str, EngineMetrics]:
        """Read the metrics of the engines.

        Returns:
            Metrics by the model's name, without the engines that report none.
        """
        all_metrics = await asyncio.gather(*(each.engine.metrics() for each in self.instances))
        return {
            each.name: metrics for each, metrics in zip(self.instances, all_metrics, strict=True) if metrics is not None
        }
