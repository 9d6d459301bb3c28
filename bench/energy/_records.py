"""What a benchmark leaves behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Shot:
    """One window: a fixed number of requests in flight until its time was over, then the last ones awaited.

    Attributes:
        model, engine, batch: what was measured.
        round: 1, 2, …
        started_at: UTC, ISO 8601.
        seconds: from the first request to the last answer.
        full_s: part of them in which the whole batch was in flight.
        answered: requests with an answer.
        failures: of the others, by kind.
        input_tokens, output_tokens: of the answered; None when the engine did not count, be it once.
        cached_tokens: of the input tokens, read from a prefix cache; None when the engine did not say.
        successes: right answers; None where nobody says what is right.
        energy_j: joules by domain, of failed requests too; None when they cannot be had.
        energy_error_j: how far off the meter may be, either way.
        energy_s: seconds between the two readings that the joules are from; None when there are no joules.
        marks: what makes the numbers doubtful, for people.
        gauges: temperatures, clocks and watts, as ``mean``, ``low`` and ``high``.
    """

    model: str
    engine: str
    batch: int
    round: int
    started_at: str
    seconds: float
    full_s: float
    answered: int
    failures: Mapping[str, int]
    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    successes: int | None
    energy_j: Mapping[str, float] | None
    energy_error_j: float
    energy_s: float | None
    marks: tuple[str, ...] = ()
    gauges: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def total_j(self) -> float | None:
        """Of all domains; None when they cannot be had."""
        return None if self.energy_j is None else sum(self.energy_j.values())

    @property
    def failed(self) -> int:
        """Requests without an answer."""
        return sum(self.failures.values())


@dataclass(frozen=True, kw_only=True)
class Pairing:
    """A model on an engine.

    Attributes:
        model, engine: their names.
        energy_method: label of the joules.
        energy_assumptions: what they stand on, or why there are none.
        facts: the engine's.
        idle_w: watts by domain with the engine resident and nobody asking, before the windows; None where idle power is
            not in the joules, or could not be measured.
        start_s, start_j: what starting the engine took; None when not known. No window has them.
        warm_up_j: joules of all warm-ups; None when not known. No window has them.
        fault: why there are no more windows; empty when there are all.
    """

    model: str
    engine: str
    energy_method: str = "unavailable"
    energy_assumptions: Mapping[str, object] = field(default_factory=dict)
    facts: Mapping[str, object] = field(default_factory=dict)
    idle_w: Mapping[str, float] | None = None
    start_s: float | None = None
    start_j: float | None = None
    warm_up_j: float | None = None
    fault: str = ""

    @property
    def total_idle_w(self) -> float | None:
        """Of all domains; None when not known."""
        return None if self.idle_w is None else sum(self.idle_w.values())


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A benchmark, whole or as far as it came.

    Attributes:
        folder: with ``results.csv``, ``results.json`` and ``report.html``.
        made_at: UTC, ISO 8601, when it began.
        asked: the plan, without the prompts themselves.
        machine: facts.
        versions: of Orkester and what it stands on.
        pairings: models on engines, in the order asked for.
        shots: windows in the order in which they were measured.
    """

    folder: Path
    made_at: str
    asked: Mapping[str, object]
    machine: Mapping[str, object]
    versions: Mapping[str, str]
    pairings: tuple[Pairing, ...] = ()
    shots: tuple[Shot, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether all windows that were asked for are there."""
        return len(self.shots) == self.asked["windows"] and not any(each.fault for each in self.pairings)
