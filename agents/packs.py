"""Role packs: the roles that come with Orkester, as YAML in ``roles/``, and what a file may change of a role."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from orkester.errors import InputError

from .role import Role, RoleFault, Sees

_FOLDER = Path(__file__).parent / "roles"


def _output_form(value: object) -> object:
    if value == "text" or (isinstance(value, dict) and value and all(isinstance(key, str) for key in value)):
        return value
    raise ValueError(f"takes text or a JSON schema such as {{type: object, properties: …}}, but got {value!r:.60}")


class RoleChange(BaseModel):
    """What a study file may say of a role; what is left out stays as the pack has it."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    instruction: str = Field("", description="how to work; system message")
    max_tokens: int | None = Field(None, ge=1, description="most tokens of one reply; none: the task's")
    temperature: float | None = Field(None, ge=0, le=2, description="0 is greedy; none: the topology's knob")
    sees: Sees = Field("question", description="which drafts are shown")
    drafts: str = Field(Role.drafts, description="stands below the question when there are drafts to see")
    output: Annotated[Literal["text"] | dict[str, Any], BeforeValidator(_output_form)] = Field(
        "text", description="form of the reply: text, or a JSON schema"
    )

    def applied(self, role: Role) -> Role:
        """The role with what is said here.

        Raises:
            RoleFault: the role cannot be used so.
        """
        given: dict[str, Any] = {name: getattr(self, name) for name in self.model_fields_set}
        if "output" in given and given["output"] == "text":
            given["output"] = None
        return dataclasses.replace(role, **given)


class RoleEntry(RoleChange):
    """A whole role, as a pack or a team file has it."""

    answers: bool = Field(True, description="whether its reply is, or may become, the team's answer")

    @classmethod
    def of(cls, role: Role) -> RoleEntry:
        """A role as a file has it."""
        fields = {name: getattr(role, name) for name in cls.model_fields}
        return cls(**{**fields, "output": "text" if role.output is None else dict(role.output)})


def read_pack(path: Path) -> Mapping[str, Role]:
    """The roles of a pack by name.

    Args:
        path: YAML, a mapping from each role's name to its fields.

    Raises:
        InputError: a role cannot be used; the message has file and key.
    """
    import yaml

    try:
        entries = TypeAdapter(dict[str, RoleEntry]).validate_python(yaml.safe_load(path.read_text(encoding="utf-8")))
    except yaml.YAMLError as error:
        raise InputError(f"{path}: this is not YAML: {error}") from error
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in fault["loc"])
        raise InputError(f"{path}: {key + ': ' if key else ''}{fault['msg']}") from error
    roles: dict[str, Role] = {}
    for name, entry in entries.items():
        try:
            roles[name] = entry.applied(Role(name=name))
        except RoleFault as fault:
            raise InputError(f"{path}: {name}.{fault}") from fault
    return roles


def read_packs(folder: Path) -> Mapping[str, Role]:
    """The roles of all packs of a folder by name.

    Raises:
        InputError: see ``read_pack``, or two packs have a role of the same name.
    """
    roles: dict[str, Role] = {}
    homes: dict[str, Path] = {}
    for path in sorted(folder.glob("*.yaml")):
        for name, role in read_pack(path).items():
            if name in roles:
                raise InputError(f"{path}: {name}: {homes[name].name} has a role of this name; names are unique")
            roles[name], homes[name] = role, path
    return MappingProxyType(roles)


@cache
def known_roles() -> Mapping[str, Role]:
    """The roles that come with Orkester, by name."""
    return read_packs(_FOLDER)
