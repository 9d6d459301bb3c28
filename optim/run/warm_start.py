"""Warm starts (``warm_start:``): front members of earlier runs that are teams of this study are measured first.

Teams are matched by the names of topology, knobs and models. Numbers that an earlier run measured are not used, because
it may have had another task, machine or engine.
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
from orkester.evals.records.log import read_records
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

#: The most teams that are taken from all earlier runs together: enough to span a front of three objectives, and few
#: compared with the teams that a search measures.
MOST_TEAMS = 8
#: The most teams that a note names if they are not in the space.
_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class WarmStart:
    """The teams of earlier runs.

    Attributes:
        teams: Teams of this study's space; those that span the earlier fronts best come first.
        notes: A line for each run: which teams were taken, and which are not in this space.
    """

    teams: Sequence[Team]
    notes: Sequence[str]


def warm_start(
    file: StudyFile, source: Source, space: Space, folder: Path, *, most: int = MOST_TEAMS
) -> tuple[WarmStart, Sequence[str]]:
    """Read the runs that a study file names under ``warm_start``.

    Args:
        file: The study file.
        source: The text of the study file, for messages.
        space: The teams of the study.
        folder: The folder that paths are relative to.
        most: The most teams to take.

    Returns:
        The teams of the runs, and the faults as messages with file and line.
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
    """Read the results of a run, as far as it has come.

    Raises:
        InputError: There is no run, or it cannot be read.
    """
    directory = RunDirectory(path)
    manifest = directory.manifest()
    if manifest is None:
        raise InputError(f"there is no run in {path}")
    study = manifest["study"]
    try:
        load_plugins(manifest)
        footprint = EnergyPart.model_validate(study.get("energy", {})).footprint
        records = read_records(directory.blocks)
        return results(records, study["objectives"], study["constraints"], manifest["sizes"], footprint=footprint)
    except (KeyError, TypeError, ValidationError) as error:
        raise InputError(f"{path}: its manifest cannot be read") from error


def _fitting(found: Results, space: Space) -> tuple[dict[str, Team], Sequence[str]]:
    """The teams of this space by their ids in the earlier run, and a text for each team that is not in this space."""
    fitting: dict[str, Team] = {}
    misfits: list[str] = []
    for member in found.front:
        # Engine options that this study searches are taken over; for the others, the values of this study apply.
        engine = {option: value for option, value in member.team.engine.items() if option in space.engine}
        here = find(space, member.team.topology, member.team.knobs, engine)
        if isinstance(here, Team):
            fitting[member.team.id] = here
        else:
            place, message = ".".join(here[0].place), here[0].message.partition(";")[0]
            misfits.append(f"{member.team.id} ({place} {message})")
    return fitting, misfits


def spread(found: Results, fitting: dict[str, Team]) -> Sequence[Team]:
    """Order the teams of a front so that the first ones span it.

    The first team is the best one in the first objective. Each next team is the one that is farthest from all teams
    before it (Gonzalez, Theoretical Computer Science 38, 1985), with each objective scaled to the range of the front.

    Args:
        found: The results of the earlier run.
        fitting: The teams of this space by their ids in the earlier run.

    Returns:
        The teams of this space, each once.
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
    """The confirmed value if there is one, else the value of the search."""
    estimates = {**(member.search.estimates if member.search else {})}
    estimates.update(member.confirmed.estimates if member.confirmed else {})
    return estimates[name].value


def _note(name: str, front: int, fitting: int, taken: int, misfits: Sequence[str]) -> str:
    if not front:
        return f"warm start: {name} has no front"
    note = f"warm start: {taken} of the {front} front members of {name} are measured first"
    if fitting > taken:
        note += f"; {fitting - taken} more are in this space"
    if misfits:
        more = len(misfits) - _NAMED
        named = ", ".join(misfits[:_NAMED]) + (f" and {more} more" if more > 0 else "")
        note += f"; not in this space: {named}"
    return note
