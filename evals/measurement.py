"""What the blocks of one team add up to."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from orkester.errors import OrkesterError

from .block import Block, Call, ExampleResult, Phase
from .statistics import bootstrap_blocks, bootstrap_mean, bootstrap_quantile, wilson


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number with what it stands on.

    Attributes:
        value: the point estimate.
        low, high: ends of the 95 % interval; None where too little was seen for one.
        n: examples it stands on.
    """

    value: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One team in one phase.

    Attributes:
        team: the team's id.
        phase: search or confirm.
        examples: how many were run.
        blocks: in how many blocks.
        estimates: by objective name (see ``objectives.py``); an objective that could not be had is absent.
        energy_method: label of the joules; ``unavailable`` when there are none.
        failures: how many examples failed, by kind.
    """

    team: str
    phase: Phase
    examples: int
    blocks: int
    estimates: Mapping[str, Estimate]
    energy_method: str
    failures: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class AgentShare:
    """What one agent on one model used, per example.

    Attributes:
        agent: the role's name.
        model: the model's name.
        calls: model calls.
        input_tokens, output_tokens, cached_tokens: None when the server did not count them, be it for one answer.
        latency_p50_s: median over its calls.
        energy_j: its share of its engine's joules, by tokens (uncached prompt plus output); None when there are none.
    """

    agent: str
    model: str
    calls: float
    input_tokens: float | None
    output_tokens: float | None
    cached_tokens: float | None
    latency_p50_s: float
    energy_j: float | None


@dataclass(frozen=True, kw_only=True)
class AgentShares:
    """All agents of a team; their joules and ``residual_j`` add up to the blocks' total per example.

    Attributes:
        agents: in the order in which they first spoke.
        residual_j: joules per example that no agent accounts for: Orkester's own process, and engines none of whose
            calls in a block were counted. None when energy is unavailable.
    """

    agents: Sequence[AgentShare]
    residual_j: float | None


def measure(blocks: Sequence[Block]) -> Measurement:
    """Add up blocks of one team in one phase.

    Args:
        blocks: at least one.

    Raises:
        ValueError: no blocks, or of different teams or phases.
        OrkesterError: their joules were had by different methods.
    """
    if len({(block.team, block.phase) for block in blocks}) != 1:
        raise ValueError("a measurement is made of the blocks of one team in one phase, at least one")
    examples = [example for block in blocks for example in block.examples]
    failures = Counter(example.failure for example in examples if example.failure is not None)
    estimates = {
        "quality": _quality([example.score for example in examples]),
        **_latency([example.latency_s for example in examples]),
        **_tokens(examples),
        "calls": _mean([float(len(example.calls)) for example in examples]),
        "failure_rate": _share(failures.total(), len(examples)),
        **_energy(blocks),
    }
    return Measurement(
        team=blocks[0].team,
        phase=blocks[0].phase,
        examples=len(examples),
        blocks=len(blocks),
        estimates=estimates,
        energy_method=_method(blocks),
        failures=dict(failures),
    )


def agent_shares(blocks: Sequence[Block]) -> AgentShares:
    """Who used what, in the blocks of one team in one phase.

    Joules of the domain ``engine:MODEL`` are shared among that model's calls of the same block by tokens. This explains
    where energy goes; it does not score.
    """
    count = sum(len(block.examples) for block in blocks)
    calls: dict[tuple[str, str], list[Call]] = defaultdict(list)
    joules: dict[tuple[str, str], float] = defaultdict(float)
    total = 0.0
    available = bool(blocks) and all(block.energy_j is not None for block in blocks)
    for block in blocks:
        weights: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
        for example in block.examples:
            for call in example.calls:
                key = (call.agent, call.model)
                calls[key].append(call)
                weights[call.model][key] += _weight(call)
        for domain, energy in (block.energy_j or {}).items():
            total += energy
            model = domain.removeprefix("engine:")
            sharing = weights.get(model) if domain.startswith("engine:") else None
            whole = sharing.total() if sharing else 0
            for key, weight in sharing.items() if sharing and whole else ():
                joules[key] += energy * weight / whole
    agents = [
        AgentShare(
            agent=agent,
            model=model,
            calls=len(made) / count,
            input_tokens=_per_example(made, lambda call: call.input_tokens, count),
            output_tokens=_per_example(made, lambda call: call.output_tokens, count),
            cached_tokens=_per_example(made, lambda call: call.cached_tokens, count),
            latency_p50_s=_median([call.latency_s for call in made]),
            energy_j=joules[agent, model] / count if available else None,
        )
        for (agent, model), made in calls.items()
    ]
    residual = (total - sum(joules.values())) / count if available else None
    return AgentShares(agents=agents, residual_j=residual)


def _quality(scores: Sequence[float]) -> Estimate:
    if all(score in {0.0, 1.0} for score in scores):
        return _share(int(sum(scores)), len(scores))
    return _mean(scores)


def _share(successes: int, n: int) -> Estimate:
    low, high = wilson(successes, n)
    return Estimate(value=successes / n, low=low, high=high, n=n)


def _mean(values: Sequence[float]) -> Estimate:
    low, high = bootstrap_mean(values) or (None, None)
    return Estimate(value=sum(values) / len(values), low=low, high=high, n=len(values))


def _latency(values: Sequence[float]) -> dict[str, Estimate]:
    import numpy as np

    def quantile(q: float) -> Estimate:
        low, high = bootstrap_quantile(values, q) or (None, None)
        return Estimate(value=float(np.quantile(values, q)), low=low, high=high, n=len(values))

    return {"latency_p50_s": quantile(0.5), "latency_p95_s": quantile(0.95), "latency_mean_s": _mean(values)}


def _tokens(examples: Sequence[ExampleResult]) -> dict[str, Estimate]:
    found: dict[str, Estimate] = {}
    counters: dict[str, Callable[[Call], int | None]] = {
        "input_tokens": lambda call: call.input_tokens,
        "output_tokens": lambda call: call.output_tokens,
    }
    for name, count in counters.items():
        if _counted([call for example in examples for call in example.calls], count):
            found[name] = _mean([float(sum(count(call) or 0 for call in example.calls)) for example in examples])
    return found


def _counted(calls: Sequence[Call], count: Callable[[Call], int | None]) -> bool:
    """Whether there is a sum: one answer that was not counted would make it too small."""
    answered = [call for call in calls if call.failure is None]
    return bool(answered) and all(count(call) is not None for call in answered)


def _energy(blocks: Sequence[Block]) -> dict[str, Estimate]:
    totals = [sum(block.energy_j.values()) for block in blocks if block.energy_j is not None]
    if len(totals) < len(blocks):
        return {}
    counts = [len(block.examples) for block in blocks]
    low, high = bootstrap_blocks(totals, counts) or (None, None)
    n = sum(counts)
    found = {"energy_j": Estimate(value=sum(totals) / n, low=low, high=high, n=n)}
    successes = [sum(example.score > 0.5 for example in block.examples) for block in blocks]
    if any(successes):
        # Where a block has none, so may all blocks that are drawn, and the quotient has no upper end.
        low, high = (bootstrap_blocks(totals, successes) if all(successes) else None) or (None, None)
        found["energy_j_per_success"] = Estimate(value=sum(totals) / sum(successes), low=low, high=high, n=n)
    return found


def _method(blocks: Sequence[Block]) -> str:
    methods = sorted({block.energy_method for block in blocks})
    if len(methods) > 1:
        raise OrkesterError(
            f"the blocks of {blocks[0].team} have joules of different methods ({', '.join(methods)}), which must not "
            "be added up; start a new run directory on a machine with one meter"
        )
    return methods[0]


def _weight(call: Call) -> int:
    return max(0, (call.input_tokens or 0) - (call.cached_tokens or 0)) + (call.output_tokens or 0)


def _per_example(calls: Sequence[Call], count: Callable[[Call], int | None], examples: int) -> float | None:
    return sum(count(call) or 0 for call in calls) / examples if _counted(calls, count) else None


def _median(values: Sequence[float]) -> float:
    import statistics

    return statistics.median(values)
