"""The contract of tools: the tests that every tool must pass. Subclass it with the tool's name and some calls."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from orkester.agents.tools import Tool, ToolError, tool


class ToolContract:
    """The contract of all tools. A subclass sets the name of the tool, and arguments that it accepts and refuses."""

    #: The name of the tool in study files.
    name: str
    #: Arguments that the tool accepts, each with the result.
    works: Sequence[tuple[Mapping[str, Any], str]]
    #: Arguments for which the tool must raise a ``ToolError``.
    refuses: Sequence[Mapping[str, Any]] = ()

    @property
    def tool(self) -> Tool:
        return tool(self.name)

    def test_models_can_be_told_of_it(self) -> None:
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", self.tool.name)
        assert self.tool.description.strip()
        schema = dict(self.tool.parameters)
        assert json.loads(json.dumps(schema)) == schema
        assert schema["type"] == "object"

    async def test_it_answers_with_text(self) -> None:
        assert self.works
        for arguments, result in self.works:
            assert await self.tool.call(arguments) == result

    async def test_what_it_refuses_is_said_to_the_agent(self) -> None:
        for arguments in self.refuses:
            with pytest.raises(ToolError) as raised:
                await self.tool.call(arguments)
            assert str(raised.value).strip()
