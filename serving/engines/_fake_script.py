"""What a fake engine is told to do."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

#: A number for every model, or one for each; a model that is not named gets the default.
ByModel: TypeAlias = float | dict[str, float]

FaultKind: TypeAlias = Literal[
    "400",
    "401",
    "404",
    "429",
    "500",
    "503",
    "hang",
    "cut",
    "not_json",
    "no_choices",
    "empty",
    "null",
    "bad_usage",
    "die",
    "freeze",
    "wrong_wake",
]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Fault(_Part):
    """Something that goes wrong.

    HTTP errors by their number; ``hang`` never answers; ``cut`` ends the connection in the middle of the body;
    ``not_json`` and ``no_choices`` are replies of the wrong form; ``empty`` and ``null`` have no text; ``bad_usage``
    has token counts that cannot be; ``die`` ends the engine's process, ``freeze`` lets it
    run without ever answering anything again; ``wrong_wake`` is not drawn for a request: after its next sleep the
    engine answers nonsense.
    """

    kind: FaultKind
    models: list[str] = Field([], description="whom it happens to; everyone when empty")
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    times: Annotated[int, Field(ge=1)] | None = Field(None, description="only so often in a process's life")


class FakeScript(_Part):
    """How a fake engine answers.

    The same request always gets the same answer: whether it is right is drawn from a hash of model, messages,
    temperature and seed.
    """

    data: str | None = Field(None, description="JSON lines with question and answer, relative to the study file")
    accuracy: ByModel = Field(0.7, description="chance of a right answer")
    latency_s: ByModel = Field(0.0, description="time a request takes, before its tokens")
    token_s: ByModel = Field(0.0, description="time an output token takes")
    start_s: ByModel = Field(0.0, description="time it takes to start")
    memory_bytes: ByModel = Field(0, description="of the accelerator that it claims to need")
    capacity_bytes: int | None = Field(None, description="of the accelerator that the study claims to have")
    sleeps: bool = Field(False, description="whether it can sleep; it needs none of its memory then")
    faults: list[Fault] = []

    def of(self, values: ByModel, model: str, default: float) -> float:
        """The number that holds for a model."""
        return values.get(model, default) if isinstance(values, dict) else values
