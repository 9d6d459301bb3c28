"""``engines.jsonl``: a line for whatever befell an engine in a run, and what the lines add up to."""

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
    """The file, open for appending. Enter it first; a line that a crash cut off is removed then.

    It explains numbers and decides none, so it is flushed and not synced, and a disk that takes no more of it ends no
    study: the next block cannot be written either, and says so.

    Args:
        path: made if absent.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None

    def __enter__(self) -> EngineLog:
        self._file = self._path.open("ab", buffering=0)
        self._file.truncate(_whole(self._path.read_bytes()))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def append(self, event: EngineEvent) -> None:
        """Write an event."""
        if self._file is None:
            raise RuntimeError("enter the EngineLog before appending to it")
        line = json.dumps({"schema": SCHEMA, **asdict(event)}, ensure_ascii=False, separators=(",", ":"))
        data = line.encode(errors="backslashreplace") + b"\n"
        end = self._path.stat().st_size
        try:
            whole = self._file.write(data) == len(data)
        except OSError:
            whole = False
        if not whole:
            self._file.truncate(end)


def read_events(path: Path) -> Sequence[EngineEvent]:
    """Read a file that another process may be writing: an unfinished last line is left out.

    A file that is not there has none.

    Raises:
        InputError: a line is not an event, or was written by a newer Orkester.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return ()
    return [_event(path, number, line) for number, line in enumerate(data[: _whole(data)].splitlines(), start=1)]


def _whole(data: bytes) -> int:
    """Length of what ends with a line's end."""
    return data.rfind(b"\n") + 1


def _event(path: Path, number: int, line: bytes) -> EngineEvent:
    try:
        content = json.loads(line)
        schema = content.pop("schema")
        if isinstance(schema, int) and schema > SCHEMA:
            raise InputError(
                f"{path}:{number}: written by a newer Orkester (schema {schema}, this one reads up to {SCHEMA}); "
                "upgrade"
            )
        return _adapter().validate_python(content)
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        what = str(error).replace("\n", " ")
        raise InputError(
            f"{path}:{number}: this is not what befell an engine ({what}); if the file was edited or damaged, remove "
            "the line: no result stands on it"
        ) from error


@cache
def _adapter() -> TypeAdapter[EngineEvent]:
    from pydantic import TypeAdapter

    return TypeAdapter(EngineEvent)


@dataclass(frozen=True, kw_only=True)
class EngineUse:
    """What befell the engine of one model in one configuration, all in all.

    Attributes:
        model: its name.
        options: the engine options that are searched, as it had them.
        starts, start_s: how often it was started, and seconds all of them took.
        sleeps, sleep_s: how often it was put to sleep.
        wakes, wake_s: how often it was woken.
        restarts: how often it woke with other answers than it had, and was started again.
        deaths: how often it died or did not answer any more.
        stops: how often it was stopped, at the study's end included.
        energy_j: joules of its starts, sleeps, wakes and stops, and of blocks that died with it; None when one was not
            measured.
        reasons: why it died, was started again or stopped, and how often.
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
    """Add events up, by model and options, in the order in which the engines first appeared."""
    grouped: dict[tuple[str, str], list[EngineEvent]] = {}
    for event in events:
        grouped.setdefault((event.model, json.dumps(dict(event.options), sort_keys=True)), []).append(event)
    return [_use(befell) for befell in grouped.values()]


def _use(befell: Sequence[EngineEvent]) -> EngineUse:
    count = Counter(event.kind for event in befell)
    seconds: defaultdict[str, float] = defaultdict(float)
    reasons: Counter[str] = Counter()
    for before, event in zip([None, *befell], befell, strict=False):
        seconds[event.kind] += event.seconds
        # One that woke as another is told of twice: that it is to be started again, and then that it was stopped.
        twice = before is not None and before.kind == "restarted" and before.reason == event.reason
        if event.reason and not twice:
            reasons[event.reason] += 1
    return EngineUse(
        model=befell[0].model,
        options=dict(befell[0].options),
        starts=count["started"],
        start_s=seconds["started"],
        sleeps=count["slept"],
        sleep_s=seconds["slept"],
        wakes=count["woken"],
        wake_s=seconds["woken"],
        restarts=count["restarted"],
        deaths=count["died"],
        stops=count["stopped"],
        energy_j=_joules(befell),
        reasons=dict(reasons),
    )


def _joules(befell: Sequence[EngineEvent]) -> float | None:
    spent = [event.energy_j for event in befell if event.kind != "died"]
    if any(one is None for one in spent):
        return None
    return sum(event.energy_j for event in befell if event.energy_j is not None)
