"""What one run of a few examples by one team leaves behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

#: Search chooses teams; confirmation measures the chosen again, on held-out examples and with fresh samples.
Phase: TypeAlias = Literal["search", "confirm"]
#: Begins the names of domains whose joules are those of calls that were made before.
REUSED: Final = "reused"
#: What became of engines' prefix caches before a team was measured; empty when not known.
PrefixCache: TypeAlias = Literal["", "cold", "kept", "warm"]


@dataclass(frozen=True, kw_only=True, slots=True)  # a long study has a million of them
class Call:
    """One model call of one agent.

    Attributes:
        agent: the role's name.
        model: the model's name in the study.
        sample: which of several draws with the same prompt.
        start_s: when it began, from the example's submission.
        latency_s: until the whole answer, waiting for retries included.
        input_tokens, output_tokens, cached_tokens: as the server counted; None when it did not say.
        attempts: 1 when the first try succeeded.
        failure: None, or the kind of failure (``http 400``, ``timeout``, …).
        queue_s, ttft_s, decode_s: parts of ``latency_s`` as the server timed them, see ``Reply``; None when it did not.
        energy_j: its share of the block's joules, see ``Block.attribution``; None when there are none.
        span_id: of its span in the trace, 16 hexadecimal digits; None when nothing was traced.
        key: what the call was, see ``calls.Keys``: calls with the same key are the same call; None when not known, and
            in confirmation, where nothing is reused.
        text: what was replied; kept in the search alone, and not of a call that was reused: the first has it.
        finish_reason: as the server gave it; None when it did not, or it was not kept.
        reused: whether it was answered from the run's call store. Its times, tokens and joules are those of the call
            that was made first, ``start_s`` apart.
    """

    agent: str
    model: str
    sample: int
    start_s: float
    latency_s: float
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    attempts: int = 1
    failure: str | None = None
    queue_s: float | None = None
    ttft_s: float | None = None
    decode_s: float | None = None
    energy_j: float | None = None
    span_id: str | None = None
    key: str | None = None
    text: str | None = None
    finish_reason: str | None = None
    reused: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class ExampleResult:
    """One example, answered or failed.

    Attributes:
        id: the example's id in the data.
        answer: the team's answer; None when it failed.
        score: 0 to 1; 0 when it failed.
        latency_s: from submission to answer; the deadline when it failed.
        failure: None, or the kind of failure.
        calls: every model call made for it, in order of their start.
        trace_id: of its trace, 32 hexadecimal digits; None when nothing was traced.
        composed: whether some of its calls were reused, so that ``latency_s`` was not measured: it is how long the
            team's graph takes when each call takes what it took when it was made, see ``replay``.
    """

    id: str
    answer: str | None
    score: float
    latency_s: float
    failure: str | None = None
    calls: tuple[Call, ...] = ()
    trace_id: str | None = None
    composed: bool = False


@dataclass(frozen=True, kw_only=True)
class Block:
    """A few examples run by one team inside one exclusive measurement window.

    Attributes:
        team: the team's id.
        topology, knobs: the team itself.
        phase: search or confirm.
        index: 0, 1, … within the team and phase; with ``team`` and ``phase`` it names the block.
        trial: number of the trial that asked for it; None in confirmation.
        started_at: UTC, ISO 8601.
        wall_s: length of the window; 0 when every call was reused, for then nothing was run.
        concurrency: examples under way at once.
        seed: what the calls' seeds were derived from.
        energy_j: joules in the window by domain; None when unavailable. The domains ``reused`` and ``reused:overhead``
            were not used in it, see ``reuse``.
        energy_method: the meter's label; ``unavailable`` when there was none.
        energy_assumptions: what the joules stand on.
        energy_error_j: how far off the meter may be in a window like this, either way.
        energy_idle_j: the part of the joules that the devices would have used with the same engines idle; None where
            idle power is not known, or not in the joules at all.
        energy_unattributed_j: the part that no call accounts for; None when there are no joules.
        energy_marks: why the joules are to be taken with care, or why there are none; empty when all is well.
        energy_gauges: temperatures, clocks and watts in the window, as ``mean``, ``low`` and ``high``.
        attribution: how calls got their share: ``affine`` (calibrated), ``tokens``; empty when they got none.
        examples: results in the order of the data.
        engines: facts of each engine that served it, by model name.
        reruns: how often it was started before, because an engine was lost.
        engine_options: the team's, of those that the study searches.
        engine_metrics: how busy each engine was, by model name; see ``EngineSampler.summary``.
        prefix_cache: what became of the engines' prefix caches before the team's measurement: ``cold`` when all were
            emptied, ``kept`` when one could not be, ``warm`` when they were left on purpose; empty when not known.
        composed_wall_s: how long the window would have been with every call made; None when none was reused.
    """

    team: str
    topology: str
    knobs: Mapping[str, int | float | str]
    phase: Phase
    index: int
    trial: int | None
    started_at: str
    wall_s: float
    concurrency: int
    seed: int
    energy_j: Mapping[str, float] | None
    energy_method: str
    energy_assumptions: Mapping[str, object]
    examples: tuple[ExampleResult, ...]
    engines: Mapping[str, Mapping[str, object]]
    reruns: int = 0
    engine_options: Mapping[str, bool | int | float | str | None] = field(default_factory=dict)
    engine_metrics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    prefix_cache: PrefixCache = ""
    energy_error_j: float = 0.0
    energy_idle_j: float | None = None
    energy_unattributed_j: float | None = None
    energy_marks: tuple[str, ...] = ()
    energy_gauges: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    attribution: str = ""
    composed_wall_s: float | None = None

    @property
    def reused_calls(self) -> int:
        """How many of its calls were answered from the run's call store."""
        return sum(call.reused for example in self.examples for call in example.calls)

    @property
    def charged_wall_s(self) -> float:
        """Seconds that the team is charged with, as though every call had been made. ``wall_s`` is what went by."""
        return self.wall_s if self.composed_wall_s is None else self.composed_wall_s

    @property
    def spent_j(self) -> float | None:
        """Joules that were really used: those of the window alone; None when unavailable."""
        if self.energy_j is None:
            return None
        return sum(joules for domain, joules in self.energy_j.items() if domain.split(":")[0] != REUSED)
