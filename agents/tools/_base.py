"""What every tool offers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable


class ToolError(Exception):
    """A call that the tool refuses or that failed; the message is for the agent that called it."""


@runtime_checkable
class Tool(Protocol):
    """Something that an agent can call."""

    @property
    def name(self) -> str:
        """The name that models see: letters, digits, underscores and hyphens."""
        ...

    @property
    def description(self) -> str:
        """What it does, for models."""
        ...

    @property
    def parameters(self) -> Mapping[str, Any]:
        """JSON schema of the arguments, an object."""
        ...

    async def call(self, arguments: Mapping[str, Any]) -> str:
        """Use the tool.

        Args:
            arguments: As ``parameters`` describes them.

        Returns:
            The result as text for the model.

        Raises:
            ToolError: The arguments cannot be used, or the call failed.
        """
        ...
