"""The limits of tokens of a study's agents: those of the roles, or else that of the task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orkester.agents import Role
from orkester.errors import InputError
from orkester.graphs import topology

from .study_of_run import space_of_run


@dataclass(frozen=True)
class AnswerLimit:
    """The setting that limits an agent's replies.

    Attributes:
        setting: The setting in the study file: ``task.max_tokens`` or ``roles.NAME.max_tokens``.
        tokens: Its value; None when it is not known.
    """

    setting: str
    tokens: int | None

    def __str__(self) -> str:
        """Such as ``task.max_tokens (now 64)``."""
        return self.setting if self.tokens is None else f"{self.setting} (now {self.tokens:,})"


@dataclass(frozen=True, kw_only=True)
class AnswerLimits:
    """The limits of tokens that a study file sets.

    Attributes:
        task: ``task.max_tokens``; None when it is not known.
        roles: The roles that the study changes, by name.
    """

    task: int | None = None
    roles: Mapping[str, Role] = field(default_factory=dict)

    def of(self, topology_name: str, agent: str) -> AnswerLimit:
        """The limit of an agent's replies.

        Args:
            topology_name: The name of the agent's topology.
            agent: The name of the role.
        """
        role = self.roles.get(agent) or _default_roles(topology_name).get(agent)
        if role is not None and role.max_tokens is not None:
            return AnswerLimit(f"roles.{agent}.max_tokens", role.max_tokens)
        return AnswerLimit("task.max_tokens", self.task)


def limits_of_run(manifest: Mapping[str, Any]) -> AnswerLimits:
    """The limits of the study of a run.

    Args:
        manifest: The manifest of the run; its plug-ins are loaded.
    """
    space = space_of_run(manifest)
    task = manifest.get("study", {}).get("task", {}).get("max_tokens")
    return AnswerLimits(task=task, roles=space.roles if space is not None else {})


def _default_roles(topology_name: str) -> Mapping[str, Role]:
    try:
        return topology(topology_name).default_roles
    except InputError:  # a topology of another package, which is no longer installed
        return {}
