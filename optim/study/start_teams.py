"""Teams that are to be measured first (``start:`` in a study file), and the search for a team by its values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, TypeGuard

from orkester.errors import nearest
from orkester.graphs import EngineValue, KnobValue, OneOfModels, Team, topology

from .space import Space
from .study_file import StudyFile
from .yaml_source import Source

#: The other key of an entry of ``start``, besides the topology.
ENGINE_OPTIONS: Final = "engine_options"


@dataclass(frozen=True, kw_only=True)
class Misfit:
    """A reason why a team is not in a space.

    Attributes:
        place: The keys that lead to the fault, within the entry.
        message: The fault and the remedy.
    """

    place: tuple[str, ...]
    message: str


@dataclass(frozen=True, kw_only=True)
class StartTeams:
    """What an entry ``start`` of a study file comes to.

    Attributes:
        teams: The teams, each once.
        notes: A line for each team that is measured under another name than the file gives it.
    """

    teams: Sequence[Team]
    notes: Sequence[str] = ()


def start_teams(file: StudyFile, source: Source, space: Space) -> tuple[StartTeams, Sequence[str]]:
    """The teams that a study file names to be measured first.

    Args:
        file: The study file.
        source: Its text, for messages.
        space: The teams of the study.

    Returns:
        The teams, and the faults as messages with file and line.
    """
    teams: dict[str, Team] = {}
    notes: list[str] = []
    faults: list[str] = []
    for i, entry in enumerate(file.start):
        names = [name for name in entry if name != ENGINE_OPTIONS]
        if len(names) != 1:
            fault = f"names {len(names)} topologies ({', '.join(names)})" if names else "names no topology"
            faults.append(source.error(["start", i], f"{fault}; a team is one, such as {{vote: {{agents: 5}}}}"))
            continue
        team = find(space, names[0], entry[names[0]] or {}, entry.get(ENGINE_OPTIONS) or {})
        if not isinstance(team, Team):
            faults += [source.error(["start", i, *misfit.place], misfit.message) for misfit in team]
            continue
        teams[team.id] = team
        if team.topology != names[0]:
            notes.append(f"start: {names[0]} with these knobs makes the same calls as {team}, which is measured")
    return StartTeams(teams=list(teams.values()), notes=notes), faults


def as_entry(team: Team) -> dict[str, dict[str, Any]]:
    """A team as an entry of ``start``."""
    return {team.topology: dict(team.knobs), **({ENGINE_OPTIONS: dict(team.engine)} if team.engine else {})}


def find(space: Space, name: str, knobs: Mapping[str, object], engine: Mapping[str, object]) -> Team | Sequence[Misfit]:
    """The team of a space with these values.

    Args:
        space: The teams to choose from.
        name: The name of the topology.
        knobs: Values of knobs. A knob that is left out gets the only value of the space, or the topology's default if
            the space has it.
        engine: Values of engine options that the space searches. An option that is left out gets the first value.

    Returns:
        The team that stands for these values in the space, or all reasons why the space has no such team.
    """
    if name not in space.grids:
        return [Misfit(place=(name,), message=f"is not searched: {nearest(name, space.grids)}. Add it to search")]
    chosen, misfits = _knobs(space, name, knobs)
    options, others = _options(space, engine)
    return [*misfits, *others] or space.representative(Team(name, chosen, options))


def _knobs(space: Space, name: str, given: Mapping[str, object]) -> tuple[Mapping[str, KnobValue], Sequence[Misfit]]:
    known = topology(name).knobs
    misfits = [
        Misfit(place=(name, knob), message=f"unknown knob {nearest(knob, known)}")
        for knob in given
        if knob not in known
    ]
    chosen: dict[str, KnobValue] = {}
    for knob, grid in space.grids[name].items():
        default = None if isinstance(known[knob].range, OneOfModels) else known[knob].default
        asked_value = given.get(knob, grid.values[0] if grid.fixed else default)
        equal_values = [value for value in grid.values if _same(value, asked_value)]
        if equal_values:
            chosen[knob] = equal_values[0]
        elif knob in given:
            message = f"{_not_in(asked_value, grid.values)}; take one of those, or change search.{name}.{knob}"
            misfits.append(Misfit(place=(name, knob), message=message))
        else:
            why = "" if asked_value is None else f": its default {asked_value} is not in the space"
            message = f"needs a value for {knob}{why}; the space has {_words(grid.values)}"
            misfits.append(Misfit(place=(name,), message=message))
    return chosen, misfits


def _options(space: Space, given: Mapping[str, object]) -> tuple[Mapping[str, EngineValue], Sequence[Misfit]]:
    misfits: list[Misfit] = []
    for option in given:
        if option not in space.engine:
            why = f"is not searched: {nearest(option, space.engine)}" if space.engine else "is not searched"
            misfits.append(Misfit(place=(ENGINE_OPTIONS, option), message=f"{why}. Leave it out"))
    chosen: dict[str, EngineValue] = {}
    for option, values in space.engine.items():
        asked_value = given.get(option, values[0])
        equal_values = [value for value in values if _same(value, None if asked_value == "none" else asked_value)]
        if equal_values:
            chosen[option] = equal_values[0]
        else:
            message = f"{_not_in(asked_value, values)}; take one of those, or change engine_options.{option}"
            misfits.append(Misfit(place=(ENGINE_OPTIONS, option), message=message))
    return chosen, misfits


def _same(value: KnobValue | EngineValue, other: object) -> bool:
    if _is_number(value) and _is_number(other):
        return abs(value - other) < 1e-9
    return type(value) is type(other) and value == other


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _not_in(asked_value: object, values: Sequence[KnobValue | EngineValue]) -> str:
    """``0.72 is not in the space, which has 0.3 to 1.0 by 0.05 (nearest: 0.7)``."""
    message = f"{asked_value!r} is not in the space, which has {_words(values)}"
    numbers = [value for value in values if _is_number(value)]
    if numbers and _is_number(asked_value):
        message += f" (nearest: {min(numbers, key=lambda value: abs(value - asked_value))})"
    return message


def _words(values: Sequence[KnobValue | EngineValue]) -> str:
    """``2 to 5``, ``0.3 to 1.0 by 0.05``, ``small, large``."""
    numbers = [value for value in values if _is_number(value)]
    step = round(numbers[1] - numbers[0], 6) if len(numbers) > 1 else 0.0
    if len(numbers) == len(values) > 2 and all(_same(b - a, step) for a, b in pairwise(numbers)):
        return f"{values[0]} to {values[-1]}" + ("" if step == 1 else f" by {step:g}")
    return ", ".join(_word(value) for value in values)


def _word(value: KnobValue | EngineValue) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else "none" if value is None else str(value)
