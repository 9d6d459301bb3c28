"""A topology: a compiled LangGraph with the schema of its context."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orkester.errors import InputError

from ._context import TeamContext
from ._knobs import Knob, knobs

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph


@dataclass(frozen=True, kw_only=True)
class Topology:
    """A graph whose knobs are set at run time.

    Attributes:
        name: what study files call it.
        graph: takes ``question``, gives ``answer``; its context schema is ``context``.
        context: a subclass of ``TeamContext``; its annotated fields are the knobs.
        roles: names of the roles that its agents play; a node that asks a model has its role's name.
    """

    name: str
    graph: CompiledStateGraph[Any, Any, Any, Any]
    context: type[TeamContext]
    roles: tuple[str, ...]

    @property
    def knobs(self) -> Mapping[str, Knob]:
        """What a study may search over, in the order of the context's fields."""
        return knobs(self.context)  # type: ignore[arg-type]  # mypy takes a class with a frozen base for unhashable


@cache  # every example of a study asks
def topologies() -> Sequence[str]:
    """Names of the topologies that come with Orkester: the public modules of this folder."""
    return tuple(
        sorted(m.name for m in pkgutil.iter_modules([str(Path(__file__).parent)]) if not m.name.startswith("_"))
    )


def topology(name: str) -> Topology:
    """The topology of that name.

    Raises:
        InputError: there is none; the message names the nearest.
    """
    known = topologies()
    if name not in known:
        import difflib

        near = difflib.get_close_matches(name, known, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise InputError(f"unknown topology {name!r}{hint}. Known: {', '.join(known)}")
    found = importlib.import_module(f"{__package__}.{name}").topology
    assert isinstance(found, Topology)
    return found
