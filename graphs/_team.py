"""A team: a topology with all its knobs set."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias

from orkester.agents import Role
from orkester.agents.routing import RoutingPolicy, routing_policy
from orkester.errors import InputError
from orkester.serving.chat import ChatModel
from orkester.telemetry import workflow_span

from ._context import as_given, plain_key
from ._knobs import Between, Knob, KnobValue, OneOf, OneOfModels, OneOfPolicies
from ._topology import topology

#: What an engine option may be; None leaves it to the engine.
EngineValue: TypeAlias = bool | int | float | str | None


@dataclass(frozen=True, kw_only=True)
class TeamSettings:
    """What a task sets for every team. The fields are those of ``TeamContext``."""

    instruction: str = ""
    max_tokens: int = 64
    read: Callable[[str], str] = as_given
    key: Callable[[str], str] = plain_key
    roles: Mapping[str, Role] = field(default_factory=dict)
    policies: Mapping[str, RoutingPolicy] = field(default_factory=dict)


@dataclass(frozen=True)
class Team:
    """A topology with all knobs set.

    Attributes:
        topology: The name of the topology.
        knobs: A value for each knob of the topology.
        engine: A value for each engine option that the study searches. The graph does not use them; they say how its
            engines are started.
        id: The topology's name and a hash of all values. Equal teams have equal ids.
    """

    topology: str
    knobs: Mapping[str, KnobValue]
    engine: Mapping[str, EngineValue] = field(default_factory=dict)
    id: str = field(init=False)

    def __post_init__(self) -> None:
        ordered, engine = dict(sorted(self.knobs.items())), dict(sorted(self.engine.items()))
        parts = [self.topology, ordered, engine] if engine else [self.topology, ordered]
        text = json.dumps(parts, sort_keys=True)
        object.__setattr__(self, "knobs", MappingProxyType(ordered))
        object.__setattr__(self, "engine", MappingProxyType(engine))
        object.__setattr__(self, "id", f"{self.topology}-{hashlib.sha256(text.encode()).hexdigest()[:8]}")

    def __str__(self) -> str:
        """In a line: ``vote: agents=5, model=small, temperature=0.7``, knobs in the topology's order.

        Engine options follow, if any, as a study file writes them: ``; engine: prefix_caching=true``.
        """
        shown = ", ".join(f"{name}={self.knobs[name]}" for name in topology(self.topology).knobs if name in self.knobs)
        engine = f"; engine: {written(self.engine)}" if self.engine else ""
        return f"{self.topology}: {shown}{engine}"

    def __hash__(self) -> int:
        return hash(self.id)

    def __reduce__(self) -> tuple[Any, ...]:
        return Team, (self.topology, dict(self.knobs), dict(self.engine))

    @property
    def policies(self) -> tuple[str, ...]:
        """The names of the routing policies that it uses, each once."""
        ranges = topology(self.topology).knobs
        used = [str(self.knobs[name]) for name, knob in ranges.items() if isinstance(knob.range, OneOfPolicies)]
        return tuple(dict.fromkeys(used))

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models it needs, each once."""
        asked = topology(self.topology).knobs
        used = [str(self.knobs[name]) for name, knob in asked.items() if isinstance(knob.range, OneOfModels)]
        return tuple(dict.fromkeys(used))

    def check(self) -> Team:
        """The team itself, when every knob is there and within what the topology takes.

        Raises:
            InputError: a knob is unknown, absent or out of range.
        """
        known = topology(self.topology).knobs
        if unknown := sorted(set(self.knobs) - set(known)):
            raise InputError(f"{self.topology} has no knob {unknown[0]!r}. Known: {', '.join(known)}")
        for name, knob in known.items():
            if name not in self.knobs:
                raise InputError(f"{self.topology} needs a value for the knob {name!r}")
            check_value(knob, self.knobs[name])
        return self

    async def answer(self, question: Any, models: Mapping[str, ChatModel], settings: TeamSettings | None = None) -> str:
        """Run the team's graph once.

        Args:
            question: text, or OpenAI content parts.
            models: by the names that the knobs use.
            settings: what the task tells every team.

        Raises:
            CallFailed: a model call failed for good.
        """
        settings = settings or TeamSettings()
        plan = topology(self.topology)
        context = plan.context(
            **self.knobs,  # the knobs are the subclass's fields; check() compared them
            models=models,
            instruction=settings.instruction,
            max_tokens=settings.max_tokens,
            read=settings.read,
            key=settings.key,
            roles=settings.roles,
            policies=settings.policies,
        )
        with workflow_span(self.topology, team=self.id):
            result = await plan.graph.ainvoke({"question": question}, context=context)
        return str(result["answer"])


def check_value(knob: Knob, value: KnobValue) -> None:
    """Refuse a value that a knob does not take.

    Raises:
        InputError: wrong type or out of range.
    """
    if isinstance(knob.range, Between):
        number = isinstance(value, int) or (knob.kind is float and isinstance(value, float))
        if not number or isinstance(value, bool):
            raise InputError(f"{knob.name} takes {_article(knob.kind)}, but got {value!r}")
        if not knob.range.low <= float(value) <= knob.range.high:
            raise InputError(f"{knob.name} takes {knob.range.low:g} to {knob.range.high:g}, but got {value!r}")
    elif not isinstance(value, str):
        raise InputError(f"{knob.name} takes a name, but got {value!r}")
    elif isinstance(knob.range, OneOf) and value not in knob.range.choices:
        raise InputError(f"{knob.name} takes one of {', '.join(knob.range.choices)}, but got {value!r}")
    elif isinstance(knob.range, OneOfPolicies):
        routing_policy(value)


def written(options: Mapping[str, object]) -> str:
    """Engine options as a study file writes them: ``max_num_active_seqs=8, prefix_caching=true``."""

    def one(value: object) -> str:
        if value is None:
            return "none"
        return str(value).lower() if isinstance(value, bool) else str(value)

    return ", ".join(f"{name}={one(value)}" for name, value in options.items())


def _article(kind: type) -> str:
    return "a whole number" if kind is int else "a number"
