"""The interface of a tool."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable


class ToolError(Exception):
    """A tool refused a call, or the call failed. The message is for the agent that made the call."""


@runtime_checkable
class Tool(Protocol):
    """Something that an agent can call."""

    @property
    def name(self) -> str:
        """The name that models see: letters, digits, underscores and hyphens."""
        ...

    @property
    def description(self) -> str:
        """A description of what the tool does, for models."""
        ...

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The JSON schema of the arguments, which is an object."""
        ...

    async def call(self, arguments: Mapping[str, Any]) -> str:
        """Use the tool.

        Args:
            arguments: The arguments, which follow the schema in ``parameters``.

        Returns:
            The result as text for the model.

        Raises:
            ToolError: The arguments cannot be used, or the call failed.
        """
        ...
