"""Which settings of a space are the same team, found out without a look at every setting.

For each topology only the knobs that decide (``Topology.decided_by``) are gone through. With their values fixed, the
settings of the other knobs are a box: a product of values. A box has an image among forms (``orkester.graphs.Form``),
which is a box again, and settings are the same team where their forms are equal. So teams are counted as the size of a
union of boxes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

from orkester.agents import Role
from orkester.graphs import Form, KnobValue, form_of, topology

#: A topology's name with a value for each of its knobs.
Setting: TypeAlias = tuple[str, Mapping[str, KnobValue]]
#: The values of each knob of a topology.
Grids: TypeAlias = Mapping[str, Sequence[KnobValue]]
#: The values of each knob of a form.
_Image: TypeAlias = Mapping[str, frozenset[Any]]


@dataclass(frozen=True)
class _Free:
    """Stands for any value of a knob that does not decide."""

    knob: str


@dataclass(frozen=True, kw_only=True)
class _Box:
    """Settings of a topology that differ only in knobs that do not decide.

    Attributes:
        topology: Its name.
        grids: The values of each knob, in the topology's order; one value for a knob that decides.
        form: Their common form; a ``_Free`` stands for the value of the knob that it names.
    """

    topology: str
    grids: Grids
    form: Form

    @cached_property
    def image(self) -> _Image:
        """The values of each knob of the form."""
        return {
            name: frozenset(self.grids[value.knob] if isinstance(value, _Free) else (value,))
            for name, value in self.form.knobs.items()
        }

    def holds(self, form: Form) -> bool:
        """Whether one of the settings has this form."""
        return (
            form.topology == self.form.topology
            and form.knobs.keys() == self.image.keys()
            and all(form.knobs[name] in values for name, values in self.image.items())
        )

    def setting(self, form: Form) -> Setting:
        """The first of the settings with this form: knobs without an effect have their first value."""
        knobs = {name: values[0] for name, values in self.grids.items()}
        for name, value in self.form.knobs.items():
            if isinstance(value, _Free):
                knobs[value.knob] = form.knobs[name]
        return self.topology, knobs


class SameTeams:
    """The teams of a space and the setting that stands for each.

    Of the settings that are one team, the form itself stands for it where it is among them, else a setting of the
    form's own topology, else the first in the space's order.

    Args:
        grids: The values of each knob, by topology.
        roles: The roles that the study changes, by name.
    """

    def __init__(self, grids: Mapping[str, Grids], roles: Mapping[str, Role]) -> None:
        self._grids = grids
        self._roles = roles
        self._boxes = [box for name in grids for box in self._boxes_of(name)]
        self._by_topology: dict[str, list[_Box]] = {}
        for box in self._boxes:
            self._by_topology.setdefault(box.form.topology, []).append(box)

    @cached_property
    def count(self) -> int:
        """How many different teams there are."""
        return sum(_union([box.image for box in boxes]) for boxes in self._by_topology.values())

    @cached_property
    def trivial(self) -> bool:
        """Whether every setting is a team of its own."""
        return self.count == sum(math.prod(len(values) for values in knobs.values()) for knobs in self._grids.values())

    def stands_for_itself(self, name: str, knobs: Mapping[str, KnobValue]) -> bool:
        """Whether a setting of the space stands for its team."""
        return self.trivial or self.representative(name, knobs) == (name, knobs)

    def representative(self, name: str, knobs: Mapping[str, KnobValue]) -> Setting:
        """The setting that stands for the team of a setting; the setting itself where the space does not have the team.

        Args:
            name: The topology's.
            knobs: A value for each of its knobs.
        """
        if self.trivial:
            return name, knobs
        form = form_of(name, knobs, self._roles)
        settings = [box.setting(form) for box in self._by_topology.get(form.topology, ()) if box.holds(form)]
        if not settings:
            return name, knobs
        return min(settings, key=lambda each: (each != (form.topology, form.knobs), each[0] != form.topology))

    def _boxes_of(self, name: str) -> Iterator[_Box]:
        grids = self._grids[name]
        deciding = [knob for knob in grids if knob in topology(name).decided_by]
        for values in itertools.product(*(grids[knob] for knob in deciding)):
            fixed = dict(zip(deciding, values, strict=True))
            knobs = {knob: fixed.get(knob, _Free(knob)) for knob in grids}
            box_grids = {knob: (fixed[knob],) if knob in fixed else grids[knob] for knob in grids}
            yield _Box(topology=name, grids=box_grids, form=form_of(name, knobs, self._roles))


def _union(images: Sequence[_Image]) -> int:
    """The number of points in the union of boxes."""
    disjoint: list[_Image] = []
    for image in images:
        pieces = [image]
        for other in disjoint:
            pieces = [rest for piece in pieces for rest in _without(piece, other)]
        disjoint += pieces
    return sum(math.prod(len(values) for values in piece.values()) for piece in disjoint)


def _without(image: _Image, other: _Image) -> list[_Image]:
    """The part of a box that is not in another one, as boxes that do not meet."""
    if image.keys() != other.keys() or any(image[name].isdisjoint(other[name]) for name in image):
        return [image]
    pieces: list[_Image] = []
    rest = dict(image)
    for name in image:
        if outside := rest[name] - other[name]:
            pieces.append({**rest, name: outside})
        rest[name] &= other[name]
    return pieces
