"""JSON lines, and a JSON array."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orkester.errors import InputError

from ._rows import Rows, text_of


def json_lines(path: Path) -> Rows:
    """The objects of a file with one JSON object in each line."""
    for number, line in enumerate(text_of(path).split("\n"), start=1):
        if not line.strip():
            continue
        yield number, _object(path, number, line)


def json_array(path: Path) -> Rows:
    """The objects of a JSON array, each with the number of the line where it begins."""
    text = text_of(path)
    decoder = json.JSONDecoder(parse_constant=_refuse_constant)
    position = _after_space(text, 0)
    if text[position : position + 1] != "[":
        raise InputError(
            f"{path}:1: a .json file must be an array of objects: [{{…}}, …]; one object in each line is .jsonl"
        )
    position, line, counted = _after_space(text, position + 1), 1, 0
    while text[position : position + 1] != "]":
        line, counted = line + text.count("\n", counted, position), position
        try:
            _, end = decoder.raw_decode(text, position)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}:{line}: this is not JSON: {_json_fault(error)}") from error
        yield line, _object(path, line, text[position:end])
        position = _after_space(text, end)
        separator = text[position : position + 1]
        if separator not in {",", "]"}:
            raise InputError(f"{path}:{line}: after this object, the array must go on with a comma or end with ]")
        if separator == ",":
            position = _after_space(text, position + 1)


def _after_space(text: str, position: int) -> int:
    while text[position : position + 1].isspace():
        position += 1
    return position


def _object(path: Path, number: int, text: str) -> Mapping[str, Any]:
    """An object of a data file.

    Raises:
        InputError: The text is no JSON object, or has what cannot be sent to a model.
    """
    try:
        row = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}:{number}: each line must be one JSON object, but: {_json_fault(error)}") from error
    if not isinstance(row, dict):
        raise InputError(f"{path}:{number}: each line must be one JSON object, but it is {text.strip()[:40]}")
    if "\\u" in text and _has_lone_surrogate(row):
        raise InputError(
            f"{path}:{number}: a \\u escape is half a character (a lone surrogate), which cannot be sent to a model"
        )
    return row


def _json_fault(error: ValueError | RecursionError) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return error.msg if isinstance(error, json.JSONDecodeError) else str(error)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number of JSON")


def _has_lone_surrogate(row: Mapping[str, Any]) -> bool:
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False
