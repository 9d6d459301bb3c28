"""Examples from the rows of a data set."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from orkester.errors import InputError, did_you_mean

from ..task import Example, FieldName
from ._csv import csv_rows
from ._hub import HUB, hub_files
from ._json import json_array, json_lines
from ._parquet import parquet_rows
from ._rows import Rows, bytes_of

_NAMES: tuple[FieldName, ...] = ("id", "question", "answer")
#: The readers by the end of the file's name. All other files are JSON lines.
READERS: Final[Mapping[str, Callable[[Path], Rows]]] = {
    ".csv": csv_rows,
    ".tsv": csv_rows,
    ".json": json_array,
    ".parquet": parquet_rows,
}
#: Formats whose cells are text, so that a list is written as JSON.
_TABLES: Final = (".csv", ".tsv")


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """The examples of a study.

    Attributes:
        examples: The examples, in the order of the data; of rows that are equal, only the first.
        sha256: The SHA-256 of the files' content.
        notes: What a user should know about the data, a line each.
    """

    examples: Sequence[Example]
    sha256: str
    notes: Sequence[str] = ()


def load_data(
    data: str,
    folder: Path,
    *,
    fields: Mapping[FieldName, str] | None = None,
    objects: bool = False,
    answers: bool = True,
) -> DataSet:
    """Read the data set that a study file names.

    Args:
        data: The path of a file, or ``hf:OWNER/NAME`` on Hugging Face's hub; see docs/study-file.md.
        folder: The folder that a path is relative to.
        fields: See ``load_examples``.
        objects: Whether a right answer may be a JSON object, or a list inside a list. Then a cell of CSV is one answer.
        answers: Whether each row must have a right answer. Otherwise it is None where there is none.

    Raises:
        InputError: See ``load_examples``; or the data set cannot be fetched.
    """
    notes: list[str] = []
    paths: Sequence[Path] = [folder / data]
    if data.startswith(HUB):
        found = hub_files(data)
        paths = found.paths
        notes.append(f"data: {data} is at revision {found.revision}; {found.pinned} keeps it")
    examples, repeated = _examples(paths, fields or {}, objects=objects, answers=answers)
    if repeated:
        rows, (first, second) = len(examples) + len(repeated), repeated[0]
        notes.append(
            f"data: {len(repeated)} of {rows} rows repeat a question with the same answer and count once; the first: "
            f"{first} and {second}"
        )
    content = hashlib.sha256()
    for path in paths:
        content.update(bytes_of(path))
    return DataSet(examples=examples, sha256=content.hexdigest(), notes=notes)


def load_examples(path: Path, *, fields: Mapping[FieldName, str] | None = None) -> Sequence[Example]:
    """Read the examples of a data file; its format follows from the end of its name: see ``READERS``.

    Args:
        path: The file. Text is in UTF-8.
        fields: The file's names for ``id``, ``question`` and ``answer``, where they are different.

    Returns:
        The examples, in the order of the file. Of rows with the same question and answer, only the first.

    Raises:
        InputError: The file is missing, empty or not UTF-8, has a line that is not an example, has the same id twice,
            or gives a question two different answers. The message contains the file and the line.
    """
    return load_data(path.name, path.parent, fields=fields).examples


def _examples(
    paths: Sequence[Path], fields: Mapping[FieldName, str], *, objects: bool, answers: bool
) -> tuple[Sequence[Example], Sequence[tuple[str, str]]]:
    """The examples of a data set's files; and the places of rows that are left out, after those that they repeat."""
    names = {name: fields.get(name, name) for name in _NAMES}
    examples: dict[str, Example] = {}
    repeated: list[tuple[str, str]] = []
    places: dict[str, str] = {}  # by id
    first: dict[str, tuple[str, str]] = {}  # place and answer by question
    for number, path in enumerate(paths):
        for line, row in READERS.get(path.suffix.lower(), json_lines)(path):
            place = f"{path}:{line}"
            name = f"{number}-{line}" if number else str(line)
            example = _example(place, row, names, fields, number=name, objects=objects, answers=answers)
            if example.id in places:
                raise InputError(
                    f"{place}: line {places[example.id].rpartition(':')[2]} has the same id {example.id!r}; every id "
                    "must be unique"
                )
            places[example.id] = place
            key, answer = _question_key(example.question), _answer_key(example.expected)
            before, other = first.setdefault(key, (place, answer))
            if other != answer:
                raise InputError(
                    f"{place}: {before} has the same question with another answer. If both are right, give them as a "
                    "list in one row; otherwise remove the wrong row"
                )
            if before != place:
                repeated.append((before, place))
                continue
            examples[example.id] = example
    if not examples:
        raise InputError(
            f"{paths[0]}:1: the file has no examples; write one example per line, with the fields "
            f"{names['question']!r} and {names['answer']!r}"
        )
    return list(examples.values()), repeated


def _example(
    place: str,
    row: Mapping[str, Any],
    names: Mapping[FieldName, str],
    fields: Mapping[FieldName, str],
    *,
    number: str,
    objects: bool,
    answers: bool,
) -> Example:
    """The example of a row.

    Args:
        place: The file and the line, for messages.
        row: The row.
        names: The names of the fields.
        fields: Those that the study file gives: if it names an id, each row must have it.
        number: The id of a row without one.
        objects, answers: See ``load_data``.

    Raises:
        InputError: The row is not an example.
    """
    required = [names["question"]]
    if answers or "answer" in fields:
        required.append(names["answer"])
    if names["id"] in row or "id" in fields:
        required.append(names["id"])
    for name in required:
        if _is_empty(row.get(name)):
            raise InputError(f"{place}: {_missing_field_message(name, row)}")
    question, expected = row[names["question"]], row.get(names["answer"])
    if not isinstance(question, (str, list)):
        raise InputError(
            f"{place}: the field {names['question']!r} must be text or a list of content parts, but it is {question!r}"
        )
    if not objects and isinstance(expected, str) and place.rpartition(":")[0].lower().endswith(_TABLES):
        expected = _several(expected)
    if _is_empty(expected):
        expected = None
    elif fault := _gold_fault(expected, objects=objects):
        raise InputError(f"{place}: the field {names['answer']!r} {fault}")
    return Example(id=str(row.get(names["id"], number)), question=question, expected=expected)


def _question_key(question: Any) -> str:
    return question.strip() if isinstance(question, str) else json.dumps(question, sort_keys=True)


def _answer_key(expected: Any) -> str:
    """The same text for the same right answers, in any order and in any case."""
    every = expected if isinstance(expected, list) else [expected]
    return json.dumps(sorted({str(each).strip().casefold() for each in every}))


def _several(cell: str) -> Any:
    """The right answers of a cell that is a JSON list of texts; any other cell as it is.

    A list of numbers stays text: it is more often one answer that is a list.
    """
    if not cell.lstrip().startswith("["):
        return cell
    try:
        found = json.loads(cell)
    except (ValueError, RecursionError):
        return cell
    return found if isinstance(found, list) and found and all(isinstance(each, str) for each in found) else cell


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:59] + "…"


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


def _gold_fault(value: Any, *, objects: bool) -> str:
    """Why a right answer cannot be used; empty if it can."""
    if isinstance(value, list):
        if not objects and any(isinstance(entry, list) for entry in value):
            return "must be an answer or a list of answers, but it has a list in a list"
        return next(filter(None, (_gold_fault(entry, objects=objects) for entry in value)), "")
    if isinstance(value, dict) and not objects:
        return (
            f"must be text, a number or a list of them, but it is an object: {_short(value)}. Several right answers "
            "are a list; the scorer json compares objects"
        )
    if isinstance(value, float) and not math.isfinite(value):
        return f"must be a finite number, but it is {value}"
    return ""
