"""A task: examples from a file, split for search and confirmation, and the scorer."""

from __future__ import annotations

import csv
import difflib
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from orkester.errors import InputError

from .scorers import Scorer

#: What an example has; a data file may use other names.
FieldName: TypeAlias = Literal["id", "question", "answer"]
_NAMES: tuple[FieldName, ...] = ("id", "question", "answer")


@dataclass(frozen=True, kw_only=True)
class Example:
    """One question with what is right.

    Attributes:
        id: unique in the data; the line number where the data has none.
        question: text, or OpenAI content parts.
        expected: as the data has it; a list means that any entry is right.
    """

    id: str
    question: Any
    expected: Any


@dataclass(frozen=True, kw_only=True)
class Task:
    """What teams are measured on.

    Attributes:
        name: of the study.
        shots: worked examples for base models; never scored.
        search: examples that choose teams, in the data's order.
        confirm: held out for confirmation, in the data's order.
        scorer: says how good an answer is.
        instruction: system message for every agent; empty for none.
        max_tokens: most tokens of one answer.
        extract: regular expression with one group that finds the answer within a text; None for the whole text.
        data_sha256: of the data file.
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

    @property
    def read(self) -> Callable[[str], str]:
        """Takes the answer out of a model's text."""
        return reader(self.extract)


def reader(extract: str | None) -> Callable[[str], str]:
    """Takes the answer out of a text: the last match's group, the whole text where nothing matches."""
    if extract is None:
        return str.strip
    pattern = re.compile(extract)

    def read(text: str) -> str:
        found = pattern.findall(text)
        return str(found[-1] if found else text).strip()

    return read


def load_examples(path: Path, *, fields: Mapping[FieldName, str] | None = None) -> list[Example]:
    """Read JSON lines (``.jsonl``, ``.ndjson``) or CSV (``.csv``) with a header.

    Args:
        path: the file, UTF-8.
        fields: the file's own names for ``id``, ``question`` and ``answer``, where they differ.

    Raises:
        InputError: the file is absent, empty, not UTF-8, has a line that is not an example, or an id twice; the
            message has file and line.
    """
    names = {name: (fields or {}).get(name, name) for name in _NAMES}
    rows = _csv(path) if path.suffix == ".csv" else _json_lines(path)
    examples: list[Example] = []
    lines: dict[str, int] = {}
    for line, row in rows:
        for name in ("question", "answer"):
            if row.get(names[name]) in (None, ""):
                raise InputError(f"{path}:{line}: {_absent(names[name], row)}")
        if "id" in (fields or {}) and names["id"] not in row:
            raise InputError(f"{path}:{line}: {_absent(names['id'], row)}")
        example_id = str(row.get(names["id"], line))
        if example_id in lines:
            raise InputError(
                f"{path}:{line}: the id {example_id!r} is that of line {lines[example_id]} too; ids are unique"
            )
        lines[example_id] = line
        examples.append(Example(id=example_id, question=row[names["question"]], expected=row[names["answer"]]))
    if not examples:
        raise InputError(
            f"{path}:1: the file has no examples; a line each, with {names['question']!r} and {names['answer']!r}"
        )
    return examples


def split(
    examples: Sequence[Example], *, confirm: float, shots: int, seed: int
) -> tuple[list[Example], list[Example], list[Example]]:
    """Shots, search and confirmation; each keeps the data's order.

    The first ``shots`` examples are shots. Of the rest, the share ``confirm`` with the smallest hash of seed and id is
    held out, so that the same example stays on the same side when the order of the data changes.

    Raises:
        InputError: there are too few examples for all three.
    """
    rest = list(examples[shots:])
    held = max(1, round(len(rest) * confirm))
    if len(rest) - held < 1:
        raise InputError(
            f"{len(examples)} examples are too few: {shots} are shots, and at least one each is needed for search and "
            "confirmation"
        )
    ranked = sorted(rest, key=lambda example: hashlib.sha256(f"{seed}:{example.id}".encode()).digest())
    out = {example.id for example in ranked[:held]}
    return (
        list(examples[:shots]),
        [example for example in rest if example.id not in out],
        [example for example in rest if example.id in out],
    )


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such data file") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InputError(f"{path}:{line}: this is not UTF-8 text; save the file as UTF-8") from error


def _json_lines(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(f"{path}:{number}: a JSON object a line was expected, but: {error.msg}") from error
        if not isinstance(row, dict):
            raise InputError(f"{path}:{number}: a JSON object a line was expected, but got {line.strip()[:40]}")
        yield number, row


def _csv(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    reading = csv.DictReader(_text(path).splitlines(keepends=True), strict=True)
    try:
        for row in reading:
            if None in row:
                raise InputError(f"{path}:{reading.line_num}: the line has more fields than the header names")
            yield reading.line_num, row
    except csv.Error as error:
        raise InputError(f"{path}:{reading.line_num}: this is not CSV: {error}") from error


def _absent(name: str, row: Mapping[str, Any]) -> str:
    if name in row:
        return f"the field {name!r} is empty"
    near = difflib.get_close_matches(name, [str(key) for key in row], n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    there = ", ".join(map(str, row)) or "none"
    return f"there is no field {name!r}{hint}; fields here: {there}. Map names with task.fields"
