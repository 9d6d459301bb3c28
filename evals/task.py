"""A task: a scorer, and the examples of a data file, which are split for search and confirmation."""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from orkester.agents import Role
from orkester.errors import InputError, did_you_mean

from .scorers import Scorer

#: The fields of an example. A data file may use other names for them.
FieldName: TypeAlias = Literal["id", "question", "answer"]
_NAMES: tuple[FieldName, ...] = ("id", "question", "answer")
#: The most characters of a field of a CSV file.
_MOST_CHARACTERS: Final = 10_000_000


@dataclass(frozen=True, kw_only=True)
class Example:
    """One question with its right answer.

    Attributes:
        id: The id, unique in the data; the line number when the data has no ids.
        question: Text, or a list of OpenAI content parts.
        expected: The right answer as it is in the data. When it is a list, each entry is a right answer.
    """

    id: str
    question: Any
    expected: Any


@dataclass(frozen=True, kw_only=True)
class Task:
    """The task on which teams are measured.

    Attributes:
        name: The name of the study.
        shots: Solved examples that base models get in the prompt. They are never scored.
        search: The examples that the search uses, in the order of the data.
        confirm: The examples that are held out for confirmation, in the order of the data.
        scorer: Scores the answers.
        instruction: The instruction for every agent whose role answers; empty for none.
        max_tokens: The maximum number of tokens of one answer, for roles without a maximum of their own.
        extract: A regular expression with one group that finds the answer in a text; None for the whole text.
        data_sha256: The SHA-256 of the data file.
        roles: Roles that replace those of the role packs, by name.
    """

    name: str
    shots: Sequence[Example]
    search: Sequence[Example]
    confirm: Sequence[Example]
    scorer: Scorer
    instruction: str
    max_tokens: int
    extract: str | None
    data_sha256: str
    roles: Mapping[str, Role] = field(default_factory=dict)

    @property
    def read(self) -> Callable[[str], str]:
        """A function that extracts the answer from the text of a model."""
        return reader(self.extract)


def reader(extract: str | None) -> Callable[[str], str]:
    """Make a function that extracts the answer from a text.

    Args:
        extract: A regular expression with one group; None for the whole text.

    Returns:
        The function. It returns the group of the last match, or the whole text when nothing matches, without space at
        either end.
    """
    if extract is None:
        return str.strip
    pattern = re.compile(extract)

    def read(text: str) -> str:
        matches = pattern.findall(text)
        return str(matches[-1] if matches else text).strip()

    return read


def load_examples(path: Path, *, fields: Mapping[FieldName, str] | None = None) -> list[Example]:
    """Read a data file: CSV with a header (``.csv``, also with semicolons, and ``.tsv`` with tabs), a JSON array
    (``.json``), or else JSON lines (``.jsonl``, ``.ndjson``).

    Args:
        path: The file, in UTF-8.
        fields: The file's names for ``id``, ``question`` and ``answer``, where they are different.

    Returns:
        The examples, in the order of the file.

    Raises:
        InputError: The file is missing, empty or not UTF-8, has a line that is not an example, or has the same id
            twice. The message contains the file and the line.
    """
    names = {name: (fields or {}).get(name, name) for name in _NAMES}
    rows = _READERS.get(path.suffix.lower(), _json_lines)(path)
    examples: list[Example] = []
    lines: dict[str, int] = {}
    for line, row in rows:
        required = [names["question"], names["answer"]]
        if names["id"] in row or "id" in (fields or {}):
            required.append(names["id"])
        for name in required:
            if _is_empty(row.get(name)):
                raise InputError(f"{path}:{line}: {_missing_field_message(name, row)}")
        if not isinstance(row[names["question"]], (str, list)):
            raise InputError(
                f"{path}:{line}: the field {names['question']!r} must be text or a list of content parts, but it is "
                f"{row[names['question']]!r}"
            )
        if fault := _gold_fault(row[names["answer"]]):
            raise InputError(f"{path}:{line}: the field {names['answer']!r} {fault}")
        example_id = str(row.get(names["id"], line))
        if example_id in lines:
            raise InputError(
                f"{path}:{line}: line {lines[example_id]} has the same id {example_id!r}; every id must be unique"
            )
        lines[example_id] = line
        examples.append(Example(id=example_id, question=row[names["question"]], expected=row[names["answer"]]))
    if not examples:
        raise InputError(
            f"{path}:1: the file has no examples; write one example per line, with the fields {names['question']!r} "
            f"and {names['answer']!r}"
        )
    return examples


def split(
    examples: Sequence[Example], *, confirm: float, shots: int, seed: int
) -> tuple[list[Example], list[Example], list[Example]]:
    """Split examples into shots, examples for the search and examples for confirmation. Each keeps the data's order.

    The first examples are shots. Of the others, those with the smallest hashes of seed and id are held out for
    confirmation. An example so stays in the same part when the order of the data changes.

    Args:
        examples: All examples.
        confirm: The share of the examples after the shots that is held out, from 0 to 1.
        shots: The number of shots.
        seed: The study's seed.

    Returns:
        Shots, examples for the search, examples for confirmation.

    Raises:
        InputError: There are too few examples for all three parts.
    """
    rest = list(examples[shots:])
    confirm_count = max(1, round(len(rest) * confirm))
    if len(rest) - confirm_count < 1:
        raise InputError(
            f"{len(examples)} examples are too few: {shots} are shots, and the search and the confirmation need at "
            "least one example each"
        )
    ranked = sorted(rest, key=lambda example: hashlib.sha256(f"{seed}:{example.id}".encode()).digest())
    confirm_ids = {example.id for example in ranked[:confirm_count]}
    return (
        list(examples[:shots]),
        [example for example in rest if example.id not in confirm_ids],
        [example for example in rest if example.id in confirm_ids],
    )


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{path}: the data file does not exist") from error
    except OSError as error:
        raise InputError(f"{path}: the data file cannot be read: {error.strerror}") from error
    try:
        return data.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InputError(f"{path}:{line}: this line is not UTF-8 text; save the file as UTF-8") from error


def _json_lines(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        yield number, _object(path, number, line)


def _json_array(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The objects of a JSON array, each with the number of the line where it begins."""
    text = _text(path)
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


def _gold_fault(value: Any) -> str:
    """Why a right answer cannot be used; empty if it can."""
    if isinstance(value, list):
        if any(isinstance(entry, list) for entry in value):
            return "must be an answer or a list of answers, but it has a list in a list"
        return next(filter(None, map(_gold_fault, value)), "")
    if isinstance(value, dict):
        return (
            f"must be text, a number or a list of them, but it is an object: {_short(value)}. Several right answers "
            "are a list"
        )
    if isinstance(value, float) and not math.isfinite(value):
        return f"must be a finite number, but it is {value}"
    return ""


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:59] + "…"


def _has_lone_surrogate(row: Mapping[str, Any]) -> bool:
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def _csv(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The rows by column name, each with the number of its first line: a quoted field may have several lines."""
    text = _text(path)
    csv.field_size_limit(max(csv.field_size_limit(), _MOST_CHARACTERS))  # the least that any reader accepts is 128 KiB
    rows = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=_delimiter(path, text))
    header: list[str] | None = None
    line = 1
    try:
        for row in rows:
            if row and header is None:
                header = row
                if duplicates := sorted({name for name in header if header.count(name) > 1}):
                    raise InputError(f"{path}:{line}: the header has the column {duplicates[0]!r} twice")
            elif row and header is not None:
                if len(row) > len(header):
                    raise InputError(f"{path}:{line}: this line has more fields than the header has columns")
                yield line, dict(itertools.zip_longest(header, row))
            line = rows.line_num + 1
    except csv.Error as error:
        raise InputError(f"{path}:{line}: this line is not CSV: {error}") from error


def _delimiter(path: Path, text: str) -> str:
    """Tabs in ``.tsv``; semicolons where the header has them and no comma, as spreadsheets of many countries write."""
    if path.suffix.lower() == ".tsv":
        return "\t"
    header = next((line for line in text.splitlines() if line.strip()), "")
    return ";" if ";" in header and "," not in header else ","


_READERS: Final[Mapping[str, Callable[[Path], Iterator[tuple[int, Mapping[str, Any]]]]]] = {
    ".csv": _csv,
    ".tsv": _csv,
    ".json": _json_array,
}


def _is_empty(value: object) -> bool:
    """Whether a field has no content. 0 and False are content."""
    if isinstance(value, str):
        return not value.strip()
    if isinstance(value, list):
        return not value or any(_is_empty(entry) for entry in value)
    return value is None


def _missing_field_message(name: str, row: Mapping[str, Any]) -> str:
    if name in row:
        return f"the field {name!r} is empty, or a list with an empty entry"
    hint = did_you_mean(name, map(str, row))
    row_fields = ", ".join(map(str, row)) or "none"
    return (
        f"the field {name!r} is missing{hint}; the fields of this line are: {row_fields}. If your data uses other "
        "names, set task.fields in the study file"
    )
