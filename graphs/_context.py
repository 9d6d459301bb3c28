"""What every topology's context carries beside its knobs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar

from orkester.agents import Agent, Role
from orkester.agents.routing import RoutingPolicy, RoutingRequest, routing_policy
from orkester.errors import InputError
from orkester.serving.chat import ChatModel
from orkester.telemetry import route_event


def plain_key(answer: str) -> str:
    """The form in which a vote compares answers when no task says otherwise: case and outer punctuation apart."""
    return " ".join(answer.casefold().split()).strip(" .!?,;:\"'")


def as_given(text: str) -> str:
    """A model's text as its answer, unchanged."""
    return text


@dataclass(frozen=True, kw_only=True)
class TeamContext:
    """What a graph needs beside its knobs. None of it is searched.

    Attributes:
        models: The models, by the names that the knobs use.
        instruction: The task's instruction, for every agent whose role answers; empty for none.
        max_tokens: The most tokens of one answer, where the role does not say.
        read: Takes the answer out of a model's text.
        key: Returns the form in which votes are compared: answers with the same key are the same vote.
        roles: The roles that the study changes, by name.
        policies: The routing policies with options of the study, and those that were fitted, by name.
    """

    models: Mapping[str, ChatModel] = field(default_factory=dict)
    instruction: str = ""
    max_tokens: int = 64
    read: Callable[[str], str] = as_given
    key: Callable[[str], str] = plain_key
    roles: Mapping[str, Role] = field(default_factory=dict)
    policies: Mapping[str, RoutingPolicy] = field(default_factory=dict)
    #: Roles that the topology brings along, by name. Topologies of other packages set it; ours have role packs.
    own_roles: ClassVar[Mapping[str, Role]] = MappingProxyType({})

    def agent(self, name: str, model: str, *, temperature: float = 0.0) -> Agent:
        """An agent: a role on one of the models.

        Args:
            name: The name of the role. It is looked up in ``roles``, then in ``own_roles``, then in the role packs.
            model: The name of the model, as the knob has it.
            temperature: The temperature where the role has none of its own; 0 is greedy.

        Raises:
            InputError: There is no such role or no such model.
        """
        from orkester.agents.packs import known_roles  # late: pydantic takes long to import

        role = self.roles.get(name) or self.own_roles.get(name) or known_roles().get(name)
        if role is None:
            known = ", ".join(sorted({*self.roles, *self.own_roles, *known_roles()}))
            raise InputError(f"unknown role {name!r}. Known: {known}; give the context roles={{name: Role(…)}}")
        if model not in self.models:
            known = ", ".join(sorted(self.models)) or "none: give the context models={name: ChatClient(…)}"
            raise InputError(f"agent {name!r} wants the model {model!r}, but the context has {known}")
        return Agent(
            role=role,
            model=self.models[model],
            task=self.instruction,
            temperature=temperature,
            max_tokens=self.max_tokens,
        )

    def route(self, policy: str, question: Any, choices: Sequence[str], *, drafts: Sequence[str] = ()) -> str:
        """Let a routing policy choose who gets a question. The decision and its reason are added to the current span.

        Args:
            policy: The name of the policy. It is looked up in ``policies``, then among all policies.
            question: Text, or OpenAI content parts.
            choices: The names to choose from.
            drafts: The answers that agents have given so far.

        Returns:
            One of the choices.

        Raises:
            InputError: There is no such policy, or it has chosen something else.
        """
        chosen = self.policies.get(policy) or routing_policy(policy)
        route = chosen.route(RoutingRequest(question=question, choices=choices, drafts=drafts))
        if route.choice not in choices:
            raise InputError(
                f"the routing policy {policy!r} has chosen {route.choice!r}, which is not one of {', '.join(choices)}"
            )
        route_event(policy=policy, choice=route.choice, reason=route.reason)
        return route.choice
