"""What earlier runs found, to begin with (``warm_start:``): members of their fronts that are teams of this study.

Teams are matched by name: topology, knobs, models. What an earlier run measured is not used, since it may have been
another task, machine or engine: only where to look first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from orkester.errors import InputError, OrkesterError
from orkester.evals.records import read_records
from orkester.graphs import Team
from orkester.optim.study.parts import EnergyPart
from orkester.optim.study.space import Space
from orkester.optim.study.start_teams import find
from orkester.optim.study.study_file import StudyFile
from orkester.optim.study.study_of_run import load_plugins
from orkester.optim.study.yaml_source import Source

from .directory import RunDirectory
from .results import Results, TeamResult, results

Floats: TypeAlias = NDArray[np.float64]

#: Most teams that are taken from all earlier runs together: enough to span a front of three objectives, few beside the
#: teams that a search begins.
MOST_TEAMS = 8
#: Teams that are named of those that do not fit.
_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class WarmStart:
    """What earlier runs give.

    Attributes:
        teams: of this study's space, the most telling first.
        notes: a line for each run: what was taken, and what is not of this space.
    """

    teams: Sequence[Team]
    notes: Sequence[str]


def warm_start(
    file: StudyFile, source: Source, space: Space, folder: Path, *, most: int = MOST_TEAMS
) -> tuple[WarmStart, Sequence[str]]:
    """Read the runs that a study file names.

    Args:
        file: the study's.
        source: its text, for messages.
        space: its teams.
        folder: paths are relative to it.
        most: teams to take.

    Returns:
        What they give, and the faults as messages with file and line.
    """
    faults: list[str] = []
    offers: list[tuple[str, int, Sequence[Team], Sequence[str]]] = []
    for i, name in enumerate(file.warm_start):
        try:
            found = _read(folder / Path(name).expanduser())
        except (InputError, OrkesterError) as error:
            faults.append(source.error(["warm_start", i], f"{error}; name a run directory, or leave it out"))
            continue
        fitting, misfits = _fitting(found, space)
        offers.append((name, len(found.front), spread(found, fitting), misfits))
    turns = chain.from_iterable(zip_longest(*(teams for _, _, teams, _ in offers)))  # each run's first, then the next
    taken = list({team.id: team for team in turns if team is not None}.values())[:most]
    ids = {team.id for team in taken}
    notes = [
        _note(name, front, len(teams), sum(team.id in ids for team in teams), misfits)
        for name, front, teams, misfits in offers
    ]
    return WarmStart(teams=taken, notes=notes), faults


def _read(path: Path) -> Results:
    """What a run has found so far.

    Raises:
        InputError: there is none, or it cannot be read.
    """
    directory = RunDirectory(path)
    manifest = directory.manifest()
    if manifest is None:
        raise InputError(f"there is no run in {path}")
    asked = manifest["study"]
    try:
        load_plugins(manifest)
        footprint = EnergyPart.model_validate(asked.get("energy", {})).footprint
        records = read_records(directory.blocks)
        return results(records, asked["objectives"], asked["constraints"], manifest["sizes"], footprint=footprint)
    except (KeyError, TypeError, ValidationError) as error:
        raise InputError(f"{path}: its manifest cannot be read") from error


def _fitting(found: Results, space: Space) -> tuple[dict[str, Team], Sequence[str]]:
    """By the id in the earlier run, the teams of this space; and what the others are, in words."""
    fitting: dict[str, Team] = {}
    misfits: list[str] = []
    for member in found.front:
        # Of engine options those that are searched here count; for all others this study's hold.
        engine = {option: value for option, value in member.team.engine.items() if option in space.engine}
        here = find(space, member.team.topology, member.team.knobs, engine)
        if isinstance(here, Team):
            fitting[member.team.id] = here
        else:
            place, message = ".".join(here[0].place), here[0].message.partition(";")[0]
            misfits.append(f"{member.team.id} ({place} {message})")
    return fitting, misfits


def spread(found: Results, fitting: dict[str, Team]) -> Sequence[Team]:
    """Teams of a front, those first that span it: the best in the first objective, then always the one that is farthest
    from all before it (Gonzalez, Theoretical Computer Science 38, 1985), each objective in shares of the front's range.
    """
    members = [member for member in found.front if member.team.id in fitting]
    if not members:
        return []
    points = np.array([[_value(member, name) for name in found.objectives] for member in members])
    span = points.max(axis=0) - points.min(axis=0)
    points = (points - points.min(axis=0)) / np.where(span > 0, span, 1.0)
    order = [0]
    far: Floats = np.abs(points - points[0]).max(axis=1)
    while len(order) < len(members):
        far[order] = -1.0
        order.append(int(far.argmax()))
        far = np.minimum(far, np.abs(points - points[order[-1]]).max(axis=1))
    return list({fitting[members[i].team.id].id: fitting[members[i].team.id] for i in order}.values())


def _value(member: TeamResult, name: str) -> float:
    """As confirmed, where it was."""
    estimates = {**(member.search.estimates if member.search else {})}
    estimates.update(member.confirmed.estimates if member.confirmed else {})
    return estimates[name].value


def _note(name: str, front: int, fitting: int, taken: int, misfits: Sequence[str]) -> str:
    if not front:
        return f"warm start: {name} has no front"
    said = f"warm start: {taken} of the {front} front members of {name} are measured first"
    if fitting > taken:
        said += f"; {fitting - taken} more are of this space"
    if misfits:
        more = len(misfits) - _NAMED
        named = ", ".join(misfits[:_NAMED]) + (f" and {more} more" if more > 0 else "")
        said += f"; not of this space: {named}"
    return said
