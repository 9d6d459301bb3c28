"""The script of a fake engine: its answers, its times and its faults."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

#: One number for all models, or numbers by model name. A model without a number gets the default.
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
    """A fault that a fake engine shows on purpose.

    A number is an HTTP error. ``hang`` never answers one request. ``cut`` ends the connection in the middle of the
    body. ``not_json`` and ``no_choices`` are replies with the wrong form. ``empty`` and ``null`` are replies without
    text. ``bad_usage`` is a reply with impossible token counts, which are then unknown. ``die`` ends the engine's
    process; ``freeze`` keeps the process running, but it never answers anything again. ``wrong_wake`` is not drawn for
    a request: after its next sleep the engine answers nonsense.
    """

    kind: FaultKind
    models: list[str] = Field([], description="the models with this fault; all models when empty")
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    times: Annotated[int, Field(ge=1)] | None = Field(None, description="most times that one process shows the fault")


class FakeScript(_Part):
    """How a fake engine answers.

    The same request always gets the same answer. Whether the answer is right depends on a hash of the model, the
    messages, the temperature and the seed.
    """

    data: str | None = Field(None, description="JSON lines with question and answer, relative to the study file")
    accuracy: ByModel = Field(0.7, description="the probability of a right answer")
    latency_s: ByModel = Field(0.0, description="the time of a request, before its output tokens")
    token_s: ByModel = Field(0.0, description="the time of one output token")
    start_s: ByModel = Field(0.0, description="the time of the engine's start")
    memory_bytes: ByModel = Field(0, description="accelerator memory that the engine claims to need")
    capacity_bytes: int | None = Field(None, description="accelerator memory that the study claims to have")
    sleeps: bool = Field(False, description="whether the engine can sleep; it needs no accelerator memory then")
    faults: list[Fault] = []

    def of(self, values: ByModel, model: str, default: float) -> float:
        """Return the number for a model.

        Args:
            values: One number for all models, or numbers by model name.
            model: The model's name.
            default: The number for a model that is not in ``values``.

        Returns:
            The number.
        """
        return values.get(model, default) if isinstance(values, dict) else values
