"""What every topology's context carries beside its knobs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

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
    """Resources of a run, none of them searched.

    Attributes:
        models: by the names that the knobs use.
        instruction: system message for every agent; none when empty.
        max_tokens: most tokens of one answer.
        read: takes the answer out of a model's text.
        key: answers with the same key are the same vote.
    """

    models: Mapping[str, ChatModel] = field(default_factory=dict)
    instruction: str = ""
    max_tokens: int = 64
    read: Callable[[str], str] = as_given
    key: Callable[[str], str] = plain_key

    def agent(self, name: str, model: str, *, temperature: float) -> Agent:
        """The agent of that name on one of the models.

        Raises:
            InputError: there is no such model.
        """
        if model not in self.models:
            known = ", ".join(sorted(self.models)) or "none: give the context models={name: ChatClient(…)}"
            raise InputError(f"agent {name!r} wants the model {model!r}, but the context has {known}")
        role = Role(name=name, instruction=self.instruction, temperature=temperature, max_tokens=self.max_tokens)
        return Agent(role, self.models[model])
