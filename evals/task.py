"""A task: examples from a file, split for search and confirmation, and the scorer."""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from orkester.agents import Role
from orkester.errors import InputError, did_you_mean

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
        instruction: for every agent whose role answers; empty for none.
        max_tokens: most tokens of one answer, where a role does not say.
        extract: regular expression with one group that finds the answer within a text; None for the whole text.
        data_sha256: of the data file.
        roles: those that work otherwise than the packs say, by name.
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
    rows = _csv(path) if path.suffix.lower() == ".csv" else _json_lines(path)
    examples: list[Example] = []
    lines: dict[str, int] = {}
    for line, row in rows:
        needed = [names["question"], names["answer"]]
        if names["id"] in row or "id" in (fields or {}):
            needed.append(names["id"])
        for name in needed:
            if _is_empty(row.get(name)):
                raise InputError(f"{path}:{line}: {_absent(name, row)}")
        if not isinstance(row[names["question"]], (str, list)):
            raise InputError(
                f"{path}:{line}: the field {names['question']!r} takes text or a list of content parts, but got "
                f"{row[names['question']]!r}"
            )
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
        return data.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InputError(f"{path}:{line}: this is not UTF-8 text; save the file as UTF-8") from error


def _json_lines(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
            raise InputError(f"{path}:{number}: one JSON object per line was expected, but: {reason}") from error
        if not isinstance(row, dict):
            raise InputError(f"{path}:{number}: one JSON object per line was expected, but got {line.strip()[:40]}")
        if "\\u" in line and _has_half_characters(row):
            raise InputError(f"{path}:{number}: a \\u escape stands for half a character, which no model can be sent")
        yield number, row


def _has_half_characters(row: Mapping[str, Any]) -> bool:
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def _csv(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Rows under their header's names, each with the line it begins on: quoted fields may have several."""
    reading = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    header: list[str] | None = None
    line = 1
    try:
        for row in reading:
            if row and header is None:
                header = row
                if twice := sorted({name for name in header if header.count(name) > 1}):
                    raise InputError(f"{path}:{line}: the header names {twice[0]!r} twice")
            elif row and header is not None:
                if len(row) > len(header):
                    raise InputError(f"{path}:{line}: the line has more fields than the header names")
                yield line, dict(itertools.zip_longest(header, row))
            line = reading.line_num + 1
    except csv.Error as error:
        raise InputError(f"{path}:{line}: this is not CSV: {error}") from error


def _is_empty(value: object) -> bool:
    """Whether nothing could be asked, or be right. 0 and False are something."""
    if isinstance(value, str):
        return not value.strip()
    if isinstance(value, list):
        return not value or any(_is_empty(entry) for entry in value)
    return value is None


def _absent(name: str, row: Mapping[str, Any]) -> str:
    if name in row:
        return f"the field {name!r} is empty, or a list with an empty entry"
    hint = did_you_mean(name, map(str, row))
    there = ", ".join(map(str, row)) or "none"
    return f"there is no field {name!r}{hint}; fields here: {there}. Map names with task.fields"
