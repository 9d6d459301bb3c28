"""A topology: a compiled LangGraph with the schema of its context."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from orkester.agents import Role
from orkester.errors import InputError
from orkester.registry import Registry, files_of

from ._canonical import Canonical, Form, as_it_is
from ._context import TeamContext
from ._knobs import Knob, knobs

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph


@dataclass(frozen=True, kw_only=True)
class Topology:
    """A graph whose knobs are set when it runs.

    Attributes:
        name: The name in study files.
        graph: The compiled LangGraph. It takes ``question`` and returns ``answer``; its context schema is ``context``.
        context: A subclass of ``TeamContext``. Its annotated fields are the knobs.
        roles: The names of the roles that its agents play. A node that asks a model has the name of its role.
        canonical: Says which settings are the same team; see ``Form``.
        decided_by: The knobs whose values ``canonical`` looks at.
    """

    name: str
    graph: CompiledStateGraph[Any, Any, Any, Any]
    context: type[TeamContext]
    roles: tuple[str, ...]
    canonical: Canonical = as_it_is
    decided_by: tuple[str, ...] = ()

    @property
    def knobs(self) -> Mapping[str, Knob]:
        """What a study may search over, in the order of the context's fields."""
        return knobs(self.context)  # type: ignore[arg-type]  # mypy takes a class with a frozen base for unhashable

    @property
    def default_roles(self) -> Mapping[str, Role]:
        """The roles of its agents by name, as they are where a study changes none: its own ones, or those of the packs.

        Raises:
            InputError: A role is nowhere to be found.
        """
        known = known_roles_of(self)
        if missing := [name for name in self.roles if name not in known]:
            raise InputError(
                f"it names the role {missing[0]!r}, which neither a role pack nor {self.context.__name__}.own_roles "
                f"has. Known: {', '.join(sorted(known))}"
            )
        return {name: known[name] for name in self.roles}


def _accept(name: str, loaded: object) -> Topology:
    if not isinstance(loaded, Topology):
        raise TypeError(f"is not an orkester.graphs.Topology, but {loaded!r:.60}")
    try:
        _ = loaded.knobs, loaded.default_roles
    except InputError as error:
        raise TypeError(f"cannot be used: {error}") from error
    return loaded if loaded.name == name else replace(loaded, name=name)  # so that a team leads back to its topology


TOPOLOGIES: Final = Registry(
    kind="topology", group="topologies", built_in=files_of("orkester.graphs", "topology"), accept=_accept
)


def topologies() -> Sequence[str]:
    """Names of the topologies that a study may search: the public files of this folder, then those of packages."""
    return TOPOLOGIES.names()


def topology(name: str, *, folder: Path | None = None) -> Topology:
    """The topology of that name.

    Args:
        name: A name, or ``module:name``.
        folder: Where a module is looked for first; see ``Registry.get``.

    Raises:
        InputError: There is none, or it cannot be used; the message names the one that is spelt most alike.
    """
    return TOPOLOGIES.get(name, folder=folder)


def form_of(name: str, knobs: Mapping[str, Any], roles: Mapping[str, Role] | None = None) -> Form:
    """What a setting of a topology comes to; settings with equal forms are one team.

    Args:
        name: The topology's.
        knobs: A value for each of its knobs.
        roles: Those that a study changes, by name.

    Raises:
        InputError: There is no such topology, or its ``canonical`` does not work.
    """
    form, seen = Form(name, knobs), {""}
    while form.topology not in seen:  # a topology may say that a setting is one of another topology
        seen.add(form.topology)
        plan = topology(form.topology)
        form = _canonical(plan, form, {**known_roles_of(plan), **(roles or {})})
    return form


def _canonical(plan: Topology, form: Form, roles: Mapping[str, Role]) -> Form:
    try:
        result = plan.canonical(form, roles)
    except Exception as error:  # the code may be somebody else's and may raise anything
        knobs = {name: value for name, value in form.knobs.items() if name in plan.decided_by}
        fault = f"{type(error).__name__}: {error}"
        raise InputError(
            f"canonical of the topology {plan.name!r} fails for the values {knobs} of the knobs in decided_by: {fault}"
        ) from error
    if not isinstance(result, Form):
        raise InputError(f"canonical of the topology {plan.name!r} must return a Form, but returned {result!r:.60}")
    return result


def known_roles_of(plan: Topology) -> Mapping[str, Role]:
    """The roles of the packs and those that the topology brings along, by name."""
    from orkester.agents.packs import known_roles  # late: pydantic takes long to import

    return {**known_roles(), **plan.context.own_roles}
