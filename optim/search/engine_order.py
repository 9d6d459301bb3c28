"""The order in which teams are measured, so that engines are changed as rarely as possible."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from orkester.graphs import Team

#: The number of teams that are chosen together when the engines of the space do not all fit into memory.
BATCH = 8

#: Models, each with the values of the searched engine options.
_Engines: TypeAlias = tuple[tuple[str, str], ...]


def by_engines(teams: Sequence[Team], measured: Iterable[Team]) -> list[int]:
    """Sort teams by their engines, so that teams with the same engines are measured one after another.

    First come teams whose engines were all in use before, the most recent first, because these engines may still be
    resident. Then come the teams that need the fewest new engines. The order depends only on the arguments, so that a
    resumed run continues like one that was never interrupted.

    Args:
        teams: The teams to measure.
        measured: The teams that were measured, in order. A team may occur several times; the last time counts. It is
            not read when all teams have the same engines.

    Returns:
        The indices of ``teams``. Teams with the same engines keep their order.
    """
    indices_by_engines: dict[_Engines, list[int]] = {}
    for index, team in enumerate(teams):
        indices_by_engines.setdefault(_engines(team), []).append(index)
    if len(indices_by_engines) < 2:
        return list(range(len(teams)))
    recent: list[tuple[str, str]] = []
    for team in measured:
        _mark_used(recent, _engines(team))
    order: list[int] = []
    while indices_by_engines:
        nearest = min(indices_by_engines, key=lambda engines: _distance(engines, recent))
        order += indices_by_engines.pop(nearest)
        _mark_used(recent, nearest)
    return order


def _engines(team: Team) -> _Engines:
    options = json.dumps(dict(team.engine), sort_keys=True)
    return tuple((model, options) for model in sorted(team.models))


def _mark_used(recent: list[tuple[str, str]], engines: _Engines) -> None:
    """Move engines to the end of the list, where the most recently used engines are."""
    recent[:] = [*(each for each in recent if each not in engines), *engines]


def _distance(engines: _Engines, recent: Sequence[tuple[str, str]]) -> tuple[int, bool, int]:
    """The number of engines that were never used, whether this is all of them, and the age of the oldest used one."""
    ages = [len(recent) - recent.index(each) for each in engines if each in recent]
    return len(engines) - len(ages), not ages, max(ages, default=0)
