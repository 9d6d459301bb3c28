"""The study file: what a user asks for, checked at the edge.

Every error names file, line, key, what was given and what is allowed. All faults of the form are shown at once; where
there are none, all faults of what is meant (topologies, models, data, what does not go together).
"""

from __future__ import annotations

import difflib
import math
import re
import reprlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from orkester.errors import InputError
from orkester.evals.objectives import OBJECTIVES
from orkester.evals.task import FieldName
from orkester.serving.engines import FakeScript

Direction = Literal["maximize", "minimize"]
KnobSpec = int | float | str | list[int | float | str]
LocalEngine = Literal["auto", "llamacpp", "vllm"]

_COMPARISON = re.compile(r"\s*(<=|>=)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*")
#: Most faults shown at once; more would push the first ones off the screen.
_MOST_FAULTS = 8


class _Part(BaseModel):
    # Strict, since YAML has types of its own: '12' in quotes is text, and true is no number.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def _scorer_form(value: object) -> object:
    if isinstance(value, str) or (isinstance(value, dict) and len(value) == 1):
        return value
    raise ValueError(f"takes a scorer's name, {{NAME: {{OPTION: …}}}} or module:function, but got {_short(value)}")


class TaskPart(_Part):
    """``task:`` the data, how it is scored, and what every agent is told."""

    data: str = Field(description="JSON lines or CSV, relative to the study file")
    scorer: Annotated[str | dict[str, Any], BeforeValidator(_scorer_form)] = Field(
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

    base_url: str = Field(description="with http:// or https://, and /v1 where the server has it")
    api_key_env: str | None = Field(None, description="environment variable that holds the key")
    requests_per_s: float | None = Field(None, gt=0)
    concurrency: int | None = Field(None, ge=1)

    @field_validator("base_url")
    @classmethod
    def _has_a_host(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            sound = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:  # urllib's way to say that port or brackets are wrong
            sound = False
        if not sound:
            raise ValueError(f"takes an address such as http://127.0.0.1:8000/v1, but got {url!r}")
        return url


class FakePart(_Part):
    """``engine: {fake: …}``: scripted answers and faults, for tests and benchmarks."""

    fake: FakeScript


def _engine_form(value: object) -> object:
    forms = "or {base_url: …} for a server that someone else runs"
    if isinstance(value, str) and value not in get_args(LocalEngine):
        raise ValueError(f"unknown engine {nearest(value, get_args(LocalEngine))}, {forms}")
    if isinstance(value, (str, dict, ExternalPart, FakePart)):
        return value
    raise ValueError(f"takes {', '.join(get_args(LocalEngine))}, {forms}, but got {_short(value)}")


def _engine_branch(value: object) -> str:
    """Which part of the union a value is checked as, so that its faults are those of one part, not of all."""
    if isinstance(value, dict):
        return "FakePart" if "fake" in value else "ExternalPart"
    return type(value).__name__


EngineSpec = Annotated[
    Annotated[LocalEngine, Tag("str")]
    | Annotated[ExternalPart, Tag("ExternalPart")]
    | Annotated[FakePart, Tag("FakePart")],
    Discriminator(_engine_branch),
    BeforeValidator(_engine_form),
]


class EngineOptionsPart(_Part):
    """``engine_options:`` how local engines are started."""

    slots: int | None = Field(
        None, ge=1, description="requests answered at once; by default enough for the concurrency"
    )
    context_tokens: int = Field(1024, ge=16)
    threads: int = Field(0, ge=0, description="CPU threads; 0 is all but one that may be used")
    prefix_caching: bool = True


class MeasurePart(_Part):
    """``measure:`` how every team is measured."""

    examples: int | None = Field(
        None, ge=1, description="examples a team in the search; all that are not held out if absent"
    )
    block: int = Field(8, ge=1, description="examples a block")
    concurrency: int = Field(4, ge=1, description="examples under way at once")
    deadline_s: float = Field(60, gt=0, description="an example that takes longer has failed")

    @field_validator("block")
    @classmethod
    def _fits(cls, block: int, info: ValidationInfo) -> int:
        examples = info.data.get("examples")
        if examples is not None and block > examples:
            raise ValueError(f"must not be more than measure.examples ({examples}), but got {block}")
        return block


class BudgetPart(_Part):
    """``budget:`` when the search ends, whichever comes first; confirmation comes on top."""

    trials: int = Field(40, ge=1, description="different teams measured")
    minutes: float | None = Field(None, gt=0, description="time spent measuring, over all resumes")


def _known_quantity(name: str) -> str:
    if name not in OBJECTIVES:
        raise ValueError(f"unknown quantity {nearest(name, OBJECTIVES)}")
    return name


def _limit_form(value: object) -> object:
    if isinstance(value, str) and _COMPARISON.fullmatch(value):
        return value
    raise ValueError(f"takes '<= NUMBER' or '>= NUMBER', but got {_short(value)}")


def _knob_form(value: object) -> object:
    entries = value if isinstance(value, list) else [value]
    if all(isinstance(entry, str) or _is_number(entry) for entry in entries):
        return value
    raise ValueError(f"takes a number, a name, [LOW, HIGH] or a list of names, but got {_short(value)}")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


Quantity = Annotated[str, AfterValidator(_known_quantity)]


class StudyFile(_Part):
    """A study file."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="also the run directory's name")]
    task: TaskPart
    models: list[str] = Field(min_length=1)
    engine: EngineSpec = "auto"
    engine_options: EngineOptionsPart = EngineOptionsPart()
    search: dict[str, dict[str, Annotated[KnobSpec, BeforeValidator(_knob_form)]] | None] = Field(min_length=1)
    objectives: dict[Quantity, Direction] = Field(
        {"quality": "maximize", "latency_p50_s": "minimize", "energy_j": "minimize"}, min_length=1
    )
    constraints: dict[Quantity, Annotated[str, BeforeValidator(_limit_form)]] = {}
    measure: MeasurePart = MeasurePart()
    budget: BudgetPart = BudgetPart()
    seed: int = Field(0, ge=0, lt=2**32)

    @field_validator("models")
    @classmethod
    def _different(cls, names: list[str]) -> list[str]:
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"names {twice[0]!r} twice")
        return names


def limit(text: str) -> tuple[str, float]:
    """``"<= 10"`` as ``("<=", 10.0)``."""
    match = _COMPARISON.fullmatch(text)
    if match is None:
        raise ValueError(f"takes '<= NUMBER' or '>= NUMBER', but got {text!r}")
    return match[1], float(match[2])


def listed(faults: Sequence[str]) -> str:
    """Faults as one message, a line each, each said once; at most ``_MOST_FAULTS`` of them."""
    different = list(dict.fromkeys(faults))
    if len(different) > _MOST_FAULTS:
        different[_MOST_FAULTS:] = [f"… and {len(different) - _MOST_FAULTS} faults more"]
    return "\n".join(different)


def nearest(name: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    """``'qualty' (did you mean 'quality'?). Known: …`` for error messages."""
    return f"{name!r}{_near(name, list(known))}. Known: {', '.join(known)}"


def _near(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


class Source:
    """A study file's text with the line of every key, for messages."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self._lines: dict[tuple[str | int, ...], int] = {}
        self._walked: set[int] = set()
        try:
            root = yaml.compose(text, Loader=yaml.SafeLoader)
            self.data = yaml.safe_load(text)
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise InputError(f"{path}:{line}: this is not YAML: {error.problem}") from error
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            raise InputError(
                f"{path}:{line}: this is not YAML: it has the control character #x{error.character:04x}"
            ) from error
        except (
            ValueError
        ) as error:  # from the constructors of dates and numbers: 2020-13-45 looks like one, but is none
            raise InputError(f"{path}: this is not YAML: {error}; text that looks like a date needs quotes") from error
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
        if id(node) in self._walked:
            return  # an alias: its lines are those of the anchor, and it may contain itself
        self._walked.add(id(node))
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
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such study file") from error
    except IsADirectoryError as error:
        raise InputError(
            f"{path} is a folder; a study file was expected (to go on with a run, name its study file)"
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
            f"but got {_short(source.data)}"
        )
    asked = {"name": path.stem, **source.data}
    try:
        return StudyFile.model_validate(asked), source
    except ValidationError as error:
        raise InputError(listed(_explain(source, asked, error))) from error


def _explain(source: Source, data: Mapping[Any, Any], error: ValidationError) -> list[str]:
    """What pydantic found, in the words of a study file."""
    faults = [(_place(fault, data), fault) for fault in error.errors(include_url=False)]
    # Of a union's branches that all complain, the one that got deepest into the value is what was meant.
    deepest = [
        (place, fault)
        for place, fault in faults
        if not any(len(other) > len(place) and other[: len(place)] == place for other, _ in faults)
        or fault["type"] in _ABOUT_A_KEY
    ]
    said: list[str] = []
    for place in dict.fromkeys(place for place, _ in deepest):
        here = [fault for other, fault in deepest if other == place]
        about_type = [fault for fault in here if fault["type"] in _TAKES]
        if about_type:
            given = about_type[0]["input"]
            takes = " or ".join(dict.fromkeys(_TAKES[fault["type"]] for fault in about_type))
            quotes = " (put it in quotes)" if takes == "text" and not isinstance(given, (list, dict, NoneType)) else ""
            said.append(source.error(place, f"takes {takes}, but got {_short(given)}{quotes}"))
        said += [source.error(place, _say(fault, place)) for fault in here if fault["type"] not in _TAKES]
    return said


def _say(fault: Any, place: tuple[str | int, ...]) -> str:
    given = _short(fault["input"])
    context = fault.get("ctx", {})
    match fault["type"]:
        case "extra_forbidden":
            said = f"unknown key {nearest(str(place[-1]), _keys_at(fault['loc'][:-1]))}"
        case "missing":
            said = f"the key {fault['loc'][-1]!r} is missing"
        case "value_error":
            said = str(context["error"])
        case "literal_error":
            known = re.findall(r"'([^']*)'", context["expected"])
            said = f"takes one of {', '.join(known)}, but got {given}{_near(str(fault['input']), known)}"
        case "string_pattern_mismatch":  # there is one pattern in a study file: that of its name
            said = f"takes letters, digits, '.', '_' and '-', a letter or digit first, but got {given}"
        case "too_short":
            said = "needs at least one entry"
        case "invalid_key":
            said = f"keys are text, but got {given}"
        case kind if kind in _BOUNDS:
            words, key = _BOUNDS[kind]
            said = f"must be {words} {_plain(context[key])}, but got {given}"
        case _:
            said = f"{fault['msg']}, but got {given}"
    return said


def _plain(number: float) -> str:
    return f"{number:g}" if isinstance(number, float) else str(number)


#: What a key takes, by pydantic's name for its not being that.
_TAKES: Mapping[str, str] = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping (KEY: VALUE)",
    "model_type": "a mapping (KEY: VALUE)",
    "model_attributes_type": "a mapping (KEY: VALUE)",
}
_BOUNDS: Mapping[str, tuple[str, str]] = {
    "greater_than": ("more than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}
_ABOUT_A_KEY = frozenset({"missing", "extra_forbidden"})


def _place(fault: Any, data: Any) -> tuple[str | int, ...]:
    """The keys that lead to a fault: pydantic's location without its names for branches of unions."""
    place: list[str | int] = []
    for part in fault["loc"]:
        if (isinstance(data, dict) and part in data) or (isinstance(data, list) and isinstance(part, int)):
            place.append(part)
            data = data[part]
    return tuple(place)


def _keys_at(location: Sequence[str | int]) -> list[str]:
    """Keys that may stand at a location of pydantic's."""
    kinds: list[type[BaseModel]] = [StudyFile]
    for part in location:
        if branch := [kind for kind in kinds if kind.__name__ == part]:
            kinds = branch
        elif isinstance(part, str):
            fields = [kind.model_fields[part] for kind in kinds if part in kind.model_fields]
            kinds = [model for field in fields for model in _models_in(field.annotation)]
    return [key for kind in kinds for key in kind.model_fields]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models_in(inner)]


def _short(value: object) -> str:
    if value is None:
        return "nothing"
    # Not plain repr: aliases within aliases make values whose text is longer than any memory.
    bounded = reprlib.Repr()
    bounded.maxlevel, bounded.maxlist, bounded.maxdict, bounded.maxstring = 3, 8, 8, 57
    text = bounded.repr(value) if isinstance(value, (str, int, float, list, dict)) else str(value)
    return text if len(text) <= 60 else text[:57] + "…"
