"""The search space: the teams that a study may try, as Optuna parameters that depend on the topology."""

from __future__ import annotations

import dataclasses
import itertools
import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast

from orkester.agents import Role, RoleFault
from orkester.agents.routing import routing_policies, routing_policy
from orkester.errors import InputError, nearest
from orkester.graphs import (
    Between,
    EngineValue,
    Knob,
    KnobValue,
    OneOf,
    OneOfModels,
    OneOfPolicies,
    Team,
    TeamContext,
    topology,
)

from .engine_parts import RESTARTS, Restart
from .same_teams import SameTeams
from .study_file import KnobSpec, StudyFile
from .yaml_source import Source

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

#: Takes a fault: the keys that lead to it in the study file, and the message.
Complain: TypeAlias = Callable[[list[str | int], str], None]

DEFAULT_STEP = 0.05


@dataclass(frozen=True)
class Grid:
    """The values that a knob may have.

    Attributes:
        values: Names for models and choices, and numbers otherwise. Numbers are in ascending order and evenly spaced.
    """

    values: tuple[KnobValue, ...]

    @property
    def fixed(self) -> bool:
        """Whether there is only one value, so that there is nothing to search."""
        return len(self.values) == 1


@dataclass(frozen=True)
class Space:
    """The teams of a study, each once. There is a finite number of them, since knobs move in steps.

    Settings that make the same calls are one team (``orkester.graphs.Form``). One of the settings stands for the team.

    Attributes:
        grids: The values of knobs, by topology and knob.
        engine: The values of the engine options that are searched. Every team has one value of each option.
        roles: The roles that the study changes, by name. They matter for which settings are the same team.
    """

    grids: Mapping[str, Mapping[str, Grid]]
    engine: Mapping[str, tuple[EngineValue, ...]] = field(default_factory=dict)
    roles: Mapping[str, Role] = field(default_factory=dict)

    def __len__(self) -> int:
        return math.prod(len(values) for values in self.engine.values()) * self._same.count

    def __contains__(self, team: object) -> bool:
        return isinstance(team, Team) and self.has_setting(team) and self.representative(team) == team

    @property
    def settings(self) -> int:
        """How many settings of knobs and engine options there are; at least as many as teams."""
        engines = math.prod(len(values) for values in self.engine.values())
        return engines * sum(math.prod(len(g.values) for g in knobs.values()) for knobs in self.grids.values())

    def has_setting(self, team: Team) -> bool:
        """Whether the team's values are all on the grids."""
        grids = self.grids.get(team.topology)
        return (
            grids is not None
            and set(grids) == set(team.knobs)
            and all(team.knobs[name] in grid.values for name, grid in grids.items())
            and set(self.engine) == set(team.engine)
            and all(team.engine[name] in values for name, values in self.engine.items())
        )

    def representative(self, team: Team) -> Team:
        """The team of this space that makes the same calls; the team itself where there is none.

        Args:
            team: Of this space or of another one with the same engine options.
        """
        if self._same.trivial or team.topology not in self.grids:
            return team
        name, knobs = self._same.representative(team.topology, team.knobs)
        return team if (name, knobs) == (team.topology, team.knobs) else Team(name, knobs, team.engine)

    @cached_property
    def _same(self) -> SameTeams:
        grids = {name: {knob: grid.values for knob, grid in knobs.items()} for name, knobs in self.grids.items()}
        return SameTeams(grids, self.roles)

    @property
    def restarts(self) -> Mapping[str, Restart]:
        """What it takes to change each searched engine option."""
        return {name: RESTARTS[name] for name in self.engine}

    def engines(self) -> Iterator[Mapping[str, EngineValue]]:
        """Every combination of the searched engine options; a single empty one when no options are searched."""
        for values in itertools.product(*self.engine.values()):
            yield dict(zip(self.engine, values, strict=True))

    def configurations(self) -> Sequence[tuple[tuple[str, ...], Mapping[str, EngineValue]]]:
        """All engines that teams need: the models, with each combination of engine options."""
        models: dict[str, None] = {}
        for name, grids in self.grids.items():
            for knob in topology(name).knobs.values():
                if isinstance(knob.range, OneOfModels):
                    models.update(dict.fromkeys(str(value) for value in grids[knob.name].values))
        return [(tuple(models), engine) for engine in self.engines()]

    def teams(self) -> Iterator[Team]:
        """Every team of the space, once."""
        for name, grids in self.grids.items():
            for values in itertools.product(*(grid.values for grid in grids.values())):
                knobs = dict(zip(grids, values, strict=True))
                if not self._same.stands_for_itself(name, knobs):
                    continue
                for engine in self.engines():
                    yield Team(name, knobs, engine)

    def team_at(self, place: int) -> Team | None:
        """The setting at a place among all settings, without going through those before it.

        Args:
            place: From 0 on, below ``settings``.

        Returns:
            None where another setting stands for the team.

        Raises:
            IndexError: There is no such place.
        """
        for name, grids in self.grids.items():
            choices: list[Sequence[KnobValue | EngineValue]] = [
                *(grid.values for grid in grids.values()),
                *self.engine.values(),
            ]
            count = math.prod(len(values) for values in choices)
            if place >= count:
                place -= count
                continue
            chosen: list[KnobValue | EngineValue] = []
            for values in reversed(choices):
                place, at = divmod(place, len(values))
                chosen.insert(0, values[at])
            knobs = dict(zip(grids, cast("list[KnobValue]", chosen[: len(grids)]), strict=True))
            if not self._same.stands_for_itself(name, knobs):
                return None
            return Team(name, knobs, dict(zip(self.engine, chosen[len(grids) :], strict=True)))
        raise IndexError(place)

    def draw(self, rng: random.Random) -> Team:
        """A team; topologies and values of knobs are equally likely."""
        name = rng.choice(list(self.grids))
        knobs = {knob: rng.choice(grid.values) for knob, grid in self.grids[name].items()}
        engine = {option: rng.choice(values) for option, values in self.engine.items()}
        return self.representative(Team(name, knobs, engine))

    def suggest(self, trial: BaseTrial, *, flat: bool = False) -> Team:
        """The team that Optuna asks for, by any of its settings.

        Parameters are ``topology``, ``TOPOLOGY.KNOB`` and ``engine.OPTION``; fixed knobs are none.

        Args:
            trial: The trial of Optuna.
            flat: Whether the knobs of all topologies are parameters of the trial, also those that have no effect. This
                is for samplers that learn nothing about a parameter that some trials lack.
        """
        name = str(trial.suggest_categorical("topology", list(self.grids)))
        knobs = {
            of: {k: g.values[0] if g.fixed else _suggest(trial, f"{of}.{k}", g) for k, g in self.grids[of].items()}
            for of in (self.grids if flat else (name,))
        }
        engine = {
            option: trial.suggest_categorical(f"engine.{option}", list(values))
            for option, values in self.engine.items()
        }
        return self.representative(Team(name, knobs[name], engine))

    def params(self, team: Team) -> dict[str, KnobValue | EngineValue]:
        """The Optuna parameters that lead to this team: those of the setting that stands for it."""
        team = self.representative(team)
        searched = {k: g for k, g in self.grids[team.topology].items() if not g.fixed}
        return {
            "topology": team.topology,
            **{f"{team.topology}.{k}": team.knobs[k] for k in searched},
            **{f"engine.{option}": team.engine[option] for option in self.engine},
        }


def _suggest(trial: BaseTrial, name: str, grid: Grid) -> KnobValue:
    first, last = grid.values[0], grid.values[-1]
    if isinstance(first, str):
        return str(trial.suggest_categorical(name, list(grid.values)))
    if isinstance(first, int) and isinstance(last, int):
        return trial.suggest_int(name, first, last, step=int(grid.values[1]) - first)
    step = round(float(grid.values[1]) - float(first), 10)
    drawn = trial.suggest_float(name, float(first), float(last), step=step)
    return min(grid.values, key=lambda value: abs(float(value) - drawn))  # exactly on the grid, also after rounding


def build_space(study: StudyFile, complain: Complain, *, folder: Path | None = None) -> Space:
    """The space a study file asks for.

    Args:
        study: The study file.
        complain: Takes the faults, so that a user sees all of them at once; the space is only good without any.
        folder: Where modules of topologies are looked for first.
    """
    grids: dict[str, dict[str, Grid]] = {}
    for name, specs in study.search.items():
        try:
            knobs = topology(name, folder=folder).knobs
        except InputError as error:
            complain(["search", name], str(error))
            continue
        for unknown in [key for key in specs or {} if key not in knobs]:
            fields = {field.name for field in dataclasses.fields(topology(name).context)}
            fault = f"unknown knob {nearest(unknown, knobs)}"
            if unknown in fields - {field.name for field in dataclasses.fields(TeamContext)}:
                fault = (
                    f"the field {unknown!r} is no knob, since it has no range: annotate it in the topology's context, "
                    f"such as {unknown}: Annotated[float, Between(0, 1)] = 0.5"
                )
            complain(["search", name, unknown], fault)
        grids[name] = {}
        for knob in knobs.values():
            try:
                spec = (specs or {}).get(knob.name)
                grids[name][knob.name] = _grid(knob, spec, study.model_names, folder)
            except ValueError as error:
                complain(["search", name, knob.name], str(error))
    return Space(grids, study.engine_options.choices, changed_roles(study, grids, complain))


def changed_roles(study: StudyFile, searched: Iterable[str], complain: Complain) -> Mapping[str, Role]:
    """The roles that a study changes, by name. Only those of topologies that are searched can be changed.

    Args:
        study: The study file.
        searched: Names of the topologies that are searched.
        complain: Takes the faults.
    """
    used: dict[str, Role] = {}
    for topology_name in searched:
        for name, role in topology(topology_name).default_roles.items():
            if used.setdefault(name, role) != role and name in study.roles:
                why = f"is another role in {topology_name} than in topologies before it; search them in two studies"
                complain(["roles", name], why)
    roles: dict[str, Role] = {}
    for name, change in study.roles.items():
        if name not in used:
            complain(["roles", name], f"no topology of the search has the role {nearest(name, used)}")
            continue
        try:
            roles[name] = change.apply_to(used[name])
        except RoleFault as fault:
            complain(["roles", name, fault.field], fault.message)
    return roles


def _grid(knob: Knob, spec: KnobSpec | None, models: list[str], folder: Path | None) -> Grid:
    match knob.range:
        case OneOfModels():
            return _names(spec, tuple(models), default="any", what="models of the study")
        case OneOf(choices):
            return _names(spec, choices, default=knob.default, what="choices")
        case OneOfPolicies():
            return _policies(spec, default=knob.default, folder=folder)
        case Between():
            return _numbers(knob, knob.range, spec)


def _names(spec: KnobSpec | None, known: tuple[str, ...], *, default: KnobValue, what: str) -> Grid:
    asked = default if spec is None else spec
    if asked == "any":
        return Grid(known)
    names = asked if isinstance(asked, list) else [asked]
    for name in names:
        if name not in known:
            raise ValueError(f"is not one of the {what}: {nearest(str(name), known)}, or 'any'")
    if not names:
        raise ValueError(f"needs at least one of {', '.join(known)}")
    return Grid(tuple(dict.fromkeys(str(name) for name in names)))


def _policies(spec: KnobSpec | None, *, default: KnobValue, folder: Path | None) -> Grid:
    """Routing policies by name, also ``module:name``, which is not listed."""
    asked = default if spec is None else spec
    names = asked if isinstance(asked, list) else [asked]
    own = [name for name in names if isinstance(name, str) and ":" in name]
    for name in own:
        try:
            routing_policy(name, folder=folder)
        except InputError as error:
            raise ValueError(str(error)) from error
    return _names(spec, (*routing_policies(), *own), default=default, what="routing policies")


def _numbers(knob: Knob, allowed: Between, spec: KnobSpec | None) -> Grid:
    whole = knob.kind is int
    what = "a whole number" if whole else "a number"
    asked = knob.default if spec is None else spec
    ends = asked if isinstance(asked, list) else [asked, asked]
    if len(ends) != 2:
        raise ValueError(f"takes {what} or [LOW, HIGH], but got {asked!r}")
    for end in ends:
        if isinstance(end, str) or (whole and not isinstance(end, int)):
            raise ValueError(f"takes {what} or [LOW, HIGH], but got {asked!r}")
        if not allowed.low <= end <= allowed.high:
            raise ValueError(f"takes {allowed.low:g} to {allowed.high:g}, but got {end!r}")
    low, high = (float(end) for end in ends)
    if low > high:
        raise ValueError(f"the range is upside down: LOW <= HIGH must hold, but got {asked!r}")
    step = allowed.step or (1 if whole else DEFAULT_STEP)
    count = math.floor((high - low) / step + 1e-9) + 1
    if whole:
        return Grid(tuple(int(low + i * step) for i in range(count)))
    return Grid(tuple(round(low + i * step, 6) for i in range(count)))


def space_of(study: StudyFile, source: Source) -> tuple[Space, list[str]]:
    """The space that a study file asks for.

    Args:
        study: The study file.
        source: Its text, for messages.

    Returns:
        The space, and the faults as messages with file and line.
    """
    faults: list[str] = []
    space = build_space(
        study, lambda place, message: faults.append(source.error(place, message)), folder=source.path.parent
    )
    return space, faults
