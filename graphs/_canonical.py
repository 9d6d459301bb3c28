"""Which settings of topologies are the same team: those that make the same calls and answer the same.

A topology says so in ``canonical``: a function of its knobs and of the roles that its agents play, which returns a
``Form``. Settings with equal forms are one team. ``decided_by`` names the knobs whose values the function looks at; it
passes on the values of all others as they are, or leaves them out where they have no effect. So a space of half a
million settings is counted without a look at each.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from orkester.agents import Role


@dataclass(frozen=True)
class Form:
    """What a setting comes to.

    Attributes:
        topology: The simplest topology that makes the same calls.
        knobs: Those of its knobs that have an effect, with their values.
    """

    topology: str
    knobs: Mapping[str, Any]

    def without(self, *names: str) -> Form:
        """The form without knobs that have no effect; names that it does not have are passed over."""
        return Form(self.topology, {name: value for name, value in self.knobs.items() if name not in names})


#: A topology's ``canonical``: takes the knobs that have an effect, and the roles by name. Raises nothing.
Canonical: TypeAlias = Callable[[Form, Mapping[str, Role]], Form]


def as_it_is(form: Form, roles: Mapping[str, Role]) -> Form:
    """Every setting is a team of its own."""
    del roles
    return form


def temperature_of(*names: str) -> Canonical:
    """For topologies whose knob ``temperature`` is that of some roles: a role with its own temperature ignores it."""

    def canonical(form: Form, roles: Mapping[str, Role]) -> Form:
        ignored = all(roles[name].temperature is not None for name in names)
        return form.without("temperature") if ignored else form

    return canonical


def same_calls(one: Role, other: Role) -> bool:
    """Whether two roles make the same calls: they are equal apart from their names, which only a JSON schema shows."""
    return dataclasses.replace(one, name=other.name) == other and one.output is None
