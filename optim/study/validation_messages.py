"""Messages about a study file's form: what pydantic found, in words that the author of the file knows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import NoneType
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from orkester.errors import did_you_mean, nearest

from .yaml_source import Source, short


def explain(source: Source, data: Mapping[Any, Any], error: ValidationError, root: type[BaseModel]) -> list[str]:
    """The faults that pydantic found, in words that the author of the file knows.

    Args:
        source: The file.
        data: The data that was validated.
        error: The error that pydantic raised.
        root: The model that the data was validated against.

    Returns:
        A line for every fault, with file, line and key.
    """
    faults = [(_place(fault, data), fault) for fault in error.errors(include_url=False)]
    # When all branches of a union fail, the branch that got deepest into the value is the one that was meant.
    deepest = [
        (place, fault)
        for place, fault in faults
        if not any(len(other) > len(place) and other[: len(place)] == place for other, _ in faults)
        or fault["type"] in _ABOUT_A_KEY
    ]
    lines: list[str] = []
    for place in dict.fromkeys(place for place, _ in deepest):
        here = [fault for other, fault in deepest if other == place]
        wrong_type = [fault for fault in here if fault["type"] in _TAKES]
        # When one branch of a union accepts the type and has another fault, the type faults of the others do not help.
        if wrong_type and len(wrong_type) == len(here):
            value = wrong_type[0]["input"]
            takes = " or ".join(dict.fromkeys(_TAKES[fault["type"]] for fault in wrong_type))
            quotes = " (put it in quotes)" if takes == "text" and not isinstance(value, (list, dict, NoneType)) else ""
            lines.append(source.error(place, f"takes {takes}, but got {short(value)}{quotes}"))
        lines += [source.error(place, _message(fault, place, root)) for fault in here if fault["type"] not in _TAKES]
    return lines


def _message(fault: Any, place: tuple[str | int, ...], root: type[BaseModel]) -> str:
    given = short(fault["input"])
    context = fault.get("ctx", {})
    match fault["type"]:
        case "extra_forbidden":
            message = f"unknown key {nearest(str(place[-1]), _keys_at(root, fault['loc'][:-1]))}"
        case "missing":
            message = f"the key {fault['loc'][-1]!r} is missing"
        case "value_error":
            message = str(context["error"])
        case "literal_error":
            known = re.findall(r"'([^']*)'", context["expected"])
            message = f"takes one of {', '.join(known)}, but got {given}{did_you_mean(str(fault['input']), known)}"
        case "string_pattern_mismatch":  # only the name of a study has a pattern
            message = f"takes letters, digits, '.', '_' and '-', a letter or digit first, but got {given}"
        case "string_too_short":
            message = "takes text, but got nothing between the quotes"
        case "too_short":
            message = "needs at least one entry"
        case "invalid_key":
            message = f"keys are text, but got {given}"
        case kind if kind in _BOUNDS:
            words, key = _BOUNDS[kind]
            message = f"must be {words} {_plain(context[key])}, but got {given}"
        case _:
            message = f"{fault['msg']}, but got {given}"
    return message


def _plain(number: float) -> str:
    return f"{number:g}" if isinstance(number, float) else str(number)


#: What a key takes, by pydantic's name of the fault.
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
    """The keys that are allowed at a location, as pydantic names it."""
    kinds: list[type[BaseModel]] = [root]
    for part in location:
        if branch := [kind for kind in kinds if kind.__name__ == part]:
            kinds = branch
        elif fields := [kind.model_fields[str(part)] for kind in kinds if part in kind.model_fields]:
            kinds = [model for field in fields for model in _models_in(field.annotation)]
        # Another part is a key of a mapping or a place in a list; its entries have the same kinds.
    return [key for kind in kinds for key in kind.model_fields]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models_in(inner)]
