"""Who used what in a team's blocks: calls, tokens, seconds and joules of each agent on each model."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from .block import Block, Call
from .counts import is_counted, sum_known


@dataclass(frozen=True, kw_only=True)
class AgentShare:
    """What one agent on one model used, per example.

    Attributes:
        agent: the role's name.
        model: the model's name.
        calls: model calls.
        input_tokens, output_tokens, cached_tokens: None when the server did not count them, be it for one answer.
        latency_p50_s: median over its calls.
        energy_j: the joules of its calls, idle power apart where it is known; None when there are none.
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
    """All agents of a team; their joules, ``idle_j`` and ``residual_j`` add up to the blocks' total per example.

    Attributes:
        agents: in the order in which they first spoke.
        residual_j: joules per example that no agent accounts for: Orkester's own process, and engines none of whose
            calls in a block were counted. None when energy is unavailable.
        idle_j: joules per example that idle engines would have used too; None where one block does not know them, and
            then what the others know of is in ``residual_j``.
        method: how the joules were shared: ``affine``, ``tokens``, or both by commas where blocks differ; empty when
            they were not.
    """

    agents: Sequence[AgentShare]
    residual_j: float | None
    idle_j: float | None = None
    method: str = ""


def agent_shares(blocks: Sequence[Block]) -> AgentShares:
    """Who used what, in the blocks of one team in one phase.

    A call's joules are those in its record (see ``Block.attribution``). Records from before calls had any are shared by
    tokens: joules of the domain ``engine:MODEL`` among that model's calls of the same block. This explains where energy
    goes; it does not score.
    """
    count = sum(len(block.examples) for block in blocks)
    available = bool(blocks) and all(block.energy_j is not None for block in blocks)
    calls: dict[tuple[str, str], list[Call]] = defaultdict(list)
    joules: dict[tuple[str, str], float] = defaultdict(float)
    methods: set[str] = set()
    for block in blocks:
        made = [call for example in block.examples for call in example.calls]
        for call in made:
            calls[call.agent, call.model].append(call)
        if block.energy_j is None:
            continue
        # Where idle power is told apart, tokens must not share it out once more.
        apart = block.energy_idle_j is not None
        attributed = block.attribution or apart or any(call.energy_j is not None for call in made)
        methods.add((block.attribution or "not said") if attributed else "tokens")
        for key, energy in _by_record(made) if attributed else _by_tokens(made, block.energy_j):
            joules[key] += energy
    total = sum(_total(block) for block in blocks if block.energy_j is not None)
    idle = _idle(blocks) if available else None
    agents = [
        AgentShare(
            agent=agent,
            model=model,
            calls=len(made) / count,
            input_tokens=_per_example(made, lambda call: call.input_tokens, count),
            output_tokens=_per_example(made, lambda call: call.output_tokens, count),
            cached_tokens=_per_example(made, lambda call: call.cached_tokens, count),
            latency_p50_s=statistics.median([call.latency_s for call in made]),
            energy_j=joules[agent, model] / count if available else None,
        )
        for (agent, model), made in calls.items()
    ]
    return AgentShares(
        agents=agents,
        residual_j=(total - sum(joules.values()) - (idle or 0.0)) / count if available else None,
        idle_j=None if idle is None else idle / count,
        method=", ".join(sorted(methods)) if available else "",
    )


def _by_record(calls: Sequence[Call]) -> list[tuple[tuple[str, str], float]]:
    return [((call.agent, call.model), call.energy_j) for call in calls if call.energy_j is not None]


def _by_tokens(calls: Sequence[Call], domains: Mapping[str, float]) -> list[tuple[tuple[str, str], float]]:
    weights: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
    for call in calls:
        weights[call.model][call.agent, call.model] += _weight(call)
    return [
        (key, energy * weight / sharing.total())
        for domain, energy in domains.items()
        if domain.startswith("engine:") and (sharing := weights.get(domain.removeprefix("engine:"), Counter()))
        for key, weight in sharing.items()
        if sharing.total()
    ]


def _idle(blocks: Sequence[Block]) -> float | None:
    """Joules of idle power in all blocks; None unless every one knows them, since a sum of some is too small."""
    known = [block.energy_idle_j for block in blocks if block.energy_idle_j is not None]
    return sum(known) if len(known) == len(blocks) else None


def _total(block: Block) -> float:
    return sum((block.energy_j or {}).values())


def _weight(call: Call) -> int:
    return max(0, (call.input_tokens or 0) - (call.cached_tokens or 0)) + (call.output_tokens or 0)


def _per_example(calls: Sequence[Call], count: Callable[[Call], int | None], examples: int) -> float | None:
    return sum_known([count(call) for call in calls]) / examples if is_counted(calls, count) else None
