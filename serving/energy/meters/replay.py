"""The replay meter, which plays back a recording of another time or another machine; tests measure with it."""

from __future__ import annotations

import csv
import hashlib
import io
import math
import time
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orkester.errors import InputError

from .._base import Limits, Reading
from .._request import MeterRequest

_TIME, _FAULTS, _FOREIGN, _GAUGE = "time_s", "faults", "foreign", "gauge:"


@dataclass(frozen=True, kw_only=True)
class _Row:
    time_s: float
    values: Mapping[str, float]
    faults: str
    foreign: str


class ReplayMeter:
    """Plays back a recording at its original speed. The playback begins when the meter is created.

    The file is CSV with the header ``time_s,DOMAIN,…``. ``time_s`` counts from the first row, and the column of a
    domain has its joules so far. Columns ``gauge:NAME`` have gauges, and the columns ``faults`` and ``foreign`` have
    texts. An empty cell is a number that was unavailable.

    Args:
        path: The path of the file.
        clock: The clock, in monotonic seconds.
        limits: The limits of the meter that was recorded; None for a refresh time equal to the longest time between two
            rows, and no other limits.

    Raises:
        InputError: The file cannot be used; the message names the line.
    """

    def __init__(
        self, path: Path, *, clock: Callable[[], float] = time.monotonic, limits: Limits | None = None
    ) -> None:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror}") from error
        self._columns, self._rows = _parse(path, content)
        self._times_s = [row.time_s for row in self._rows]
        longest_s = max(after - before for before, after in zip(self._times_s, self._times_s[1:], strict=False))
        self._limits = limits or Limits(refresh_s=longest_s)
        self._file = {"file": path.name, "sha256": hashlib.sha256(content).hexdigest()}
        self._clock = clock
        self._start_s = clock()
        self._rows_reported = 0
        self._closed = False

    @property
    def method(self) -> str:
        """The label ``replay``."""
        return "replay"

    @property
    def assumptions(self) -> Mapping[str, object]:
        """The recording and its domains."""
        domains = [name for name in self._columns if not name.startswith(_GAUGE)]
        return {
            "model": "joules played back from a recording; what runs now has no part in them",
            **self._file,
            "devices": dict.fromkeys(domains, "recorded"),
            "not_included": "what the recording does not hold",
        }

    @property
    def limits(self) -> Limits:
        """The limits of the recorded meter. Idle power in a recording is unknown."""
        return self._limits

    def watch(self, domain: str, pids: tuple[int, ...]) -> None:
        """Do nothing: a recording does not depend on the processes that run now."""

    def read(self) -> Reading | None:
        """Return the counters at this time of the recording.

        Returns:
            Values between two rows are interpolated linearly. None after the end of the recording, or after ``close``.
        """
        now_s = self._clock()
        at_s = now_s - self._start_s + self._times_s[0]
        if self._closed or not self._times_s[0] <= at_s <= self._times_s[-1]:
            return None
        rows_passed = bisect_right(self._times_s, at_s)
        row = self._rows[rows_passed - 1]
        values = dict(row.values)
        rows_used = rows_passed
        if at_s > row.time_s:
            rows_used, next_row = rows_passed + 1, self._rows[rows_passed]
            share = (at_s - row.time_s) / (next_row.time_s - row.time_s)
            values = {
                name: _between(value, next_row.values[name], share)
                for name, value in row.values.items()
                if name in next_row.values
            }
        faults = dict.fromkeys(each.faults for each in self._rows[self._rows_reported : rows_used] if each.faults)
        self._rows_reported = max(self._rows_reported, rows_passed)
        return Reading(
            time_s=now_s,
            energy_j={name: value for name, value in values.items() if not name.startswith(_GAUGE)},
            gauges={name.removeprefix(_GAUGE): value for name, value in values.items() if name.startswith(_GAUGE)},
            foreign=(row.foreign,) if row.foreign else (),
            faults=tuple(faults),
        )

    def close(self) -> None:
        """Stop the playback."""
        self._closed = True


def record(readings: Sequence[Reading], path: Path) -> None:
    """Write readings to a file for ``ReplayMeter``. Times count from the first reading.

    Args:
        readings: The readings in the order of time, at least two.
        path: The path of the file, which is overwritten.

    Raises:
        ValueError: There are fewer than two readings.
    """
    if len(readings) < 2:
        raise ValueError("a recording needs at least two readings")
    domains = list(dict.fromkeys(name for reading in readings for name in reading.energy_j))
    gauges = list(dict.fromkeys(name for reading in readings for name in reading.gauges))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([_TIME, *domains, *(_GAUGE + name for name in gauges), _FAULTS, _FOREIGN])
        for reading in readings:
            joules = [_cell(reading.energy_j.get(name)) for name in domains]
            others = [_cell(reading.gauges.get(name)) for name in gauges]
            texts = ["; ".join(reading.faults), "; ".join(reading.foreign)]
            writer.writerow([repr(float(reading.time_s - readings[0].time_s)), *joules, *others, *texts])


def _between(before: float, after: float, share: float) -> float:
    """Interpolate between two values, never beyond ``after``: a rounding error must not make a counter decrease."""
    value = before + (after - before) * share
    return min(value, after) if after >= before else max(value, after)


def _cell(value: float | None) -> str:
    return "" if value is None else repr(float(value))


def _parse(path: Path, content: bytes) -> tuple[list[str], list[_Row]]:
    try:
        lines = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        header = next(lines, [])
        columns = [name for name in header[1:] if name not in {_FAULTS, _FOREIGN}]
        if header[:1] != [_TIME] or not all(header) or len(set(header)) != len(header):
            raise InputError(
                f"{path}:1: expected a header {_TIME},DOMAIN,… with different names, got {','.join(header)!r}"
            )
        if not any(not name.startswith(_GAUGE) for name in columns):
            raise InputError(f"{path}:1: the file has no column with joules; add one, such as gpu:0")
        highest: dict[str, float] = {}
        rows = [_row(f"{path}:{lines.line_num}", header, cells, highest) for cells in lines if cells]
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InputError(f"{path}:{line}: the text is not UTF-8; save the recording as CSV in UTF-8") from error
    except csv.Error as error:
        raise InputError(f"{path}:{lines.line_num}: the line is not CSV ({error})") from error
    if len(rows) < 2:
        raise InputError(f"{path}: a recording needs at least two rows, but this one has {len(rows)}")
    return columns, rows


def _row(where: str, header: Sequence[str], cells: Sequence[str], highest: dict[str, float]) -> _Row:
    """Parse one line. ``highest`` has the last value of each counter, which must not decrease, and is updated."""
    if len(cells) != len(header):
        raise InputError(f"{where}: expected {len(header)} cells like the header, got {len(cells)}")
    named = dict(zip(header, cells, strict=True))
    texts = {name: named.pop(name, "") for name in (_FAULTS, _FOREIGN)}
    values = {name: _number(where, name, cell) for name, cell in named.items() if cell or name == _TIME}
    for name, value in values.items():
        if name.startswith(_GAUGE):
            continue
        if value < highest.get(name, 0.0):
            least = highest.get(name, 0.0)
            raise InputError(
                f"{where}: {name} is {value:g}, which is below {least:g}; it must be 0 or more and must never decrease"
            )
        highest[name] = value
    return _Row(time_s=values.pop(_TIME), values=values, faults=texts[_FAULTS], foreign=texts[_FOREIGN])


def _number(where: str, name: str, cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{where}: {name}: expected a number, got {cell!r}")
    return value


def meter(request: MeterRequest, *, path: str | Path) -> ReplayMeter:
    """Make the meter that plays back a recording.

    Args:
        request: The study's needs.
        path: The recording, a CSV file in the form that ``record`` writes.

    Returns:
        The meter.

    Raises:
        InputError: The recording cannot be read.
    """
    return ReplayMeter(request.folder / path, clock=request.clock)
