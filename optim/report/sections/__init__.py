"""The sections of the report, in their order.

To add one, write ``KEY.py`` with a ``SECTION`` and its template ``KEY.html.j2`` beside it, and add it to the list here.
"""

from __future__ import annotations

from collections.abc import Sequence

from .._section import Section
from . import (
    choices,
    confirmation,
    energy,
    engines,
    failures,
    front,
    importance,
    members,
    methods,
    routing,
    teams,
)
from . import (
    next as next_,
)

SECTIONS: Sequence[Section] = (
    front.SECTION,
    choices.SECTION,
    confirmation.SECTION,
    members.SECTION,
    routing.SECTION,
    energy.SECTION,
    importance.SECTION,
    next_.SECTION,
    teams.SECTION,
    failures.SECTION,
    engines.SECTION,
    methods.SECTION,
)
