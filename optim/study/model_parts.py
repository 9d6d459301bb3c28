"""Parts of the study file about models: their names, and changes to the requests to one of them."""

from __future__ import annotations

import json
import re
from typing import Any

from pydantic import Field, field_validator

from orkester.serving.request_changes import PARAMETERS, RequestChanges
from orkester.serving.server_words import without_secrets

from .parts import Part
from .yaml_source import short

#: Parts of a request that cannot be changed, with the reason.
_FIXED = {
    "model": "the study sets it for every request",
    "messages": "the team writes them for every request",
    "stream": "Orkester reads an answer when it is complete",
    "n": "Orkester reads one answer of each call; for several answers, search the topology vote",
}
_SECRET = re.compile(
    r"(?i)(?:^|[-_])(?:api[-_]?key|key|secret|password|passwd|credentials?|authorization|token)$|^headers?$"
)


class RequestPart(Part):
    """``request:`` how the requests to a model differ from OpenAI's usual form."""

    drop: list[str] = Field([], description="parameters that are left out")
    rename: dict[str, str] = Field({}, description="other names of parameters")
    extra: dict[str, Any] = Field({}, description="more parameters with their values")

    @field_validator("drop")
    @classmethod
    def _may_be_dropped(cls, names: list[str]) -> list[str]:
        for name in names:
            _require_parameter(name, "be dropped")
        return names

    @field_validator("rename")
    @classmethod
    def _may_be_renamed(cls, names: dict[str, str]) -> dict[str, str]:
        for name, other in names.items():
            _require_parameter(name, "be renamed")
            if not other or other in _FIXED or other in PARAMETERS:
                raise ValueError(f"{name} needs a new name that no other parameter has, but got {short(other)}")
        if len(set(names.values())) < len(names):
            raise ValueError("gives two parameters the same name")
        return names

    @field_validator("extra")
    @classmethod
    def _may_be_added(cls, values: dict[str, Any]) -> dict[str, Any]:
        for name, value in values.items():
            if why := _FIXED.get(name):
                raise ValueError(f"cannot have {name}: {why}")
            if name in PARAMETERS:
                raise ValueError(
                    f"cannot have {name}, which the study sets: a topology's knob, the role or task.max_tokens; to "
                    "send it under another name, use rename"
                )
            try:
                text = json.dumps({name: value}, allow_nan=False)
            except (TypeError, ValueError, RecursionError) as error:
                raise ValueError(f"{short(name)} has a value that JSON does not have: a date, nan or inf") from error
            if _has_secret(name, value) or without_secrets(text) != text:
                raise ValueError(
                    "seems to have a key or a password, which records and reports would show; put the key into an "
                    "environment variable and name the variable in engine.api_key_env"
                )
        return values

    @property
    def changes(self) -> RequestChanges:
        """The changes as the chat client takes them."""
        return RequestChanges(drop=tuple(dict.fromkeys(self.drop)), rename=self.rename, extra=self.extra)


class ModelOptions(Part):
    """``models: [{NAME: {request: …}}]``: a model with options of its own."""

    request: RequestPart = RequestPart()

    @field_validator("request")
    @classmethod
    def _agrees(cls, part: RequestPart) -> RequestPart:
        if both := [name for name in part.rename if name in part.drop]:
            raise ValueError(f"drops {both[0]} and renames it; give one of them")
        if both := [other for other in part.rename.values() if other in part.extra]:
            raise ValueError(f"has {both[0]} in extra and as a new name in rename; give one of them")
        return part


#: An entry of ``models``: a name, or a name with options.
ModelEntry = str | dict[str, ModelOptions]


def model_form(value: object) -> object:
    """Check the form of an entry of ``models``.

    Raises:
        ValueError: It is neither a name nor a name with options.
    """
    if isinstance(value, str) or (
        isinstance(value, dict) and len(value) == 1 and isinstance(next(iter(value.values())), dict | ModelOptions)
    ):
        return value
    quotes = "" if isinstance(value, list | dict) or value is None else " (put it in quotes)"
    raise ValueError(f"takes text, or {{NAME: {{request: {{…}}}}}}, but got {short(value)}{quotes}")


def _require_parameter(name: str, verb: str) -> None:
    if why := _FIXED.get(name):
        raise ValueError(f"{name} cannot {verb}: {why}")
    if name not in PARAMETERS:
        raise ValueError(f"only {', '.join(PARAMETERS)} can {verb}, but got {short(name)}")


def _has_secret(name: str, value: object) -> bool:
    """Whether a name within a value is that of a secret."""
    if isinstance(value, dict):
        return any(_has_secret(str(inner), part) for inner, part in value.items())
    if isinstance(value, list):
        return any(_has_secret(name, part) for part in value)
    return isinstance(value, str) and _SECRET.search(name) is not None
