"""Parts of the study file: the task, the measurement, the budget and the energy."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)

from orkester.errors import did_you_mean
from orkester.evals.footprint import Footprint, footprint, grids
from orkester.evals.task import FieldName, Order
from orkester.serving.energy import AUTO_METER

from .yaml_source import short

#: More requests, slots or threads at the same time than any machine has.
MOST_AT_ONCE: Final = 4096
#: More tokens than the context of any model.
MOST_TOKENS: Final = 100_000_000


class Part(BaseModel):
    """A mapping in a study file. It is strict, because YAML has types: '12' in quotes is text, true is not a number."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def _scorer_form(value: object) -> object:
    if isinstance(value, str) or (isinstance(value, dict) and len(value) == 1):
        return value
    raise ValueError(f"takes a scorer's name, {{NAME: {{OPTION: …}}}} or module:name, but got {short(value)}")


class TaskPart(Part):
    """``task:`` the data, its scorer, and the form of the answers."""

    data: str = Field(
        description="JSON lines, a JSON array, CSV, TSV or Parquet, relative to the study file; or hf:OWNER/NAME"
    )
    scorer: Annotated[str | dict[str, Any], BeforeValidator(_scorer_form)] = Field(
        "exact", description="a scorer's name, {name: {option: …}}, or module:name"
    )
    fields: dict[FieldName, str] = Field({}, description="the names of the fields in the data")
    order: Order = Field("shuffled", description="shuffled by the seed, or as_given: in the order of the data")
    confirm: float = Field(0.3, gt=0, lt=1, description="share of the examples held out for confirmation")
    shots: int = Field(
        0, ge=0, description="first examples, which base models see as worked answers; they are never scored"
    )
    completion: list[str] = Field(
        [], description="models that continue the shots as plain text instead of chatting; base models always do"
    )
    instruction: str = Field("", description="for every agent whose role answers")
    max_tokens: int = Field(
        64, ge=1, le=MOST_TOKENS, description="most tokens of one answer, unless the role sets them"
    )
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


class MeasurePart(Part):
    """``measure:`` how each team is measured."""

    examples: int | None = Field(
        None, ge=1, description="examples per team in the search; default: all that are not held out"
    )
    block: int = Field(8, ge=1, description="examples per block")
    concurrency: int = Field(4, ge=1, le=MOST_AT_ONCE, description="examples in progress at the same time")
    deadline_s: float = Field(60, gt=0, le=86_400, description="an example that takes longer fails")
    stop_error: float = Field(
        0.05,
        ge=0,
        lt=0.5,
        description="probability that a team of the true front is stopped early; 0: no team is stopped",
    )
    reuse: bool = Field(True, description="whether the search answers a call from the record of an equal call")

    @field_validator("block")
    @classmethod
    def _fits(cls, block: int, info: ValidationInfo) -> int:
        examples = info.data.get("examples")
        if examples is not None and block > examples:
            raise ValueError(f"must not be more than measure.examples ({examples}), but got {block}")
        return block


class BudgetPart(Part):
    """``budget:`` limits that end the search; the first one that is reached counts. Confirmation has its own limit."""

    trials: int = Field(40, ge=1, description="different teams measured; no limit if only other limits are set")
    minutes: float | None = Field(None, gt=0, description="time spent measuring, over all resumes")
    llm_calls: int | None = Field(None, ge=1, description="requests sent, retries and failed ones too")
    tokens: int | None = Field(None, ge=1, description="input and output tokens")
    joules: float | None = Field(None, gt=0, description="by the study's meter, while measuring")
    confirm_calls: int | None = Field(None, ge=1, description="requests sent in confirmation, over all resumes")


#: The name of a meter, or its name with options; for ``replay`` the path alone is enough.
MeterSpec = str | dict[str, str | dict[str, Any]]


def _meter_form(value: object) -> object:
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and len(value) == 1:
        ((name, options),) = value.items()
        if isinstance(name, str) and isinstance(options, dict | None):
            return {name: options or {}}
        if name == "replay" and isinstance(options, str) and options:
            return value
    raise ValueError(
        f"takes a meter's name, {{replay: PATH}}, {{NAME: {{OPTION: …}}}} or module:name, but got {short(value)}"
    )


def _known_region(code: str) -> str:
    if code not in grids():
        known = list(grids())
        raise ValueError(f"unknown region {code!r}{did_you_mean(code.upper(), known)}. Known: {', '.join(known)}")
    return code


class EnergyPart(Part):
    """``energy:`` the meter, and the prices and emissions of its joules."""

    meter: Annotated[MeterSpec, BeforeValidator(_meter_form)] = AUTO_METER
    region: Annotated[str, AfterValidator(_known_region)] = Field("SE", description="ISO 3166-1 alpha-2 code")
    pue: float = Field(
        1.0, ge=1, description="power usage effectiveness: joules of the site for each joule of its devices"
    )
    price_eur_per_kwh: float | None = Field(None, ge=0)
    carbon_g_per_kwh: float | None = Field(None, ge=0, description="replaces the value of the region")
    gpu_hour_eur: float | None = Field(None, ge=0, description="cost of all devices for an hour: rent or depreciation")

    @property
    def meter_name(self) -> str:
        """The meter's name, without its options."""
        return self.meter if isinstance(self.meter, str) else next(iter(self.meter))

    @property
    def meter_options(self) -> Mapping[str, Any]:
        """The options of the meter that is named."""
        options = {} if isinstance(self.meter, str) else self.meter[self.meter_name]
        return {"path": options} if isinstance(options, str) else options

    @property
    def footprint(self) -> Footprint:
        """What a joule means."""
        return footprint(**self.model_dump(exclude={"meter"}))
