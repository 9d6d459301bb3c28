"""The study file: what a user asks for, checked at the edge.

Every error names file, line, key, what was given and what is allowed. All faults of the form are shown at once; where
there are none, all faults of what is meant (topologies, models, data, what does not go together).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, ValidationInfo, field_validator

from orkester.agents.packs import RoleChange
from orkester.errors import InputError
from orkester.evals.objectives import objective
from orkester.optim.goals.goal import DEFAULT_OBJECTIVES, Direction, is_limit
from orkester.serving.request_changes import RequestChanges

from .engine_parts import EngineOptionsPart, EngineSpec
from .model_parts import ModelEntry, model_form
from .parts import BudgetPart, EnergyPart, MeasurePart, Part, TaskPart
from .validation_messages import explain
from .yaml_source import Source, listed, short

#: The value of ``sampler`` that leaves the choice to Orkester.
AUTO_SAMPLER: Final = "auto"
KnobSpec = int | float | str | list[int | float | str]


def _known_objective(name: str, info: ValidationInfo) -> str:
    folder: Path | None = (info.context or {}).get("folder")
    try:
        return objective(name, folder=folder).name
    except InputError as error:
        raise ValueError(str(error)) from error


def _limit_form(value: object) -> object:
    if isinstance(value, str) and is_limit(value):
        return value
    raise ValueError(f"takes '<= NUMBER' or '>= NUMBER', but got {short(value)}")


def _knob_form(value: object) -> object:
    if all(isinstance(entry, str) or _is_number(entry) for entry in (value if isinstance(value, list) else [value])):
        return value
    raise ValueError(f"takes a number, a name, [LOW, HIGH] or a list of names, but got {short(value)}")


def _start_form(value: object) -> object:
    if isinstance(value, dict) and all(isinstance(part, dict | None) for part in value.values()):
        return value
    raise ValueError(f"takes a topology with its knobs, such as {{vote: {{agents: 5}}}}, but got {short(value)}")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


#: A topology with its knobs, and ``engine_options`` where they are searched.
StartEntry = dict[str, dict[str, bool | int | float | str | None] | None]
Quantity = Annotated[str, AfterValidator(_known_objective)]


class StudyFile(Part):
    """The keys of a study file with their values. Each value is checked alone."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="also the run directory's name")]
    task: TaskPart
    models: list[Annotated[ModelEntry, BeforeValidator(model_form)]] = Field(min_length=1)
    engine: EngineSpec = "auto"
    engine_options: EngineOptionsPart = EngineOptionsPart()
    search: dict[str, dict[str, Annotated[KnobSpec, BeforeValidator(_knob_form)]] | None] = Field(min_length=1)
    roles: dict[str, RoleChange] = Field({})
    routing: dict[str, dict[str, Any]] = Field({}, description="options of routing policies, by their names")
    objectives: dict[Quantity, Direction] = Field(dict(DEFAULT_OBJECTIVES), min_length=1)
    constraints: dict[Quantity, Annotated[str, BeforeValidator(_limit_form)]] = Field({})
    energy: EnergyPart = EnergyPart()
    measure: MeasurePart = MeasurePart()
    budget: BudgetPart = BudgetPart()
    sampler: str = AUTO_SAMPLER
    start: list[Annotated[StartEntry, BeforeValidator(_start_form)]] = Field([])
    warm_start: list[Annotated[str, Field(min_length=1)]] = Field([])
    seed: int = Field(0, ge=0, lt=2**32)

    @field_validator("models")
    @classmethod
    def _different(cls, entries: list[ModelEntry]) -> list[ModelEntry]:
        names = [_name(entry) for entry in entries]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"names {twice[0]!r} twice")
        return entries

    @property
    def model_names(self) -> list[str]:
        """The names of the models, in order."""
        return [_name(entry) for entry in self.models]

    @property
    def requests(self) -> dict[str, RequestChanges]:
        """The changes to the requests of models, by name; only models with changes are in it."""
        options = {name: part for entry in self.models if isinstance(entry, dict) for name, part in entry.items()}
        return {name: part.request.changes for name, part in options.items() if part.request.changes}


def _name(entry: ModelEntry) -> str:
    return entry if isinstance(entry, str) else next(iter(entry))


def read_study_file(path: Path) -> tuple[StudyFile, Source]:
    """Read a study file and check its keys. ``load_study`` checks its data, its models and its search space.

    Args:
        path: The study file.

    Returns:
        The keys with their values, and the text of the file for messages.

    Raises:
        InputError: The file has faults; the message has one line for each fault.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such study file") from error
    except IsADirectoryError as error:
        raise InputError(
            f"{path} is a folder; a study file was expected (to continue a run, name its study file)"
        ) from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        source = Source(path, data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}:{line}: this is not UTF-8 text; save the file as UTF-8") from error
    if not isinstance(source.data, dict):
        raise InputError(
            f"{path}:1: a study file is a mapping with the keys {', '.join(StudyFile.model_fields)}, "
            f"but got {short(source.data)}"
        )
    content = {"name": path.stem, **source.data}
    try:
        return StudyFile.model_validate(content, context={"folder": path.parent}), source
    except ValidationError as error:
        raise InputError(listed(explain(source, content, error, StudyFile))) from error
