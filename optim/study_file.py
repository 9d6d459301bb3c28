"""The study file: what a user asks for, checked at the edge.

Every error names file, line, key, what was given and what is allowed; all of them are shown at once.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from orkester.errors import InputError
from orkester.evals.objectives import OBJECTIVES
from orkester.evals.task import FieldName
from orkester.serving.engines import FakeScript

Direction = Literal["maximize", "minimize"]
KnobSpec = int | float | str | list[int | float | str]

_COMPARISON = re.compile(r"\s*(<=|>=)\s*([-+]?[\d.]+(?:[eE][-+]?\d+)?)\s*")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TaskPart(_Part):
    """``task:`` the data, how it is scored, and what every agent is told."""

    data: str = Field(description="JSON lines or CSV, relative to the study file")
    scorer: str | dict[str, Any] = Field(
        "exact", description="a scorer's name, {name: {option: …}}, or module:function"
    )
    fields: dict[FieldName, str] = Field({}, description="names of the data's own fields")
    confirm: float = Field(0.3, gt=0, lt=1, description="share of the examples held out for confirmation")
    shots: int = Field(0, ge=0, description="first examples, shown to base models as worked answers and never scored")
    instruction: str = Field("", description="system message for every agent")
    max_tokens: int = Field(64, ge=1, description="most tokens of one answer")
    extract: str | None = Field(None, description="regular expression with one group: the answer within the text")

    @field_validator("extract")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            try:
                groups = re.compile(pattern).groups
            except re.error as error:
                raise ValueError(f"is not a regular expression: {error}") from error
            if groups != 1:
                raise ValueError(f"needs exactly one group around the answer, but has {groups}")
        return pattern


class ExternalPart(_Part):
    """``engine: {base_url: …}``: an OpenAI-compatible endpoint that someone else runs."""

    base_url: str
    api_key_env: str | None = Field(None, description="environment variable that holds the key")
    requests_per_s: float | None = Field(None, gt=0)
    concurrency: int | None = Field(None, ge=1)


class FakePart(_Part):
    """``engine: {fake: …}``: scripted answers and faults, for tests and benchmarks."""

    fake: FakeScript


class EngineOptionsPart(_Part):
    """``engine_options:`` how local engines are started."""

    slots: int | None = Field(
        None, ge=1, description="requests answered at once; by default enough for the concurrency"
    )
    context_tokens: int = Field(1024, ge=16)
    threads: int = Field(0, ge=0, description="CPU threads; 0 is all that may be used")
    prefix_caching: bool = True


class MeasurePart(_Part):
    """``measure:`` how every team is measured."""

    examples: int | None = Field(
        None, ge=1, description="examples a team in the search; all that are not held out if absent"
    )
    block: int = Field(8, ge=1, description="examples a block")
    concurrency: int = Field(4, ge=1, description="examples under way at once")
    deadline_s: float = Field(60, gt=0, description="an example that takes longer has failed")


class BudgetPart(_Part):
    """``budget:`` when the search ends, whichever comes first; confirmation comes on top."""

    trials: int = Field(40, ge=1, description="different teams measured")
    minutes: float | None = Field(None, gt=0, description="time spent measuring, over all resumes")


class StudyFile(_Part):
    """A study file."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="also the run directory's name")]
    task: TaskPart
    models: list[str] = Field(min_length=1)
    engine: Literal["auto", "llamacpp", "vllm"] | ExternalPart | FakePart = "auto"
    engine_options: EngineOptionsPart = EngineOptionsPart()
    search: dict[str, dict[str, KnobSpec] | None] = Field(min_length=1)
    objectives: dict[str, Direction] = {
        "quality": "maximize",
        "latency_p50_s": "minimize",
        "energy_j": "minimize",
    }
    constraints: dict[str, str] = {}
    measure: MeasurePart = MeasurePart()
    budget: BudgetPart = BudgetPart()
    seed: int = Field(0, ge=0, lt=2**32)

    @field_validator("models")
    @classmethod
    def _different(cls, names: list[str]) -> list[str]:
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"names {twice[0]!r} twice")
        return names

    @field_validator("objectives")
    @classmethod
    def _known_objectives(cls, objectives: dict[str, Direction]) -> dict[str, Direction]:
        if not objectives:
            raise ValueError(f"needs at least one of {', '.join(OBJECTIVES)}")
        for name in objectives:
            if name not in OBJECTIVES:
                raise ValueError(f"has an unknown objective {nearest(name, OBJECTIVES)}")
        return objectives

    @field_validator("constraints")
    @classmethod
    def _known_constraints(cls, constraints: dict[str, str]) -> dict[str, str]:
        for name, text in constraints.items():
            if name not in OBJECTIVES:
                raise ValueError(f"has an unknown quantity {nearest(name, OBJECTIVES)}")
            if not _COMPARISON.fullmatch(text):
                raise ValueError(f"takes '<= NUMBER' or '>= NUMBER' for {name}, but got {text!r}")
        return constraints

    @model_validator(mode="after")
    def _block_fits(self) -> StudyFile:
        if self.measure.examples is not None and self.measure.block > self.measure.examples:
            raise ValueError(
                f"measure.block ({self.measure.block}) must not be more than measure.examples ({self.measure.examples})"
            )
        return self


def limit(text: str) -> tuple[str, float]:
    """``"<= 10"`` as ``("<=", 10.0)``."""
    match = _COMPARISON.fullmatch(text)
    if match is None:
        raise ValueError(f"takes '<= NUMBER' or '>= NUMBER', but got {text!r}")
    return match[1], float(match[2])


def nearest(name: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    """``'qualty' (did you mean 'quality'?). Known: …`` for error messages."""
    near = difflib.get_close_matches(name, list(known), n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return f"{name!r}{hint}. Known: {', '.join(known)}"


class Source:
    """A study file's text with the line of every key, for messages."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self._lines: dict[tuple[str | int, ...], int] = {}
        try:
            root = yaml.compose(text, Loader=yaml.SafeLoader)
            self.data = yaml.safe_load(text)
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise InputError(f"{path}:{line}: this is not YAML: {error.problem}") from error
        except yaml.YAMLError as error:
            raise InputError(f"{path}: this is not YAML: {error}") from error
        if root is not None:
            self._walk(root, ())

    def error(self, where: Sequence[str | int], message: str) -> str:
        """``file:line: key: message``; the line is that of the deepest key that exists."""
        place = tuple(where)
        while place and place not in self._lines:
            place = place[:-1]
        line = self._lines.get(place, 1)
        key = ".".join(str(part) for part in where)
        return f"{self.path}:{line}: {key + ': ' if key else ''}{message}"

    def _walk(self, node: yaml.Node, place: tuple[str | int, ...]) -> None:
        self._lines.setdefault(place, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in node.value:
                if key.value in seen:
                    raise InputError(f"{self.path}:{key.start_mark.line + 1}: the key {key.value!r} is there twice")
                seen.add(key.value)
                self._lines[(*place, key.value)] = key.start_mark.line + 1
                self._walk(value, (*place, key.value))
        elif isinstance(node, yaml.SequenceNode):
            for i, value in enumerate(node.value):
                self._walk(value, (*place, i))


def read_study_file(path: Path) -> tuple[StudyFile, Source]:
    """Read and check a study file by itself; its data, models and search space are checked by ``Study``.

    Raises:
        InputError: with one line for every fault found.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such study file") from error
    except IsADirectoryError as error:
        raise InputError(
            f"{path} is a folder; a study file was expected (to go on with a run, name its study file)"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: this is not UTF-8 text (byte {error.start})") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    source = Source(path, text)
    if not isinstance(source.data, dict):
        raise InputError(f"{path}:1: a study file is a mapping with the keys {', '.join(StudyFile.model_fields)}")
    data = {"name": path.stem, **source.data}
    try:
        return StudyFile.model_validate(data), source
    except ValidationError as error:
        raise InputError("\n".join(dict.fromkeys(_explain(source, fault) for fault in error.errors()))) from error


def _explain(source: Source, fault: Any) -> str:
    place = [part for part in fault["loc"] if part not in _UNION_TAGS]
    given = fault["input"]
    kind = fault["type"]
    if kind == "extra_forbidden":
        fields = _fields_at(fault["loc"][:-1])
        return source.error(place, f"unknown key {nearest(str(place[-1]), fields)}" if fields else "unknown key")
    if kind == "missing":
        return source.error(place[:-1], f"the key {place[-1]!r} is missing")
    if kind == "value_error":
        return source.error(place, str(fault["ctx"]["error"]))
    message = fault["msg"]
    message = re.sub(r"^Input should be", "should be", message)
    return source.error(place, f"{message}, but got {_short(given)}")


#: What pydantic puts into a location for the branch of a union; not keys of the file.
_UNION_TAGS = frozenset(
    {
        "ExternalPart", "FakePart", "literal['auto','llamacpp','vllm']", "str", "int", "float", "dict[str,any]",
        "list[union[int,float,str]]", "[key]",
    }
)  # fmt: skip


def _fields_at(place: Sequence[str | int]) -> list[str]:
    model: Any = StudyFile
    for part in place:
        if part in {"ExternalPart", "FakePart"}:
            model = {"ExternalPart": ExternalPart, "FakePart": FakePart}[str(part)]
            continue
        field = getattr(model, "model_fields", {}).get(part)
        model = field.annotation if field is not None else None
    return list(getattr(model, "model_fields", {}))


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
