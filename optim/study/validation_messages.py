"""Says what pydantic found wrong with a study file in words that its author knows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import NoneType
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from orkester.errors import did_you_mean, nearest

from .yaml_source import Source, short


def explain(source: Source, data: Mapping[Any, Any], error: ValidationError, root: type[BaseModel]) -> list[str]:
    """What pydantic found, in the words of the file.

    Args:
        source: the file.
        data: what was validated.
        error: what came of it.
        root: against which model.

    Returns:
        A line for every fault, with file, line and key.
    """
    faults = [(_place(fault, data), fault) for fault in error.errors(include_url=False)]
    # Of a union's branches that all complain, the one that got deepest into the value is what was meant.
    deepest = [
        (place, fault)
        for place, fault in faults
        if not any(len(other) > len(place) and other[: len(place)] == place for other, _ in faults)
        or fault["type"] in _ABOUT_A_KEY
    ]
    said: list[str] = []
    for place in dict.fromkeys(place for place, _ in deepest):
        here = [fault for other, fault in deepest if other == place]
        about_type = [fault for fault in here if fault["type"] in _TAKES]
        # Where one branch of a union takes the type and finds another fault, the others' words about it are no help.
        if about_type and len(about_type) == len(here):
            given = about_type[0]["input"]
            takes = " or ".join(dict.fromkeys(_TAKES[fault["type"]] for fault in about_type))
            quotes = " (put it in quotes)" if takes == "text" and not isinstance(given, (list, dict, NoneType)) else ""
            said.append(source.error(place, f"takes {takes}, but got {short(given)}{quotes}"))
        said += [source.error(place, _say(fault, place, root)) for fault in here if fault["type"] not in _TAKES]
    return said


def _say(fault: Any, place: tuple[str | int, ...], root: type[BaseModel]) -> str:
    given = short(fault["input"])
    context = fault.get("ctx", {})
    match fault["type"]:
        case "extra_forbidden":
            said = f"unknown key {nearest(str(place[-1]), _keys_at(root, fault['loc'][:-1]))}"
        case "missing":
            said = f"the key {fault['loc'][-1]!r} is missing"
        case "value_error":
            said = str(context["error"])
        case "literal_error":
            known = re.findall(r"'([^']*)'", context["expected"])
            said = f"takes one of {', '.join(known)}, but got {given}{did_you_mean(str(fault['input']), known)}"
        case "string_pattern_mismatch":  # there is one pattern in a study file: that of its name
            said = f"takes letters, digits, '.', '_' and '-', a letter or digit first, but got {given}"
        case "string_too_short":
            said = "takes text, but got nothing between the quotes"
        case "too_short":
            said = "needs at least one entry"
        case "invalid_key":
            said = f"keys are text, but got {given}"
        case kind if kind in _BOUNDS:
            words, key = _BOUNDS[kind]
            said = f"must be {words} {_plain(context[key])}, but got {given}"
        case _:
            said = f"{fault['msg']}, but got {given}"
    return said


def _plain(number: float) -> str:
    return f"{number:g}" if isinstance(number, float) else str(number)


#: What a key takes, by pydantic's name for its not being that.
_TAKES: Mapping[str, str] = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping (KEY: VALUE)",
    "model_type": "a mapping (KEY: VALUE)",
    "model_attributes_type": "a mapping (KEY: VALUE)",
}
_BOUNDS: Mapping[str, tuple[str, str]] = {
    "greater_than": ("more than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}
_ABOUT_A_KEY = frozenset({"missing", "extra_forbidden"})


def _place(fault: Any, data: Any) -> tuple[str | int, ...]:
    """The keys that lead to a fault: pydantic's location without its names for branches of unions."""
    place: list[str | int] = []
    for part in fault["loc"]:
        if (isinstance(data, dict) and part in data) or (isinstance(data, list) and isinstance(part, int)):
            place.append(part)
            data = data[part]
    return tuple(place)


def _keys_at(root: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    """Keys that may stand at a location of pydantic's."""
    kinds: list[type[BaseModel]] = [root]
    for part in location:
        if branch := [kind for kind in kinds if kind.__name__ == part]:
            kinds = branch
        elif fields := [kind.model_fields[str(part)] for kind in kinds if part in kind.model_fields]:
            kinds = [model for field in fields for model in _models_in(field.annotation)]
        # What is no field is a key of a mapping or a place in a list, whose entries the kinds are already.
    return [key for kind in kinds for key in kind.model_fields]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models_in(inner)]
