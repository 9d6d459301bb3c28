"""The calls, tokens, seconds and joules of each agent on each model, from a team's blocks."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from .block import Block, Call
from .counts import is_counted, sum_known


@dataclass(frozen=True, kw_only=True)
class AgentShare:
    """What one agent on one model used per example.

    Attributes:
        agent: The name of the role.
        model: The name of the model.
        calls: The number of model calls per example.
        input_tokens, output_tokens, cached_tokens: Tokens per example; None when the server did not count the tokens
            of even one answer.
        latency_p50_s: The median latency of the agent's calls, in seconds.
        energy_j: The joules of the agent's calls per example, without idle power where idle power is known. None when
            energy is unavailable.
        thought_tokens: Tokens of the thoughts per example, which are part of ``output_tokens``; None when they are not
            known for even one answer.
        thoughts_estimated: Whether some of ``thought_tokens`` are estimates from the share of the characters.
    """

    agent: str
    model: str
    calls: float
    input_tokens: float | None
    output_tokens: float | None
    cached_tokens: float | None
    latency_p50_s: float
    energy_j: float | None
    thought_tokens: float | None = None
    thoughts_estimated: bool = False


@dataclass(frozen=True, kw_only=True)
class AgentShares:
    """The shares of all agents of a team.

    The agents' joules, ``idle_j`` and ``residual_j`` add up to the blocks' total joules per example.

    Attributes:
        agents: One entry for each agent and model, in the order of their first calls.
        residual_j: Joules per example that belong to no agent: those of Orkester's own process, and those of an engine
            in a block where no tokens of its calls were counted. None when energy is unavailable.
        idle_j: Joules per example that idle engines would have used too. None when one block does not have this
            number; the idle joules of the other blocks are then part of ``residual_j``.
        method: How the joules were shared: ``affine``, ``tokens``, or both, separated by commas, where blocks differ.
            Empty when the joules were not shared.
    """

    agents: Sequence[AgentShare]
    residual_j: float | None
    idle_j: float | None = None
    method: str = ""


def agent_shares(blocks: Sequence[Block]) -> AgentShares:
    """Add up what each agent used.

    The joules of a call are those in its record (see ``Block.attribution``). Old records have no joules for calls. For
    these, the joules of the domain ``engine:MODEL`` are shared among the calls of that model in the same block, in
    proportion to their tokens. The shares explain where energy goes; no objective uses them.

    Args:
        blocks: The blocks of one team in one phase.

    Returns:
        The shares, per example.
    """
    count = sum(len(block.examples) for block in blocks)
    available = bool(blocks) and all(block.energy_j is not None for block in blocks)
    calls: dict[tuple[str, str], list[Call]] = defaultdict(list)
    joules: dict[tuple[str, str], float] = defaultdict(float)
    methods: set[str] = set()
    for block in blocks:
        block_calls = [call for example in block.examples for call in example.calls]
        for call in block_calls:
            calls[call.agent, call.model].append(call)
        if block.energy_j is None:
            continue
        # When the block has its idle joules as a number of their own, they must not be shared by tokens as well.
        has_idle = block.energy_idle_j is not None
        attributed = block.attribution or has_idle or any(call.energy_j is not None for call in block_calls)
        methods.add((block.attribution or "not said") if attributed else "tokens")
        for key, energy in _by_record(block_calls) if attributed else _by_tokens(block_calls, block.energy_j):
            joules[key] += energy
    total = sum(_total(block) for block in blocks if block.energy_j is not None)
    idle = _idle(blocks) if available else None
    agents = [
        AgentShare(
            agent=agent,
            model=model,
            calls=len(agent_calls) / count,
            input_tokens=_per_example(agent_calls, lambda call: call.input_tokens, count),
            output_tokens=_per_example(agent_calls, lambda call: call.output_tokens, count),
            cached_tokens=_per_example(agent_calls, lambda call: call.cached_tokens, count),
            latency_p50_s=statistics.median([call.latency_s for call in agent_calls]),
            energy_j=joules[agent, model] / count if available else None,
            thought_tokens=_per_example(agent_calls, lambda call: call.thought_tokens, count),
            thoughts_estimated=any(call.thought_estimated for call in agent_calls),
        )
        for (agent, model), agent_calls in calls.items()
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
    """Joules of idle power in all blocks. None when one block does not have them: the sum would be too small."""
    known = [block.energy_idle_j for block in blocks if block.energy_idle_j is not None]
    return sum(known) if len(known) == len(blocks) else None


def _total(block: Block) -> float:
    return sum((block.energy_j or {}).values())


def _weight(call: Call) -> int:
    return max(0, (call.input_tokens or 0) - (call.cached_tokens or 0)) + (call.output_tokens or 0)


def _per_example(calls: Sequence[Call], count: Callable[[Call], int | None], examples: int) -> float | None:
    return sum_known([count(call) for call in calls]) / examples if is_counted(calls, count) else None
