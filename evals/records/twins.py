"""Old records in which one team was measured under two names.

Settings of topologies that make the same calls are one team (``orkester.graphs.Form``). Older versions of Orkester did
not know this, so their runs may have blocks of both settings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

from orkester.graphs import Team

from .block import Block
from .log import Records, TeamFailure

#: Returns the team that represents all teams which make the same calls as the given team.
Representative: TypeAlias = Callable[[Team], Team]


def under_one_name(records: Records, representative: Representative) -> Records:
    """Replace every team by its representative, and keep each block of a team only once.

    When two blocks of a team have the same examples, the first one in the file counts. A record that a team was stopped
    or could not be measured counts only when it has the same name as the last block of the team.

    Args:
        records: The records as they are in the file.
        representative: Returns the representative of a team.

    Returns:
        The records, without repeated blocks.
    """
    names: dict[str, Team] = {}
    named: Sequence[Block | TeamFailure] = (*records.blocks, *records.failures)
    for record in named:
        if record.team not in names:
            names[record.team] = representative(Team(record.topology, record.knobs, record.engine_options))
    if all(name == team.id for name, team in names.items()):
        return records
    kept: dict[tuple[str, str, int], Block] = {}
    last_name: dict[str, str] = {}
    for block in records.blocks:
        team = names[block.team]
        place = (team.id, block.phase, block.index)
        if place in kept:
            continue
        last_name[team.id] = block.team
        kept[place] = replace(block, team=team.id, topology=team.topology, knobs=dict(team.knobs))

    def counts(name: str) -> bool:
        return last_name.get(names[name].id, name) == name

    failures: list[TeamFailure] = []
    for failure in records.failures:
        if counts(failure.team):
            team = names[failure.team]
            failures.append(replace(failure, team=team.id, topology=team.topology, knobs=dict(team.knobs)))
    stopped = {names[name].id: reason for name, reason in records.stopped.items() if name in names and counts(name)}
    return Records(blocks=tuple(kept.values()), failures=failures, stopped=stopped)
