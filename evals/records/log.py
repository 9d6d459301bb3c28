"""The file ``blocks.jsonl``: one line per block, which is on disk before the next block starts."""

from __future__ import annotations

import contextlib
import gc
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Final, TypeAlias

from orkester.errors import InputError, OrkesterError

from .block import Block, Call, ExampleResult, Phase, ScoringCost

if TYPE_CHECKING:
    from pydantic_core import CoreSchema, SchemaValidator

SCHEMA: Final = 6


def _with_engines(data: dict[str, Any]) -> dict[str, Any]:
    """Schema 2 adds the engine options of a team and the metrics of the engines."""
    new: dict[str, Any] = {"engine_options": {}}
    if data["kind"] == "block":
        new |= {"engine_metrics": {}, "prefix_cache": ""}
    return {**data, **new}


def _with_energy(data: dict[str, Any]) -> dict[str, Any]:
    """Schema 3 adds the joules of each call and of idle power. Before, a block had only the total."""
    return data  # the new fields have defaults, which mean "not known"


def _with_reuse(data: dict[str, Any]) -> dict[str, Any]:
    """Schema 4 adds to a call its key, its text and whether it was reused. Before, no call was reused."""
    return data  # the new fields have defaults; calls without a key are never reused


def _with_thoughts_and_messages(data: dict[str, Any]) -> dict[str, Any]:
    """Schema 5 adds to a call its thought with the tokens of it, and the server's words to a failure.

    Before, the thought was part of the answer.
    """
    return data  # the new fields have defaults, which mean "not known"


def _with_deferred_scores(data: dict[str, Any]) -> dict[str, Any]:
    """Schema 6 adds how a score came about, and what scoring has cost. Before, every score was computed at once."""
    return data  # the new fields have defaults


#: Each function turns the data of a line of schema N, its key, into data of schema N + 1.
MIGRATIONS: Final[Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]]] = {
    1: _with_engines,
    2: _with_energy,
    3: _with_reuse,
    4: _with_thoughts_and_messages,
    5: _with_deferred_scores,
}


@dataclass(frozen=True, kw_only=True)
class TeamFailure:
    """A team that could not be measured at all. It is not tried again.

    Attributes:
        team: The id of the team.
        topology, knobs: The team's topology and knobs.
        reason: What went wrong, as a message for the user.
        trial: The number of the trial that asked for the team.
        engine_options: The team's values of the engine options that the study searches.
    """

    team: str
    topology: str
    knobs: Mapping[str, int | float | str]
    reason: str
    trial: int
    engine_options: Mapping[str, bool | int | float | str | None] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TeamStopped:
    """A team that gets no more blocks in the search, although it was not measured on all examples.

    Attributes:
        team: The id of the team.
        reason: Why the team was stopped, as a message for the user.
    """

    team: str
    reason: str


#: The content of one line.
Record: TypeAlias = Block | TeamFailure | TeamStopped


@dataclass(frozen=True, kw_only=True)
class Records:
    """The records of a file.

    Attributes:
        blocks: The blocks that count, in the order of the file.
        failures: The teams that could not be measured, in the order of the file.
        stopped: The reasons why teams were stopped, by team id.
    """

    blocks: Sequence[Block]
    failures: Sequence[TeamFailure]
    stopped: Mapping[str, str] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Record]:
        """Iterate over all records: first the blocks, then the failures, then the stopped teams."""
        yield from self.blocks
        yield from self.failures
        for team, reason in self.stopped.items():
            yield TeamStopped(team=team, reason=reason)


def read_records(path: Path) -> Records:
    """Read a file. Another process may be writing it: an unfinished last line is left out.

    Args:
        path: The file. A missing file has no records.

    Raises:
        InputError: A line is not a record, or was written by a newer version of Orkester.
    """
    return _read(path)[0]


class BlockLog:
    """The file ``blocks.jsonl``, open for appending. It is a context manager, which must be entered first.

    An unfinished last line, left by a crash, is removed on entering. ``torn`` is then true.

    Args:
        path: The file. It is created when it is missing.
        arrange: Changes the records that are read when the file is opened, but not the file.
    """

    def __init__(self, path: Path, *, arrange: Callable[[Records], Records] | None = None) -> None:
        self._path = path
        self._arrange = arrange
        self._file: IO[bytes] | None = None
        self._blocks: list[Block] = []
        self._by_team: dict[tuple[str, Phase], list[Block]] = {}
        self._failures: list[TeamFailure] = []
        self._stopped: dict[str, str] = {}
        self.torn = False

    def __enter__(self) -> BlockLog:
        is_new = not self._path.exists()
        records, complete_bytes = _read(self._path)
        if self._arrange is not None:
            records = self._arrange(records)
        for block in records.blocks:
            self._remember(block)
        self._failures = list(records.failures)
        self._stopped = dict(records.stopped)
        self._file = self._path.open("ab")
        if is_new:
            _sync_folder(self._path.parent)
        else:
            self.torn = complete_bytes < self._path.stat().st_size
            self._file.truncate(complete_bytes)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def append(self, record: Record) -> None:
        """Write a record and wait until it is on disk.

        Raises:
            OrkesterError: The record could not be written, for example because the disk is full. The file then ends
                with the last complete record.
        """
        if self._file is None:
            raise RuntimeError("enter the BlockLog before appending to it")
        line = encode(record)
        end = self._file.seek(0, os.SEEK_END)
        try:
            self._file.write(line)
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            self._restore(end)
            raise OrkesterError(
                f"{self._path}: the block could not be written: {error.strerror}. Make room and run the same command "
                "again: it goes on from the last block on disk"
            ) from error
        self._remember(record)

    def _remember(self, record: Record) -> None:
        match record:
            case Block():
                self._blocks.append(record)
                self._by_team.setdefault((record.team, record.phase), []).append(record)
            case TeamFailure():
                self._failures.append(record)
            case TeamStopped():
                self._stopped[record.team] = record.reason

    def _restore(self, end: int) -> None:
        assert self._file is not None
        with contextlib.suppress(OSError):  # closing writes the rest of the buffer, which may fail again
            self._file.close()
        self._file = self._path.open("ab")
        self._file.truncate(end)

    def records(self) -> Records:
        """All records of the file."""
        return Records(blocks=tuple(self._blocks), failures=tuple(self._failures), stopped=dict(self._stopped))

    def all_blocks(self) -> Sequence[Block]:
        """All blocks, in the order of the file."""
        return self._blocks

    def blocks(self, team: str, phase: Phase) -> Sequence[Block]:
        """The blocks of one team in one phase.

        Args:
            team: The id of the team.
            phase: ``search`` or ``confirm``.

        Returns:
            The blocks, sorted by index.
        """
        return sorted(self._by_team.get((team, phase), ()), key=lambda block: block.index)

    @property
    def failures(self) -> Sequence[TeamFailure]:
        """The teams that could not be measured."""
        return self._failures

    @property
    def stopped(self) -> Mapping[str, str]:
        """The reasons why teams were stopped, by team id."""
        return self._stopped

    def failed_teams(self) -> set[str]:
        """The ids of the teams that could not be measured."""
        return {failure.team for failure in self._failures}


_KINDS: Final[Mapping[type, str]] = {Block: "block", TeamFailure: "team_failed", TeamStopped: "team_stopped"}
#: The names of the fields that are written, by class.
_FIELDS: Final[Mapping[type, Sequence[str]]] = {
    kind: [each.name for each in fields(kind)]
    for kind in (Block, ExampleResult, Call, ScoringCost, TeamFailure, TeamStopped)
}


def encode(record: Record) -> bytes:
    """Convert a record to a line of the file.

    Args:
        record: The record.

    Returns:
        JSON in UTF-8, ending with a newline.

    Raises:
        ValueError: A number is not finite.
    """
    data = {"schema": SCHEMA, "kind": _KINDS[type(record)], **_plain(record)}
    text = json.dumps(data, default=_plain, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    # A lone surrogate (half a character, where max_tokens cut an answer) cannot be UTF-8, so it becomes a JSON escape.
    return text.encode(errors="backslashreplace") + b"\n"


def _plain(value: object) -> dict[str, Any]:
    """A mapping or a dataclass as a dict, one level deep."""
    if isinstance(value, Mapping):
        return dict(value)
    return {name: getattr(value, name) for name in _FIELDS[type(value)]}


def decode(data: dict[str, Any]) -> Record:
    """Convert the data of a line to a record. Data of an older schema is migrated.

    Args:
        data: The parsed JSON of the line.

    Raises:
        KeyError, TypeError, ValueError: The data is not a record.
    """
    schema = data.pop("schema")
    while schema < SCHEMA:
        data = MIGRATIONS[schema](data)
        schema += 1
    kind = data.pop("kind")
    if kind == "team_failed":
        return TeamFailure(**data)
    if kind == "team_stopped":
        return TeamStopped(**data)
    if kind != "block":
        raise ValueError(f"unknown kind {kind!r}")
    from pydantic_core import ValidationError

    try:
        block: Block = _blocks().validate_python(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    return block


@cache
def _blocks() -> SchemaValidator:
    """The validator that makes blocks from parsed JSON.

    A long study has a million calls. Python needs three microseconds to make a frozen dataclass with so many fields;
    this validator needs one. It checks the names of the fields, but not their values.
    """
    from pydantic_core import SchemaValidator, core_schema

    def tuple_of(schema: CoreSchema) -> CoreSchema:
        return core_schema.tuple_schema([schema], variadic_item_index=0)

    def dataclass_of(kind: type[Any], **inner: CoreSchema) -> CoreSchema:
        field_schemas = []
        for each in fields(kind):
            schema = inner.get(each.name, core_schema.any_schema())
            if each.default is not MISSING:
                schema = core_schema.with_default_schema(schema, default=each.default)
            elif each.default_factory is not MISSING:
                schema = core_schema.with_default_schema(schema, default_factory=each.default_factory)
            field_schemas.append(core_schema.dataclass_field(each.name, schema, kw_only=True))
        return core_schema.dataclass_schema(
            kind,
            core_schema.dataclass_args_schema(kind.__name__, field_schemas, extra_behavior="forbid"),
            list(_FIELDS[kind]),
            slots=hasattr(kind, "__slots__"),
        )

    example = dataclass_of(ExampleResult, calls=tuple_of(dataclass_of(Call)))
    return SchemaValidator(
        dataclass_of(
            Block,
            examples=tuple_of(example),
            energy_marks=tuple_of(core_schema.any_schema()),
            scoring=core_schema.nullable_schema(dataclass_of(ScoringCost)),
        )
    )


def _read(path: Path) -> tuple[Records, int]:
    """All records, and the number of bytes of their lines. An unfinished line may follow these bytes."""
    blocks: list[Block] = []
    failures: list[TeamFailure] = []
    stopped: dict[str, str] = {}
    complete_bytes = 0
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file, _no_garbage_collection():
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                break
            match _record(path, number, line):
                case Block() as block:
                    blocks.append(block)
                case TeamFailure() as failure:
                    failures.append(failure)
                case TeamStopped() as stop:
                    stopped[stop.team] = stop.reason
            complete_bytes += len(line)
    return Records(blocks=tuple(blocks), failures=tuple(failures), stopped=stopped), complete_bytes


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Pauses Python's garbage collection. While a file is read, it would take as long as reading and free nothing."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _record(path: Path, number: int, line: bytes) -> Record:
    try:
        content = _content(line)
        schema = content["schema"]
        if isinstance(schema, int) and schema > SCHEMA:
            raise InputError(
                f"{path}:{number}: a newer version of Orkester wrote this line (schema {schema}; this version reads "
                f"schemas up to {SCHEMA}); upgrade Orkester"
            )
        return decode(content)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}:{number}: this line is not a block record ({error}); if the file was edited or damaged, remove "
            "the line: Orkester then runs its block again"
        ) from error


def _content(line: bytes) -> Any:
    from pydantic_core import from_json

    try:
        return from_json(line, cache_strings="keys")
    except ValueError:  # only the slower parser reads a lone surrogate; for other errors, it has the better message
        return json.loads(line)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
