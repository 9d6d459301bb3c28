"""How the requests to a model differ from OpenAI's usual form, for servers that refuse a parameter or need another."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

#: The parameters of a request that can be left out or renamed. A request has the last two only if they are needed.
PARAMETERS: Final = ("temperature", "max_tokens", "seed", "stop", "response_format")
#: Words in which servers say that the value is wrong, and not the parameter.
_ABOUT_A_LIMIT: Final = re.compile(r"(?i)context length|context window|too (?:large|long|many)|at most|exceed|reduce")
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]*")


@dataclass(frozen=True, kw_only=True)
class RequestChanges:
    """Changes to every request to a model.

    Attributes:
        drop: The parameters that are left out, from ``PARAMETERS``.
        rename: Other names of parameters, by their usual name.
        extra: More parameters with their values, as JSON.
    """

    drop: tuple[str, ...] = ()
    rename: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> RequestChanges:
        """Make the changes from the form that ``as_json`` returns."""
        return cls(
            drop=tuple(plain.get("drop", ())), rename=dict(plain.get("rename", {})), extra=dict(plain.get("extra", {}))
        )

    def __bool__(self) -> bool:
        """Whether anything is changed."""
        return bool(self.drop or self.rename or self.extra)

    def apply(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Change a request.

        Args:
            request: The request in the usual form.

        Returns:
            The changed request.
        """
        kept = {self.rename.get(name, name): value for name, value in request.items() if name not in self.drop}
        return {**kept, **self.extra}

    def as_json(self) -> dict[str, Any]:
        """The changes as JSON, in the form of the study file; parts without a change are left out."""
        parts = {"drop": list(self.drop), "rename": dict(self.rename), "extra": dict(self.extra)}
        return {name: value for name, value in parts.items() if value}


def remedy(words: str, model: str, changes: RequestChanges) -> str:
    """Find the line of a study file that avoids a server's complaint about a parameter.

    Args:
        words: The server's message.
        model: The name of the model in the study.
        changes: The changes that the request already had.

    Returns:
        A sentence with the line; empty if the message names no parameter that was sent.
    """
    if _ABOUT_A_LIMIT.search(words):
        return ""
    named = [name for name in PARAMETERS if name not in changes.drop and _names(words, changes.rename.get(name, name))]
    if not named:
        return ""
    name, before = named[0], "in the study file, write under models instead of the name"
    better = changes
    if name == "max_tokens" and name not in changes.rename and "max_completion_tokens" in words:
        better = RequestChanges(
            drop=changes.drop, rename={**changes.rename, name: "max_completion_tokens"}, extra=changes.extra
        )
    else:
        rename = {old: new for old, new in changes.rename.items() if old != name}
        better = RequestChanges(drop=(*changes.drop, name), rename=rename, extra=changes.extra)
    if name == "temperature":
        before = f"search only temperatures that the server takes, or {before}"
    return f"{before}: {_written({model: {'request': better.as_json()}})}"


def _names(words: str, name: str) -> bool:
    """Whether a message names a parameter. A name that is also a usual word must look like a name."""
    if name in {"stop", "seed"}:
        quoted = rf"[`'\"]{name}[`'\"]"
        after = rf"(?:argument|parameter|param|field|property|supplied|key|input)s?\b[^.]{{0,40}}\b{name}\b"
        ahead = rf"\b{name}\b\s*(?::|is not|not|parameter|argument|field)"
        return re.search(rf"(?i){quoted}|{after}|{ahead}", words) is not None
    return re.search(rf"(?<![A-Za-z0-9_]){re.escape(name)}(?![A-Za-z0-9_])", words) is not None


def _written(value: object) -> str:
    """A value in YAML's short form."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_written(str(key))}: {_written(part)}' for key, part in value.items())}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_written, value))}]"
    if isinstance(value, str) and _PLAIN_NAME.fullmatch(value) and not value[0].isdigit():
        return value
    return json.dumps(value, ensure_ascii=False)
