"""The study file: what a user asks for, checked at the edge.

Every error names file, line, key, what was given and what is allowed. All faults of the form are shown at once; where
there are none, all faults of what is meant (topologies, models, data, what does not go together).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args
from urllib.parse import urlsplit

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
from orkester.evals.footprint import Footprint, footprint, grids
from orkester.evals.objectives import OBJECTIVES
from orkester.evals.task import FieldName
from orkester.graphs import EngineValue
from orkester.serving.engines import FakeScript

from .source import Source, listed, near, nearest, short
from .study_faults import explain
from .vllm_options import VllmOptionName, VllmOptionValue

Direction = Literal["maximize", "minimize"]
KnobSpec = int | float | str | list[int | float | str]
LocalEngine = Literal["auto", "llamacpp", "vllm"]
MeterName = Literal["auto", "nvml", "rapl", "zeus", "estimate"]
Restart = Literal["full restart", "warm restart"]

#: Engine options that a study may search, with what another value costs: other weights or another layout of them, or
#: the same weights behind another scheduler or cache. vLLM can change none of them while it runs, so today either is
#: another engine.
RESTARTS: Mapping[str, Restart] = {
    "max_num_active_seqs": "warm restart",
    "kv_cache_dtype": "warm restart",
    "prefix_caching": "warm restart",
    "quantization": "full restart",
    "tensor_parallel": "full restart",
}

_COMPARISON = re.compile(r"\s*(<=|>=)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*")

_T = TypeVar("_T")
#: An option that is searched: one of these.
Choice = Annotated[list[_T], Field(min_length=1)]
_Count = Annotated[int, Field(ge=1)]
_Name = Annotated[str, Field(min_length=1)]


class _Part(BaseModel):
    # Strict, since YAML has types of its own: '12' in quotes is text, and true is no number.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def _scorer_form(value: object) -> object:
    if isinstance(value, str) or (isinstance(value, dict) and len(value) == 1):
        return value
    raise ValueError(f"takes a scorer's name, {{NAME: {{OPTION: …}}}} or module:function, but got {short(value)}")


class TaskPart(_Part):
    """``task:`` the data, how it is scored, and what every agent is told."""

    data: str = Field(description="JSON lines or CSV, relative to the study file")
    scorer: Annotated[str | dict[str, Any], BeforeValidator(_scorer_form)] = Field(
        "exact", description="a scorer's name, {name: {option: …}}, or module:function"
    )
    fields: dict[FieldName, str] = Field({}, description="names of the data's own fields")
    confirm: float = Field(0.3, gt=0, lt=1, description="share of the examples held out for confirmation")
    shots: int = Field(0, ge=0, description="first examples, shown to base models as worked answers and never scored")
    completion: list[str] = Field(
        [], description="models asked to go on with the shots instead of being chatted with; base models always are"
    )
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
        if "@" in parts.netloc:
            raise ValueError("must not hold a password, since records keep it; name a variable with api_key_env")
        return url


class FakePart(_Part):
    """``engine: {fake: …}``: scripted answers and faults, for tests and benchmarks."""

    fake: FakeScript


class VllmSettings(_Part):
    """``engine: {vllm: {…}}``: which vLLM, and what it is told beside what Orkester tells it."""

    python: str | None = Field(None, description="of the environment that has vLLM; the installed one if absent")
    options: dict[VllmOptionName, VllmOptionValue] = Field({}, description="vLLM's own, without leading dashes")

    def interpreter(self, folder: Path) -> Path | None:
        """``python`` as a path; relative ones are relative to ``folder``, the study file's."""
        return None if self.python is None else folder / Path(self.python).expanduser()


class VllmPart(_Part):
    """``engine: {vllm: …}``: vLLM on this machine."""

    vllm: VllmSettings


def _engine_form(value: object) -> object:
    forms = "{vllm: {…}}, or {base_url: …} for a server that someone else runs"
    if isinstance(value, str) and value not in get_args(LocalEngine):
        raise ValueError(f"unknown engine {nearest(value, get_args(LocalEngine))}, {forms}")
    if isinstance(value, (str, dict, ExternalPart, FakePart, VllmPart)):
        return value
    raise ValueError(f"takes {', '.join(get_args(LocalEngine))}, {forms}, but got {short(value)}")


def _engine_branch(value: object) -> str:
    """Which part of the union a value is checked as, so that its faults are those of one part, not of all."""
    if isinstance(value, dict):
        return "FakePart" if "fake" in value else "VllmPart" if "vllm" in value else "ExternalPart"
    return type(value).__name__


EngineSpec = Annotated[
    Annotated[LocalEngine, Tag("str")]
    | Annotated[ExternalPart, Tag("ExternalPart")]
    | Annotated[FakePart, Tag("FakePart")]
    | Annotated[VllmPart, Tag("VllmPart")],
    Discriminator(_engine_branch),
    BeforeValidator(_engine_form),
]


def _without_quantization(value: object) -> object:
    """``none`` is what people write for what YAML calls ``null``."""
    if isinstance(value, list):
        return [_without_quantization(entry) for entry in value]
    return None if value == "none" else value


class EngineOptionsPart(_Part):
    """``engine_options:`` how local engines are started. Those in ``RESTARTS`` may be a list: one of these."""

    slots: int | None = Field(
        None, ge=1, description="requests answered at once; by default enough for the concurrency"
    )
    context_tokens: int = Field(1024, ge=16)
    threads: int = Field(0, ge=0, description="CPU threads; 0 is all but one that may be used")
    prefix_caching: bool | Choice[bool] = True
    prefix_cache: Literal["cold", "warm"] = Field("cold", description="whether a team finds what those before it left")
    max_num_active_seqs: _Count | Choice[_Count] | None = Field(
        None, description="requests that vLLM works on at once, at most slots; as many if absent"
    )
    kv_cache_dtype: _Name | Choice[_Name] = Field("auto", description="vLLM's name; auto is the model's own")
    quantization: Annotated[_Name | Choice[_Name | None] | None, BeforeValidator(_without_quantization)] = Field(
        None, description="vLLM's name; none is what the weights say"
    )
    tensor_parallel: _Count | Choice[_Count] = Field(1, description="devices that share each layer")

    @field_validator("max_num_active_seqs")
    @classmethod
    def _at_most_slots(cls, asked: Any, info: ValidationInfo) -> Any:
        slots = info.data.get("slots")
        for count in asked if isinstance(asked, list) else [asked]:
            if slots is not None and count is not None and count > slots:
                raise ValueError(f"must not be more than engine_options.slots ({slots}), but got {count}")
        return asked

    @property
    def choices(self) -> Mapping[str, tuple[EngineValue, ...]]:
        """Options that are searched, with the values to choose from; a list of one value is no choice."""
        found = {name: tuple(dict.fromkeys(values)) for name, values in self._lists().items()}
        return {name: values for name, values in found.items() if len(values) > 1}

    def settled(self, engine: Mapping[str, EngineValue] | None = None) -> EngineOptionsPart:
        """Without lists: a team's values for the options that are searched, or else the first of each."""
        return self.model_copy(update={**{name: values[0] for name, values in self._lists().items()}, **(engine or {})})

    @property
    def fixed(self) -> dict[str, Any]:
        """What engines are started with where a team does not say otherwise."""
        return self.settled().model_dump(include=set(RESTARTS))

    def slots_for(self, concurrency: int) -> int:
        """``slots``, or where there are none, enough for teams that fan out and for what vLLM may work on at once."""
        asked = self.max_num_active_seqs
        counts = asked if isinstance(asked, list) else [asked or 1]
        return self.slots or max(2 * concurrency, *counts)

    def _lists(self) -> dict[str, list[EngineValue]]:
        asked = {name: getattr(self, name) for name in RESTARTS}
        return {name: value for name, value in asked.items() if isinstance(value, list)}


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


class ReplayPart(_Part):
    """``meter: {replay: …}``: joules that were recorded before."""

    replay: str = Field(min_length=1, description="CSV of a meter, relative to the study file")


def _meter_form(value: object) -> object:
    names = get_args(MeterName)
    if isinstance(value, str) and value not in names:
        raise ValueError(f"unknown meter {nearest(value, names)}, {{replay: PATH}}")
    if isinstance(value, (str, dict, ReplayPart)):
        return value
    raise ValueError(f"takes {', '.join(names)} or {{replay: PATH}}, but got {short(value)}")


def _known_region(code: str) -> str:
    if code not in grids():
        known = list(grids())
        raise ValueError(f"unknown region {code!r}{near(code.upper(), known)}. Known: {', '.join(known)}")
    return code


class EnergyPart(_Part):
    """``energy:`` who measures joules, and what a joule means there."""

    meter: Annotated[
        Annotated[MeterName, Tag("str")] | Annotated[ReplayPart, Tag("ReplayPart")],
        Discriminator(lambda value: "str" if isinstance(value, str) else "ReplayPart"),
        BeforeValidator(_meter_form),
    ] = "auto"
    region: Annotated[str, AfterValidator(_known_region)] = Field("SE", description="ISO 3166-1 alpha-2 code")
    pue: float = Field(1.0, ge=1, description="what the site draws for each joule that its devices do")
    price_eur_per_kwh: float | None = Field(None, ge=0)
    carbon_g_per_kwh: float | None = Field(None, ge=0, description="instead of the region's in the table")
    gpu_hour_eur: float | None = Field(None, ge=0, description="all devices for an hour, rented or written off")

    @property
    def footprint(self) -> Footprint:
        """What a joule means."""
        return footprint(**self.model_dump(exclude={"meter"}))


def _known_quantity(name: str) -> str:
    if name not in OBJECTIVES:
        raise ValueError(f"unknown quantity {nearest(name, OBJECTIVES)}")
    return name


def _limit_form(value: object) -> object:
    if isinstance(value, str) and _COMPARISON.fullmatch(value):
        return value
    raise ValueError(f"takes '<= NUMBER' or '>= NUMBER', but got {short(value)}")


def _knob_form(value: object) -> object:
    entries = value if isinstance(value, list) else [value]
    if all(isinstance(entry, str) or _is_number(entry) for entry in entries):
        return value
    raise ValueError(f"takes a number, a name, [LOW, HIGH] or a list of names, but got {short(value)}")


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
    energy: EnergyPart = EnergyPart()
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
            f"but got {short(source.data)}"
        )
    asked = {"name": path.stem, **source.data}
    try:
        return StudyFile.model_validate(asked), source
    except ValidationError as error:
        raise InputError(listed(explain(source, asked, error, StudyFile))) from error
