"""One thread that reads a meter all the time, so that any window is a slice of what it saw."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Mapping
from types import TracebackType

from ._base import Limits, Meter, Reading

#: Ten a second: as often as NVIDIA's energy counter moves, and often enough for every RAPL counter to be seen before it
#: wraps.
PERIOD_S = 0.1
#: Half an hour of them: 17 MB for an estimate of ten processes, 63 MB for eight GPUs (benchmarks/meter.py). A longer
#: window keeps the sum, which its ends give, and shares its joules evenly over what was forgotten.
KEEP = 18_000


class Sampler:
    """A meter that remembers: reads another one in a thread of its own. Enter it; before that, it reads when asked.

    Windows may overlap and belong to any task: they are slices, and nothing is started or stopped for one.

    Args:
        meter: read from one thread at a time; closed with the sampler.
        period_s: between readings.
        keep: readings remembered; older ones are forgotten, so that it never grows.
    """

    def __init__(self, meter: Meter, *, period_s: float = PERIOD_S, keep: int = KEEP) -> None:
        self._meter = meter
        self._period_s = period_s
        self._readings: deque[Reading] = deque(maxlen=keep)
        self._lock = threading.Lock()
        self._over = threading.Event()
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
        """The meter's."""
        return self._meter.method

    @property
    def assumptions(self) -> Mapping[str, object]:
        """The meter's."""
        return self._meter.assumptions

    @property
    def limits(self) -> Limits:
        """The meter's."""
        return self._meter.limits

    def watch(self, domain: str, pids: tuple[int, ...]) -> None:
        """See ``Meter.watch``."""
        with self._lock:
            self._meter.watch(domain, pids)

    def read(self) -> Reading | None:
        """Read now; the reading is remembered like the others."""
        with self._lock:
            reading = self._meter.read()
            if reading is not None:
                self._readings.append(reading)
            return reading

    def between(self, start: Reading, end: Reading) -> tuple[Reading, ...]:
        """Both readings, and those between them that are still remembered, in the order of time."""
        with self._lock:
            seen = tuple(self._readings)
        first = bisect_right(seen, start.time_s, key=_time_s)
        last = bisect_left(seen, end.time_s, key=_time_s)
        return (start, *seen[first:last], end)

    def close(self) -> None:
        """End the thread and close the meter; again is harmless."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if not self._closed:
            self._closed = True
            self._meter.close()

    def _run(self) -> None:
        due_s = time.monotonic()
        while not self._over.wait(max(0.0, due_s - time.monotonic())):
            self.read()
            # A machine that was busy is not asked twice as often afterwards.
            due_s = max(due_s + self._period_s, time.monotonic())


def _time_s(reading: Reading) -> float:
    return reading.time_s
