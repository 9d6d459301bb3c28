"""A tool that adds numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orkester.agents.tools import ToolError


class Adder:
    """Adds whole numbers."""

    name = "adder"
    description = "Adds whole numbers."
    parameters: Mapping[str, Any] = {
        "type": "object",
        "properties": {"numbers": {"type": "array", "items": {"type": "integer"}}},
        "required": ["numbers"],
    }

    async def call(self, arguments: Mapping[str, Any]) -> str:
        """The sum."""
        numbers = arguments.get("numbers")
        if not isinstance(numbers, list) or not all(isinstance(number, int) for number in numbers):
            raise ToolError("numbers must be a list of whole numbers")
        return str(sum(numbers))


adder = Adder()
