"""Parts of the study file about engines: who serves the models, and how local engines are started."""

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
from orkester.serving.engines import FakeScript

from .parts import Part
from .vllm_options import VllmOptionName, VllmOptionValue
from .yaml_source import short

#: Engines that run on this machine and need no options. ``auto`` leaves the choice to Orkester.
LocalEngine = Literal["auto", "llamacpp", "vllm"]
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

_T = TypeVar("_T")
#: An option that is searched: one of these.
Choice = Annotated[list[_T], Field(min_length=1)]
_Count = Annotated[int, Field(ge=1)]
_Name = Annotated[str, Field(min_length=1)]


class ExternalPart(Part):
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


class FakePart(Part):
    """``engine: {fake: …}``: scripted answers and faults, for tests and benchmarks."""

    fake: FakeScript


class VllmSettings(Part):
    """``engine: {vllm: {…}}``: which vLLM, and what it is told beside what Orkester tells it."""

    python: str | None = Field(None, description="of the environment that has vLLM; the installed one if absent")
    options: dict[VllmOptionName, VllmOptionValue] = Field({}, description="vLLM's own, without leading dashes")

    def interpreter(self, folder: Path) -> Path | None:
        """``python`` as a path; relative ones are relative to ``folder``, the study file's."""
        return None if self.python is None else folder / Path(self.python).expanduser()


class VllmPart(Part):
    """``engine: {vllm: …}``: vLLM on this machine."""

    vllm: VllmSettings


class PluginPart(Part):
    """``engine: NAME`` or ``engine: {NAME: {…}}``: an engine of another package, or ``module:name``.

    In files it is the name, or a mapping with the name as its only key.
    """

    name: str
    options: dict[str, Any] = Field({}, description="the engine's own")

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
    """Which part of the union a value is checked as, so that its faults are those of one part, not of all."""
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
    """``none`` is what people write for what YAML calls ``null``."""
    if isinstance(value, list):
        return [_without_quantization(entry) for entry in value]
    return None if value == "none" else value


class EngineOptionsPart(Part):
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
