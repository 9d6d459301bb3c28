"""The records of a benchmark: its windows, its models on engines, and all of them together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class WindowRecord:
    """One window: a fixed number of requests run at the same time until its time is over, then the last ones end.

    Attributes:
        model, engine: The names of the model and the engine.
        batch: The number of requests at the same time.
        round: The number of the round, from 1.
        started_at: The start, UTC, ISO 8601.
        seconds: Seconds from the first request to the last answer.
        full_s: The part of these seconds in which the whole batch was running.
        answered: The number of requests with an answer.
        failures: The number of failed requests, by kind of failure.
        input_tokens, output_tokens: Tokens of the answered requests; None when the engine did not count the tokens of
            even one request.
        cached_tokens: The part of the input tokens that came from a prefix cache; None when it is not known.
        successes: The number of right answers; None when the right answers are not known.
        energy_j: Joules by domain, including those of failed requests; None when they are unavailable.
        energy_error_j: How far the meter may be off, in either direction.
        energy_s: Seconds between the two readings of the meter; None when there are no joules.
        marks: The reasons to doubt the numbers, as messages for the user.
        gauges: Temperatures, clocks and watts, as ``mean``, ``low`` and ``high``.
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
        """The joules of all domains; None when they are unavailable."""
        return None if self.energy_j is None else sum(self.energy_j.values())

    @property
    def failed(self) -> int:
        """The number of requests without an answer."""
        return sum(self.failures.values())


@dataclass(frozen=True, kw_only=True)
class Pairing:
    """A model on an engine.

    Attributes:
        model, engine: The names of the model and the engine.
        energy_method: The label of the meter.
        energy_assumptions: The assumptions behind the joules, or the reason why there are none.
        facts: The facts of the engine.
        idle_w: Watts by domain before the windows, with the engine resident but idle. None when the joules do not
            contain idle power, or when it could not be measured.
        start_s, start_j: Seconds and joules of the engine's start; None when not known. They are in no window.
        warm_up_j: Joules of all warm-ups; None when not known. They are in no window.
        fault: Why some windows are missing; empty when there are all windows.
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
        """The idle watts of all domains; None when they are not known."""
        return None if self.idle_w is None else sum(self.idle_w.values())


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """The results of a benchmark, which may be incomplete.

    Attributes:
        folder: The folder with ``results.csv``, ``results.json`` and ``report.html``.
        made_at: The start, UTC, ISO 8601.
        plan: The plan as plain data, without the prompts.
        machine: The facts of the machine.
        versions: The versions of Orkester and of important packages.
        pairings: The models on engines, in the order of the plan.
        windows: The windows, in the order in which they were measured.
    """

    folder: Path
    made_at: str
    plan: Mapping[str, object]
    machine: Mapping[str, object]
    versions: Mapping[str, str]
    pairings: tuple[Pairing, ...] = ()
    windows: tuple[WindowRecord, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether all windows of the plan were measured."""
        return len(self.windows) == self.plan["windows"] and not any(each.fault for each in self.pairings)
