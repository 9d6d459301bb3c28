"""``blocks.jsonl``: a line per block, on disk before the next block begins."""

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

from .block import Block, Call, ExampleResult, Phase

if TYPE_CHECKING:
    from pydantic_core import CoreSchema, SchemaValidator

SCHEMA: Final = 4


def _with_engines(data: dict[str, Any]) -> dict[str, Any]:
    """Schema 2 has the engine options of a team and what engines say of themselves; before, there were neither."""
    new: dict[str, Any] = {"engine_options": {}}
    if data["kind"] == "block":
        new |= {"engine_metrics": {}, "prefix_cache": ""}
    return {**data, **new}


def _with_energy(data: dict[str, Any]) -> dict[str, Any]:
    """Schema 3 has what calls and idleness took of the joules; before, a block had their sum alone."""
    return data  # the defaults of what is new say that it is not known


def _with_reuse(data: dict[str, Any]) -> dict[str, Any]:
    """Schema 4 says of a call what it was, what was replied, and whether it was reused; before, every call was made."""
    return data  # the defaults of what is new say so; calls without a key are never reused


#: From schema N to N + 1, each a function of a line's data.
MIGRATIONS: Final[Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]]] = {
    1: _with_engines,
    2: _with_energy,
    3: _with_reuse,
}


@dataclass(frozen=True, kw_only=True)
class TeamFailure:
    """A team that could not be measured at all, so that it is not tried again.

    Attributes:
        team, topology, knobs: the team.
        reason: what happened, for people.
        trial: number of the trial that asked for it.
        engine_options: the team's, of those that the study searches.
    """

    team: str
    topology: str
    knobs: Mapping[str, int | float | str]
    reason: str
    trial: int
    engine_options: Mapping[str, bool | int | float | str | None] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TeamStopped:
    """A team that gets no more blocks in the search, though it has not seen all examples.

    Attributes:
        team: its id.
        reason: why, for people.
    """

    team: str
    reason: str


#: What a line may be.
Record: TypeAlias = Block | TeamFailure | TeamStopped


@dataclass(frozen=True, kw_only=True)
class Records:
    """Everything in the file, in its order.

    Attributes:
        blocks: The blocks that count.
        failures: Teams that could not be measured.
        stopped: Why teams were stopped, by their ids.
    """

    blocks: Sequence[Block]
    failures: Sequence[TeamFailure]
    stopped: Mapping[str, str] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Record]:
        """One kind after the other."""
        yield from self.blocks
        yield from self.failures
        for team, reason in self.stopped.items():
            yield TeamStopped(team=team, reason=reason)


def read_records(path: Path) -> Records:
    """Read a file that another process may be writing: an unfinished last line is left out.

    Raises:
        InputError: a line is not a record, or was written by a newer Orkester.
    """
    return _read(path)[0]


class BlockLog:
    """The file of blocks, ``blocks.jsonl``, open for appending. Enter it first.

    A line that a crash cut off is removed on entering; ``torn`` says whether there was one.

    Args:
        path: made if absent.
        arrange: What is done to the records that are in the file when it is opened; the file is not changed.
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
        fresh = not self._path.exists()
        records, whole = _read(self._path)
        if self._arrange is not None:
            records = self._arrange(records)
        for block in records.blocks:
            self._remember(block)
        self._failures = list(records.failures)
        self._stopped = dict(records.stopped)
        self._file = self._path.open("ab")
        if fresh:
            _sync_folder(self._path.parent)
        else:
            self.torn = whole < self._path.stat().st_size
            self._file.truncate(whole)
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
            OrkesterError: it could not be written (disk full, say); the file ends with the last whole line.
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
        with contextlib.suppress(OSError):  # it may fail again on what is left in the buffer
            self._file.close()
        self._file = self._path.open("ab")
        self._file.truncate(end)

    def records(self) -> Records:
        """All of them, in the file's order."""
        return Records(blocks=tuple(self._blocks), failures=tuple(self._failures), stopped=dict(self._stopped))

    def all_blocks(self) -> Sequence[Block]:
        """Every block."""
        return self._blocks

    def blocks(self, team: str, phase: Phase) -> Sequence[Block]:
        """The blocks of one team in one phase, by index."""
        return sorted(self._by_team.get((team, phase), ()), key=lambda block: block.index)

    @property
    def failures(self) -> Sequence[TeamFailure]:
        """Teams that could not be measured."""
        return self._failures

    @property
    def stopped(self) -> Mapping[str, str]:
        """Why teams were stopped, by their ids."""
        return self._stopped

    def failed_teams(self) -> set[str]:
        """Ids of teams that could not be measured."""
        return {failure.team for failure in self._failures}


_KINDS: Final[Mapping[type, str]] = {Block: "block", TeamFailure: "team_failed", TeamStopped: "team_stopped"}
#: Names of what is written of each.
_FIELDS: Final[Mapping[type, Sequence[str]]] = {
    kind: [each.name for each in fields(kind)] for kind in (Block, ExampleResult, Call, TeamFailure, TeamStopped)
}


def encode(record: Record) -> bytes:
    """A record as its line.

    Raises:
        ValueError: a number is not finite.
    """
    data = {"schema": SCHEMA, "kind": _KINDS[type(record)], **_plain(record)}
    text = json.dumps(data, default=_plain, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    # Half a character (a lone surrogate, where max_tokens cut an answer) is no UTF-8; its backslash form is JSON's own.
    return text.encode(errors="backslashreplace") + b"\n"


def _plain(value: object) -> dict[str, Any]:
    """Of a mapping or a dataclass, one level deep."""
    if isinstance(value, Mapping):
        return dict(value)
    return {name: getattr(value, name) for name in _FIELDS[type(value)]}


def decode(data: dict[str, Any]) -> Record:
    """A line's data as a record, migrated from an older schema if need be.

    Raises:
        KeyError, TypeError, ValueError: it is not a record.
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
        wrong = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise ValueError(f"{'.'.join(map(str, wrong['loc']))}: {wrong['msg']}") from error
    return block


@cache
def _blocks() -> SchemaValidator:
    """Makes blocks of plain data.

    A long study has a million calls, and Python takes three microseconds for a frozen dataclass with as many fields;
    this takes a third. It looks at which fields there are, and not at what is in them.
    """
    from pydantic_core import SchemaValidator, core_schema

    def several(schema: CoreSchema) -> CoreSchema:
        return core_schema.tuple_schema([schema], variadic_item_index=0)

    def made(kind: type[Any], **inner: CoreSchema) -> CoreSchema:
        known = []
        for each in fields(kind):
            schema = inner.get(each.name, core_schema.any_schema())
            if each.default is not MISSING:
                schema = core_schema.with_default_schema(schema, default=each.default)
            elif each.default_factory is not MISSING:
                schema = core_schema.with_default_schema(schema, default_factory=each.default_factory)
            known.append(core_schema.dataclass_field(each.name, schema, kw_only=True))
        return core_schema.dataclass_schema(
            kind,
            core_schema.dataclass_args_schema(kind.__name__, known, extra_behavior="forbid"),
            list(_FIELDS[kind]),
            slots=hasattr(kind, "__slots__"),
        )

    example = made(ExampleResult, calls=several(made(Call)))
    return SchemaValidator(made(Block, examples=several(example), energy_marks=several(core_schema.any_schema())))


def _read(path: Path) -> tuple[Records, int]:
    """All records, and how many bytes their lines take; there may be an unfinished one after them."""
    blocks: list[Block] = []
    failures: list[TeamFailure] = []
    stopped: dict[str, str] = {}
    whole = 0
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file, _all_kept():
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
            whole += len(line)
    return Records(blocks=tuple(blocks), failures=tuple(failures), stopped=stopped), whole


@contextlib.contextmanager
def _all_kept() -> Iterator[None]:
    """Keeps Python from looking for what could be thrown away: it would take as long as reading, and find nothing."""
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
                f"{path}:{number}: written by a newer Orkester (schema {schema}, this one reads up to {SCHEMA}); "
                "upgrade"
            )
        return decode(content)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}:{number}: this is not a block record ({error}); if the file was edited or damaged, remove the "
            "line: its block is run again"
        ) from error


def _content(line: bytes) -> Any:
    from pydantic_core import from_json

    try:
        return from_json(line, cache_strings="keys")
    except ValueError:  # half a character, which only the slower one reads; or it says what is wrong
        return json.loads(line)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
