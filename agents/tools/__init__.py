"""Tools, one file each: what an agent can use beside its model.

A file whose name has no underscore in front defines ``tool``, a ``Tool``. None comes with Orkester yet.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from orkester.registry import Registry, files_of

from ._base import Tool, ToolError

__all__ = ["TOOLS", "Tool", "ToolError", "tool"]


def _accept(_: str, loaded: object) -> Tool:
    if not isinstance(loaded, Tool):
        raise TypeError(f"is not an orkester.agents.tools.Tool: {loaded!r:.60}")
    return loaded


TOOLS: Final = Registry(kind="tool", group="tools", built_in=files_of("orkester.agents.tools", "tool"), accept=_accept)


def tool(name: str, *, folder: Path | None = None) -> Tool:
    """Find a tool.

    Args:
        name: A name, or ``module:name``.
        folder: The folder that is searched for a module before other folders.

    Returns:
        The tool.

    Raises:
        InputError: There is no such tool, or it cannot be used.
    """
    return TOOLS.get(name, folder=folder)
