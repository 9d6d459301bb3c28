"""Knobs: the fields of a context schema that a study may search over."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from orkester.errors import InputError

#: What a knob can be set to.
KnobValue: TypeAlias = int | float | str


@dataclass(frozen=True)
class Between:
    """A number from ``low`` to ``high``, both included. Whether whole or not is the field's type.

    ``step`` is the grid a search moves on: two teams that differ by less are the same team. None means 1 for whole
    numbers and 0.05 for others.
    """

    low: float
    high: float
    step: float | None = None


@dataclass(frozen=True)
class OneOf:
    """One of a few names."""

    choices: tuple[str, ...]


@dataclass(frozen=True)
class OneOfModels:
    """One of the study's models."""


@dataclass(frozen=True)
class OneOfPolicies:
    """One of the routing policies: a name, or ``module:name``."""


@dataclass(frozen=True, kw_only=True)
class Knob:
    """One searchable field.

    Attributes:
        name: the field's name.
        kind: ``int``, ``float`` or ``str``.
        range: what it may be set to.
        default: what it is when a study does not say; for models a placeholder.
    """

    name: str
    kind: type
    range: Between | OneOf | OneOfModels | OneOfPolicies
    default: KnobValue


@functools.cache  # every team that names its models asks, and type hints are slow to resolve
def knobs(context: type) -> Mapping[str, Knob]:
    """The knobs of a context schema, in the order of its fields.

    Args:
        context: a dataclass; its fields annotated with ``Between``, ``OneOf``, ``OneOfModels`` or ``OneOfPolicies`` are
            the knobs.
    """
    hints = typing.get_type_hints(context, include_extras=True)
    found: dict[str, Knob] = {}
    for field in dataclasses.fields(context):
        hint = hints[field.name]
        ranges = [
            extra
            for extra in getattr(hint, "__metadata__", ())
            if isinstance(extra, (Between, OneOf, OneOfModels, OneOfPolicies))
        ]
        if ranges:
            found[field.name] = Knob(
                name=field.name, kind=typing.get_args(hint)[0], range=ranges[0], default=_default(field)
            )
    return types.MappingProxyType(found)


def _default(field: dataclasses.Field[Any]) -> KnobValue:
    if field.default is dataclasses.MISSING:
        raise InputError(
            f"the knob {field.name!r} needs a default, since a topology also works without a study: "
            f"{field.name}: Annotated[…] = VALUE"
        )
    return typing.cast("KnobValue", field.default)
