"""A block: the record of a few examples that one team answered."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from orkester.serving.chat import Thought

#: The search chooses teams. Confirmation measures the chosen teams again, on held-out examples with fresh samples.
Phase: TypeAlias = Literal["search", "confirm"]
#: The names of energy domains begin with this word when their joules belong to calls that were made before.
REUSED: Final = "reused"
#: The state of the engines' prefix caches before a team was measured; empty when it is not known.
PrefixCache: TypeAlias = Literal["", "cold", "kept", "warm"]


@dataclass(frozen=True, kw_only=True, slots=True)  # a long study has a million of them
class Call:
    """One model call of one agent.

    Attributes:
        agent: The name of the role.
        model: The name of the model in the study.
        sample: The number of the draw, among several draws with the same prompt.
        start_s: Seconds from the submission of the example to the start of the call.
        latency_s: Seconds from the start to the whole answer, including the time between retries.
        input_tokens, output_tokens, cached_tokens: Token counts of the server; None when the server did not count.
        attempts: The number of tries; 1 when the first one succeeded.
        failure: The kind of failure (``http 400``, ``timeout``, …); None when the call succeeded.
        failure_message: The server's words about the failure, at most a few hundred characters, without secrets; None
            when the call succeeded or the server said nothing.
        queue_s, ttft_s, decode_s: Parts of ``latency_s`` as the server timed them; see ``Reply``. None when the server
            did not time them.
        energy_j: The call's share of the block's joules; see ``Block.attribution``. None when there are no joules.
        span_id: The id of the call's span in the trace, 16 hexadecimal digits; None when nothing was traced.
        key: The identity of the call: calls with the same key are the same call; see ``calls.Keys``. None when it is
            not known, and in confirmation, where nothing is reused.
        text: The reply, with its thought. It is kept only in the search, and only for the call that was made, not for
            its reuses.
        finish_reason: The reason that the server gave for the end of the reply; None when it gave none. Records before
            schema 5 have it only in the search.
        reused: Whether the call was answered from the run's call store. Times, tokens and joules, but not ``start_s``,
            are then those of the call that was made first.
        thought: Whether the reply begins with a thought, and whether an answer follows it; see ``Reply``.
        thought_tokens: The tokens of the thought, which are part of ``output_tokens``; 0 without a thought, None when
            not known, as in records before schema 5.
        thought_estimated: Whether ``thought_tokens`` is an estimate.
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
    thought: Thought = ""
    thought_tokens: int | None = None
    thought_estimated: bool = False
    failure_message: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ExampleResult:
    """One example, answered or failed.

    Attributes:
        id: The id of the example in the data.
        answer: The answer of the team; None when the example failed.
        score: 0 to 1; 0 when the example failed.
        latency_s: Seconds from submission to answer; the deadline when the example failed.
        failure: The kind of failure; None when there is an answer.
        failure_message: What the server, or the graph, said about the failure; None when there is nothing.
        calls: All model calls for the example, in the order of their start.
        trace_id: The id of the example's trace, 32 hexadecimal digits; None when nothing was traced.
        composed: Whether some of the calls were reused. Then ``latency_s`` was not measured: it is how long the team's
            graph takes when each call takes as long as when it was made; see ``replay``.
        score_detail: How the score came about, by a ``DeferredScorer``; None from other scorers.
    """

    id: str
    answer: str | None
    score: float
    latency_s: float
    failure: str | None = None
    calls: tuple[Call, ...] = ()
    trace_id: str | None = None
    composed: bool = False
    failure_message: str | None = None
    score_detail: Mapping[str, Any] | None = None

    @property
    def energy_j(self) -> float | None:
        """The joules of all its calls; None when it has no calls, or when the joules of a call are not known."""
        joules = [call.energy_j for call in self.calls if call.energy_j is not None]
        return math.fsum(joules) if joules and len(joules) == len(self.calls) else None


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoringCost:
    """What a ``DeferredScorer`` has cost for a block, after its window. No team pays for it.

    Attributes:
        wall_s: Seconds.
        scored: The number of answers that were scored now.
        known: The number of answers whose scores were known from earlier blocks.
        calls: Requests that were sent to models, including retries.
        input_tokens, output_tokens: The sums of the token counts of the server; None when it did not count them all.
        energy_j: Joules, all domains; None when unavailable.
    """

    wall_s: float
    scored: int
    known: int
    calls: int = 0
    input_tokens: int | None = 0
    output_tokens: int | None = 0
    energy_j: float | None = None


@dataclass(frozen=True, kw_only=True)
class Block:
    """A few examples run by one team inside one exclusive measurement window.

    Attributes:
        team: The id of the team.
        topology, knobs: The team's topology and knobs.
        phase: ``search`` or ``confirm``.
        index: The number of the block within team and phase, from 0 on. Team, phase and index name the block.
        trial: The number of the trial that asked for the block; None in confirmation.
        started_at: The start of the window, UTC, ISO 8601.
        wall_s: The length of the window in seconds; 0 when every call was reused, since then nothing was run.
        concurrency: How many examples were answered at the same time.
        seed: The seed that the seeds of the calls derive from.
        energy_j: Joules in the window by domain; None when unavailable. The joules of the domains ``reused`` and
            ``reused:overhead`` were not used in this window; see ``reuse``.
        energy_method: The label of the meter; ``unavailable`` when there was none.
        energy_assumptions: The assumptions behind the joules.
        energy_error_j: How far the meter may be off in a window like this, in either direction.
        energy_idle_j: The part of the joules that the devices would have used with the same engines idle. None where
            idle power is not known, or where the joules do not contain it.
        energy_unattributed_j: The part of the joules that no call accounts for; None when there are no joules.
        energy_marks: Why the joules must be taken with care, or why there are none; empty when nothing is wrong.
        energy_gauges: Temperatures, clocks and watts in the window, as ``mean``, ``low`` and ``high``.
        attribution: How the joules were shared among calls: ``affine`` (calibrated) or ``tokens``; empty when they were
            not.
        examples: The results in the order of the data.
        engines: The facts of each engine that served the block, by model name.
        reruns: How often the block was started before, because an engine was lost.
        engine_options: The team's values of the engine options that the study searches.
        engine_metrics: How busy each engine was, by model name; see ``EngineSampler.summary``.
        prefix_cache: The state of the engines' prefix caches before the team was measured: ``cold`` when all were
            emptied, ``kept`` when one could not be emptied, ``warm`` when they were left on purpose. Empty when it is
            not known.
        composed_wall_s: How long the window would have been if every call had been made; None when none was reused.
        scoring: What scoring has cost after the window, when a ``DeferredScorer`` scores; None from other scorers.
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
    scoring: ScoringCost | None = None

    @property
    def reused_calls(self) -> int:
        """How many of the block's calls were answered from the run's call store."""
        return sum(call.reused for example in self.examples for call in example.calls)

    @property
    def charged_wall_s(self) -> float:
        """The seconds that count for the team, as if every call had been made. ``wall_s`` is the real length."""
        return self.wall_s if self.composed_wall_s is None else self.composed_wall_s

    @property
    def spent_j(self) -> float | None:
        """The joules that were used in this window; None when unavailable."""
        if self.energy_j is None:
            return None
        return sum(joules for domain, joules in self.energy_j.items() if domain.split(":")[0] != REUSED)
