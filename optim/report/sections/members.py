"""Each front member in detail: its agents, its graph, and one example of its work."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from orkester.evals.objectives import Objective, objectives
from orkester.evals.objectives.energy import ENERGY
from orkester.evals.objectives.latency import MEDIAN
from orkester.evals.records.agent_shares import AgentShare
from orkester.evals.records.block import Block, Call
from orkester.optim.run.results import TeamResult

from .._drawing import draw
from .._joules import marks, shared_how
from .._material import Material
from .._numbers import number
from .._section import Section
from .._waterfall import has_parts, typical, waterfall


def member(result: TeamResult, searched: Sequence[Block]) -> dict[str, Any]:
    """For the template.

    Args:
        result: of a team that was measured.
        searched: its blocks of the search.
    """
    example = typical(searched)
    return {
        "columns": [share.agent for share in result.agents],
        "agents": _table(result, searched),
        "marks": marks(result),
        "drawing": Markup(draw(result.team, result.agents)),
        "waterfall": Markup(waterfall(example)) if example is not None else "",
        "example": example.id if example is not None else "",
        "parts": example is not None and has_parts(example),
    }


def _table(result: TeamResult, searched: Sequence[Block]) -> list[dict[str, Any]]:
    """A row for each quantity per example. It has a cell for each agent, and one for the whole team at the end."""
    agents = result.agents
    estimates = result.search.estimates if result.search is not None else {}
    of_agents = [(each, part) for each in objectives().values() if (part := each.of_agent) is not None]
    method = result.search.energy_method if result.search is not None else "unavailable"
    cached = [share.cached_tokens for share in agents if share.cached_tokens is not None]

    def team(of: Objective) -> str:
        return number(estimates[of.name].value if of.name in estimates else None)

    rows = [
        ("model", [share.model for share in agents], ""),
        *((each.label, [number(part(share)) for share in agents], team(each)) for each, part in of_agents),
        *_thoughts(agents),
        ("cached tokens", [number(share.cached_tokens) for share in agents], number(sum(cached) if cached else None)),
        ("p50 of a call [s]", [number(share.latency_p50_s) for share in agents], ""),
        *_latency_parts(result.agents, searched),
        ("p50 of an example [s]", [""] * len(agents), team(MEDIAN)),
        (f"energy [J, {method}]", [number(share.energy_j) for share in agents], team(ENERGY)),
        *([("… of it idle", [""] * len(agents), number(result.idle_j))] if result.idle_j is not None else []),
        ("… of no agent", [""] * len(agents), number(result.residual_j)),
    ]
    return [{"label": label, "cells": [*cells, whole]} for label, cells, whole in rows]


def _thoughts(agents: Sequence[AgentShare]) -> list[tuple[str, list[str], str]]:
    """A row for the tokens of thoughts, which are part of the output tokens; none where no agent has thoughts."""
    known = [share.thought_tokens for share in agents if share.thought_tokens is not None]
    if not any(known):
        return []
    label = "thought tokens" + (" (estimated)" if any(share.thoughts_estimated for share in agents) else "")
    return [(label, [number(share.thought_tokens) for share in agents], number(sum(known)))]


def _latency_parts(agents: Sequence[AgentShare], searched: Sequence[Block]) -> list[tuple[str, list[str], str]]:
    """A row for each part of a call's latency that servers report: the medians over the agent's calls."""
    calls = [call for block in searched for example in block.examples for call in example.calls]
    kinds = (
        ("… in the engine's queue", "queue_s"),
        ("… to the first token", "ttft_s"),
        ("… for the tokens after it", "decode_s"),
    )
    rows = [(label, [_median(calls, agent, part) for agent in agents]) for label, part in kinds]
    return [
        (label, [number(value) for value in values], "") for label, values in rows if any(v is not None for v in values)
    ]


def _median(calls: Sequence[Call], agent: AgentShare, part: str) -> float | None:
    own = [call for call in calls if (call.agent, call.model) == (agent.agent, agent.model)]
    values = [value for call in own if (value := getattr(call, part)) is not None]
    return statistics.median(values) if values else None


def _content(material: Material) -> dict[str, Any] | None:
    if not material.results.front:
        return None
    of_team: dict[str, list[Block]] = {}
    for block in material.blocks:
        if block.phase == "search":
            of_team.setdefault(block.team, []).append(block)
    return {
        "members": [
            {
                "number": i,
                "id": result.team.id,
                "team": str(result.team),
                "trial": result.trial,
                **member(result, of_team.get(result.team.id, [])),
            }
            for i, result in enumerate(material.results.front, start=1)
        ],
        "shared_how": shared_how(material.results),
    }


SECTION = Section(key="members", label="Members", content=_content)
