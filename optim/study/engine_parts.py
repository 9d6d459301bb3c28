"""Parts of the study file about engines: which engine serves the models, and its options."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args
from urllib.parse import urlsplit

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from orkester.graphs import EngineValue
from orkester.serving.engines import FakeScript, variable_name_fault

from .parts import MOST_AT_ONCE, MOST_TOKENS, Part
from .vllm_options import VllmOptionName, VllmOptionValue
from .yaml_source import short

#: Engines that run on this machine and need no options. ``auto`` leaves the choice to Orkester.
LocalEngine = Literal["auto", "llamacpp", "vllm"]
Restart = Literal["full restart", "warm restart"]

#: The engine options that a study can search, with the cost of another value. A full restart loads other weights or
#: another layout of the weights; a warm restart keeps the weights and changes the scheduler or the cache. vLLM cannot
#: change these options while it runs, so both restarts start a new engine at present.
RESTARTS: Mapping[str, Restart] = {
    "max_num_active_seqs": "warm restart",
    "kv_cache_dtype": "warm restart",
    "prefix_caching": "warm restart",
    "quantization": "full restart",
    "tensor_parallel": "full restart",
}

_T = TypeVar("_T")
#: The values of an option that is searched.
Choice = Annotated[list[_T], Field(min_length=1)]
_Count = Annotated[int, Field(ge=1)]
_Name = Annotated[str, Field(min_length=1)]


class ExternalPart(Part):
    """``engine: {base_url: …}``: an OpenAI-compatible endpoint that Orkester does not start."""

    base_url: str = Field(description="with http:// or https://, and /v1 if the server uses it")
    api_key_env: str | None = Field(None, description="the environment variable with the key")
    requests_per_s: float | None = Field(None, gt=0)
    concurrency: int | None = Field(None, ge=1)

    @field_validator("api_key_env", mode="before")
    @classmethod
    def _is_a_name(cls, name: object) -> object:
        if fault := variable_name_fault(name):
            raise ValueError(fault)
        return name

    @field_validator("base_url")
    @classmethod
    def _has_a_host(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            sound = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:  # urllib raises it for a wrong port or wrong brackets
            sound = False
        if not sound:
            raise ValueError(f"takes an address such as http://127.0.0.1:8000/v1, but got {url!r}")
        if "@" in parts.netloc:
            raise ValueError(
                "must not contain a password, because records keep the address; name a variable with api_key_env"
            )
        if parts.query or parts.fragment:
            raise ValueError(
                "must end with its path, such as /v1, because /chat/completions is added to it; leave out what follows "
                "'?' or '#', and name a variable with the key in api_key_env"
            )
        return url


class FakePart(Part):
    """``engine: {fake: …}``: scripted answers and faults, for tests and benchmarks."""

    fake: FakeScript


class VllmSettings(Part):
    """``engine: {vllm: {…}}``: the environment of vLLM, and vLLM options in addition to those that Orkester sets."""

    python: str | None = Field(
        None, description="the Python of the environment with vLLM; default: the one that Orkester installed"
    )
    options: dict[VllmOptionName, VllmOptionValue] = Field({}, description="options of vLLM, without leading dashes")

    def interpreter(self, folder: Path) -> Path | None:
        """``python`` as a path; a relative path is relative to ``folder``, the folder of the study file."""
        return None if self.python is None else folder / Path(self.python).expanduser()


class VllmPart(Part):
    """``engine: {vllm: …}``: vLLM on this machine."""

    vllm: VllmSettings


class PluginPart(Part):
    """``engine: NAME`` or ``engine: {NAME: {…}}``: an engine of another package, or ``module:name``.

    In a file it is the name, or a mapping with the name as its only key.
    """

    name: str
    options: dict[str, Any] = Field({}, description="the options of the engine")

    @model_validator(mode="before")
    @classmethod
    def _from_file(cls, value: object) -> object:
        if isinstance(value, str):
            return {"name": value}
        if isinstance(value, dict) and len(value) == 1:
            ((name, options),) = value.items()
            return {"name": name, "options": {} if options is None else options}
        return value

    @model_serializer
    def _to_file(self) -> str | dict[str, dict[str, Any]]:
        return {self.name: self.options} if self.options else self.name


def _engine_form(value: object) -> object:
    if isinstance(value, (str, dict, ExternalPart, FakePart, PluginPart, VllmPart)) and value != {}:
        return value
    raise ValueError(
        f"takes {', '.join(get_args(LocalEngine))}, {{vllm: {{…}}}}, {{base_url: …}} for a server that someone else "
        f"runs, or the name of an engine of another package, but got {short(value)}"
    )


def _engine_branch(value: object) -> str:
    """Choose the part of the union that a value is checked against, so that messages are about one part only."""
    if isinstance(value, str):
        return "str" if value in get_args(LocalEngine) else "PluginPart"
    if not isinstance(value, dict):
        return type(value).__name__
    if "fake" in value:
        return "FakePart"
    if "vllm" in value:
        return "VllmPart"
    plugin = len(value) == 1 and isinstance(next(iter(value.values())), dict | None)
    return "PluginPart" if plugin and "base_url" not in value else "ExternalPart"


EngineSpec = Annotated[
    Annotated[LocalEngine, Tag("str")]
    | Annotated[PluginPart, Tag("PluginPart")]
    | Annotated[ExternalPart, Tag("ExternalPart")]
    | Annotated[FakePart, Tag("FakePart")]
    | Annotated[VllmPart, Tag("VllmPart")],
    Discriminator(_engine_branch),
    BeforeValidator(_engine_form),
]


def _without_quantization(value: object) -> object:
    """Turn ``none`` into None: people write ``none`` for the ``null`` of YAML."""
    if isinstance(value, list):
        return [_without_quantization(entry) for entry in value]
    return None if value == "none" else value


class EngineOptionsPart(Part):
    """``engine_options:`` options of local engines. Those in ``RESTARTS`` can be a list of values to search."""

    slots: int | None = Field(
        None, ge=1, le=MOST_AT_ONCE, description="requests at the same time; default: enough for the concurrency"
    )
    context_tokens: int = Field(1024, ge=16, le=MOST_TOKENS)
    threads: int = Field(0, ge=0, le=MOST_AT_ONCE, description="CPU threads; 0: all available ones but one")
    prefix_caching: bool | Choice[bool] = True
    prefix_cache: Literal["cold", "warm"] = Field(
        "cold", description="whether a team finds the cache entries of earlier teams"
    )
    max_num_active_seqs: _Count | Choice[_Count] | None = Field(
        None, description="requests that vLLM processes at the same time, at most slots; default: slots"
    )
    kv_cache_dtype: _Name | Choice[_Name] = Field("auto", description="a name of vLLM; auto: the type of the model")
    quantization: Annotated[_Name | Choice[_Name | None] | None, BeforeValidator(_without_quantization)] = Field(
        None, description="a name of vLLM; none: as in the weights"
    )
    tensor_parallel: _Count | Choice[_Count] = Field(1, description="devices that share each layer")

    @field_validator("max_num_active_seqs")
    @classmethod
    def _at_most_slots(cls, value: Any, info: ValidationInfo) -> Any:
        slots = info.data.get("slots")
        for count in value if isinstance(value, list) else [value]:
            if slots is not None and count is not None and count > slots:
                raise ValueError(f"must not be more than engine_options.slots ({slots}), but got {count}")
        return value

    @property
    def choices(self) -> Mapping[str, tuple[EngineValue, ...]]:
        """The options that are searched, with their values. An option with one value is not searched."""
        choices = {name: tuple(dict.fromkeys(values)) for name, values in self._lists().items()}
        return {name: values for name, values in choices.items() if len(values) > 1}

    def settled(self, engine: Mapping[str, EngineValue] | None = None) -> EngineOptionsPart:
        """The options without lists: the values of a team, or the first value of each list."""
        return self.model_copy(update={**{name: values[0] for name, values in self._lists().items()}, **(engine or {})})

    @property
    def fixed(self) -> dict[str, Any]:
        """The options that engines start with, if a team has no values of its own."""
        return self.settled().model_dump(include=set(RESTARTS))

    def slots_for(self, concurrency: int) -> int:
        """``slots``; by default enough for teams that fan out and for ``max_num_active_seqs``."""
        active = self.max_num_active_seqs
        counts = active if isinstance(active, list) else [active or 1]
        return self.slots or max(2 * concurrency, *counts)

    def _lists(self) -> dict[str, list[EngineValue]]:
        values = {name: getattr(self, name) for name in RESTARTS}
        return {name: value for name, value in values.items() if isinstance(value, list)}
