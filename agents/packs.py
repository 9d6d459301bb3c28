"""Role packs: YAML files with roles. Those in ``roles/`` come with Orkester; a study file may change their roles."""

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
    raise ValueError(f"takes 'text' or a JSON schema such as {{type: object, properties: …}}, but got {value!r:.60}")


class RoleChange(BaseModel):
    """The fields of a role that a study file may change. A field that the file leaves out keeps the pack's value."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    instruction: str = Field("", description="how to work; the system message")
    max_tokens: int | None = Field(None, ge=1, description="the most tokens of one reply; none: the task's value")
    temperature: float | None = Field(None, ge=0, le=2, description="0 is greedy; none: the topology's knob")
    sees: Sees = Field("question", description="which drafts the agent sees")
    drafts: str = Field(Role.drafts, description="added below the question when there are drafts to see")
    output: Annotated[Literal["text"] | dict[str, Any], BeforeValidator(_output_form)] = Field(
        "text", description="the form of the reply: text, or a JSON schema"
    )

    def apply_to(self, role: Role) -> Role:
        """Return a copy of a role with these changes.

        Args:
            role: The role before the changes.

        Returns:
            The changed copy.

        Raises:
            RoleFault: The changed role cannot be used.
        """
        changes: dict[str, Any] = {name: getattr(self, name) for name in self.model_fields_set}
        if "output" in changes and changes["output"] == "text":
            changes["output"] = None
        return dataclasses.replace(role, **changes)


class RoleEntry(RoleChange):
    """A whole role in the form of a pack or a team file."""

    answers: bool = Field(True, description="whether the reply is, or may become, the team's answer")

    @classmethod
    def of(cls, role: Role) -> RoleEntry:
        """Convert a role to its entry in a file.

        Args:
            role: The role to convert.

        Returns:
            The entry.
        """
        fields = {name: getattr(role, name) for name in cls.model_fields}
        return cls(**{**fields, "output": "text" if role.output is None else dict(role.output)})


def read_pack(path: Path) -> Mapping[str, Role]:
    """Read the roles of one pack.

    Args:
        path: A YAML file that maps each role's name to the role's fields.

    Returns:
        The roles by name.

    Raises:
        InputError: A role cannot be used; the message names the file and the key.
    """
    import yaml

    try:
        entries = TypeAdapter(dict[str, RoleEntry]).validate_python(yaml.safe_load(path.read_text(encoding="utf-8")))
    except yaml.YAMLError as error:
        raise InputError(f"{path}: the file is not YAML: {error}") from error
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in fault["loc"])
        raise InputError(f"{path}: {key + ': ' if key else ''}{fault['msg']}") from error
    roles: dict[str, Role] = {}
    for name, entry in entries.items():
        try:
            roles[name] = entry.apply_to(Role(name=name))
        except RoleFault as fault:
            raise InputError(f"{path}: {name}.{fault}") from fault
    return roles


def read_packs(folder: Path) -> Mapping[str, Role]:
    """Read the roles of all packs in a folder.

    Args:
        folder: The folder with the packs, as ``*.yaml``.

    Returns:
        The roles by name.

    Raises:
        InputError: A role cannot be used (see ``read_pack``), or two packs have a role with the same name.
    """
    roles: dict[str, Role] = {}
    paths: dict[str, Path] = {}
    for path in sorted(folder.glob("*.yaml")):
        for name, role in read_pack(path).items():
            if name in roles:
                raise InputError(
                    f"{path}: {name}: {paths[name].name} already has a role with this name; rename one of them"
                )
            roles[name], paths[name] = role, path
    return MappingProxyType(roles)


@cache
def known_roles() -> Mapping[str, Role]:
    """Read the roles that come with Orkester. The packs are read once per process.

    Returns:
        The roles by name.
    """
    return read_packs(_FOLDER)
