"""What every topology's context carries beside its knobs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import ClassVar

from orkester.agents import Agent, Role
from orkester.errors import InputError
from orkester.serving.chat import ChatModel


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
    """

    models: Mapping[str, ChatModel] = field(default_factory=dict)
    instruction: str = ""
    max_tokens: int = 64
    read: Callable[[str], str] = as_given
    key: Callable[[str], str] = plain_key
    roles: Mapping[str, Role] = field(default_factory=dict)
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
