"""A thread that reads a meter continuously, so that the readings of any window are a slice of its readings."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Mapping
from types import TracebackType

from ._base import Limits, Meter, Reading

#: The time between two readings. NVIDIA's energy counter moves ten times per second, and every RAPL counter is read
#: often enough to notice each wrap.
PERIOD_S = 0.1
#: The number of readings that are kept: half an hour. They need 17 MB for an estimate of ten processes, and 63 MB for
#: eight GPUs (benchmarks/meter.py). The total of a longer window is still exact, because it depends on the window's
#: ends only; within the part whose readings were dropped, the joules count as used evenly.
KEEP = 18_000


class Sampler:
    """A meter that reads another meter in its own thread and keeps the readings.

    The thread runs inside a ``with`` block. Outside it, the sampler only reads the meter when ``read`` is called.

    Windows may overlap and may belong to any task. A window is a slice of the readings, so nothing is started or
    stopped for it.

    Args:
        meter: The meter to read, from one thread at a time. It is closed with the sampler.
        period_s: The time between two readings.
        keep: The number of readings that are kept. Older readings are dropped, so that memory does not grow.
    """

    def __init__(self, meter: Meter, *, period_s: float = PERIOD_S, keep: int = KEEP) -> None:
        self._meter = meter
        self._period_s = period_s
        self._readings: deque[Reading] = deque(maxlen=keep)
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._closed = False

    def __enter__(self) -> Sampler:
        self._thread = threading.Thread(target=self._run, name="orkester-meter", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    @property
    def method(self) -> str:
        """The label of the meter that is read."""
        return self._meter.method

    @property
    def assumptions(self) -> Mapping[str, object]:
        """The assumptions of the meter that is read."""
        return self._meter.assumptions

    @property
    def limits(self) -> Limits:
        """The limits of the meter that is read."""
        return self._meter.limits

    def watch(self, domain: str, pids: tuple[int, ...]) -> None:
        """See ``Meter.watch``."""
        with self._lock:
            self._meter.watch(domain, pids)

    def read(self) -> Reading | None:
        """Read the meter now, and keep the reading like the others.

        Returns:
            The reading, or None when the counters cannot be read.
        """
        with self._lock:
            reading = self._meter.read()
            if reading is not None:
                self._readings.append(reading)
            return reading

    def between(self, start: Reading, end: Reading) -> tuple[Reading, ...]:
        """Return the readings of a window.

        Args:
            start: The first reading.
            end: The last reading.

        Returns:
            Both readings and all kept readings between them, in the order of time.
        """
        with self._lock:
            kept = tuple(self._readings)
        first = bisect_right(kept, start.time_s, key=_time_s)
        last = bisect_left(kept, end.time_s, key=_time_s)
        return (start, *kept[first:last], end)

    def close(self) -> None:
        """End the thread and close the meter. A second call does nothing."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if not self._closed:
            self._closed = True
            self._meter.close()

    def _run(self) -> None:
        due_s = time.monotonic()
        while not self._closing.wait(max(0.0, due_s - time.monotonic())):
            self.read()
            # Readings that were missed while the machine was busy are not made up for.
            due_s = max(due_s + self._period_s, time.monotonic())


def _time_s(reading: Reading) -> float:
    return reading.time_s
