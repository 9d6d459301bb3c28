"""The file ``engines.jsonl``: one line per engine event of a run, and the totals for each engine."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Final

from orkester.errors import InputError
from orkester.serving.lease import EngineEvent, Overrides

if TYPE_CHECKING:
    from pydantic import TypeAdapter

SCHEMA: Final = 1


class EngineLog:
    """The file ``engines.jsonl``, open for appending. It is a context manager, which must be entered first.

    An unfinished last line, left by a crash, is removed on entering. No result depends on this file, so it is not
    synced to disk after each line, and a full disk is no error here: the next block cannot be written either, and
    that error stops the study.

    Args:
        path: The file. It is created when it is missing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None

    def __enter__(self) -> EngineLog:
        self._file = self._path.open("ab", buffering=0)
        self._file.truncate(_complete_bytes(self._path.read_bytes()))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def append(self, event: EngineEvent) -> None:
        """Write an event. When the disk is full, the event is dropped.

        Args:
            event: The event.
        """
        if self._file is None:
            raise RuntimeError("enter the EngineLog before appending to it")
        line = json.dumps({"schema": SCHEMA, **asdict(event)}, ensure_ascii=False, separators=(",", ":"))
        data = line.encode(errors="backslashreplace") + b"\n"
        end = self._path.stat().st_size
        try:
            is_complete = self._file.write(data) == len(data)
        except OSError:
            is_complete = False
        if not is_complete:
            self._file.truncate(end)


def read_events(path: Path) -> Sequence[EngineEvent]:
    """Read the events. Another process may be writing the file: an unfinished last line is left out.

    Args:
        path: The file. A missing file has no events.

    Returns:
        The events, in the order of the file.

    Raises:
        InputError: A line is not an event, or was written by a newer version of Orkester.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return ()
    return [
        _event(path, number, line) for number, line in enumerate(data[: _complete_bytes(data)].splitlines(), start=1)
    ]


def _complete_bytes(data: bytes) -> int:
    """The number of bytes of all complete lines."""
    return data.rfind(b"\n") + 1


def _event(path: Path, number: int, line: bytes) -> EngineEvent:
    try:
        content = json.loads(line)
        schema = content.pop("schema")
        if isinstance(schema, int) and schema > SCHEMA:
            raise InputError(
                f"{path}:{number}: a newer version of Orkester wrote this line (schema {schema}; this version reads "
                f"schemas up to {SCHEMA}); upgrade Orkester"
            )
        return _adapter().validate_python(content)
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        reason = str(error).replace("\n", " ")
        raise InputError(
            f"{path}:{number}: this line is not an engine event ({reason}); if the file was edited or damaged, remove "
            "the line: no result depends on it"
        ) from error


@cache
def _adapter() -> TypeAdapter[EngineEvent]:
    from pydantic import TypeAdapter

    return TypeAdapter(EngineEvent)


@dataclass(frozen=True, kw_only=True)
class EngineUse:
    """The totals of all events of the engine of one model in one configuration.

    Attributes:
        model: The name of the model.
        options: The values of the searched engine options.
        starts, start_s: The number of starts, and their total seconds.
        sleeps, sleep_s: The number of times that the engine was put to sleep, and the total seconds of this.
        wakes, wake_s: The number of times that the engine was woken, and the total seconds of this.
        restarts: The number of times that the engine was started again because its answers had changed after sleep.
        deaths: The number of times that the engine died or no longer answered.
        stops: The number of times that the engine was stopped, including at the end of the study.
        energy_j: Joules of starts, sleeps, wakes and stops, and of the blocks that were lost when the engine died. None
            when one of these was not measured.
        reasons: The reasons for deaths, restarts and stops, each with its number of times.
    """

    model: str
    options: Overrides
    starts: int
    start_s: float
    sleeps: int
    sleep_s: float
    wakes: int
    wake_s: float
    restarts: int
    deaths: int
    stops: int
    energy_j: float | None
    reasons: Mapping[str, int]


def summary(events: Sequence[EngineEvent]) -> Sequence[EngineUse]:
    """Add up events by model and engine options.

    Args:
        events: The events, in order.

    Returns:
        The totals of each engine, in the order of their first events.
    """
    grouped: dict[tuple[str, str], list[EngineEvent]] = {}
    for event in events:
        grouped.setdefault((event.model, json.dumps(dict(event.options), sort_keys=True)), []).append(event)
    return [_use(engine_events) for engine_events in grouped.values()]


def _use(events: Sequence[EngineEvent]) -> EngineUse:
    count = Counter(event.kind for event in events)
    seconds: defaultdict[str, float] = defaultdict(float)
    reasons: Counter[str] = Counter()
    for previous, event in zip([None, *events], events, strict=False):
        seconds[event.kind] += event.seconds
        # A restart after a sleep makes two events with the same reason, "restarted" and "stopped". It counts once.
        is_repeated = previous is not None and previous.kind == "restarted" and previous.reason == event.reason
        if event.reason and not is_repeated:
            reasons[event.reason] += 1
    return EngineUse(
        model=events[0].model,
        options=dict(events[0].options),
        starts=count["started"],
        start_s=seconds["started"],
        sleeps=count["slept"],
        sleep_s=seconds["slept"],
        wakes=count["woken"],
        wake_s=seconds["woken"],
        restarts=count["restarted"],
        deaths=count["died"],
        stops=count["stopped"],
        energy_j=_joules(events),
        reasons=dict(reasons),
    )


def _joules(events: Sequence[EngineEvent]) -> float | None:
    if any(event.energy_j is None for event in events if event.kind != "died"):
        return None
    return sum(event.energy_j for event in events if event.energy_j is not None)
