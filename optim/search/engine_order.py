"""In which order teams are measured: engines are changed as seldom as can be."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from orkester.graphs import Team

#: Teams asked for at a time where not all engines of the space can be resident together.
BATCH = 8

#: Models, each with the searched engine options it is served with.
_Engines: TypeAlias = tuple[tuple[str, str], ...]


def by_engines(teams: Sequence[Team], measured: Iterable[Team]) -> list[int]:
    """The order in which to measure teams: one engine configuration after the other.

    First come configurations whose engines were all in use before, those used last at the front: what is still
    resident is among them. Then those that need the fewest engines more, beside ones in use if possible. Nothing but
    the arguments decides, so that a resumed run goes the way of one that was never interrupted.

    Args:
        teams: to be measured.
        measured: teams in the order in which they were measured last; one may come again, and then the last time
            counts. Not looked at where there is nothing to choose.

    Returns:
        Indices of ``teams``; those with the same engines in the order given.
    """
    waiting: dict[_Engines, list[int]] = {}
    for index, team in enumerate(teams):
        waiting.setdefault(_engines(team), []).append(index)
    if len(waiting) < 2:
        return list(range(len(teams)))
    recent: list[tuple[str, str]] = []
    for team in measured:
        _use(recent, _engines(team))
    order: list[int] = []
    while waiting:
        nearest = min(waiting, key=lambda engines: _distance(engines, recent))
        order += waiting.pop(nearest)
        _use(recent, nearest)
    return order


def _engines(team: Team) -> _Engines:
    options = json.dumps(dict(team.engine), sort_keys=True)
    return tuple((model, options) for model in sorted(team.models))


def _use(recent: list[tuple[str, str]], engines: _Engines) -> None:
    """Move engines to the end, where those used last are."""
    recent[:] = [*(each for each in recent if each not in engines), *engines]


def _distance(engines: _Engines, recent: Sequence[tuple[str, str]]) -> tuple[int, bool, int]:
    """How many were never in use, whether that is all, and how long ago that was used that has waited longest."""
    ages = [len(recent) - recent.index(each) for each in engines if each in recent]
    return len(engines) - len(ages), not ages, max(ages, default=0)
