"""A front member up close: its agents, its graph, one example of its work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from orkester.evals.block import Block

from ..results import TeamResult
from ._drawing import draw
from ._numbers import number
from ._waterfall import typical, waterfall


def member(result: TeamResult, searched: Sequence[Block]) -> dict[str, Any]:
    """For the template.

    Args:
        result: of a team that was measured.
        searched: its blocks of the search.
    """
    example = typical(searched)
    return {
        "columns": [share.agent for share in result.agents],
        "agents": _table(result),
        "drawing": Markup(draw(result.team, result.agents)),
        "waterfall": Markup(waterfall(example)) if example is not None else "",
        "example": example.id if example is not None else "",
    }


def _table(result: TeamResult) -> list[dict[str, Any]]:
    """A row for each quantity per example: a cell for each agent, the last one for the whole team."""
    agents = result.agents
    estimates = result.search.estimates if result.search is not None else {}
    method = result.search.energy_method if result.search is not None else "unavailable"
    cached = [share.cached_tokens for share in agents if share.cached_tokens is not None]

    def team(name: str) -> str:
        return number(estimates[name].value if name in estimates else None)

    rows = [
        ("model", [share.model for share in agents], ""),
        ("calls", [number(share.calls) for share in agents], team("calls")),
        ("input tokens", [number(share.input_tokens) for share in agents], team("input_tokens")),
        (
            "… of them cached",
            [number(share.cached_tokens) for share in agents],
            number(sum(cached) if cached else None),
        ),
        ("output tokens", [number(share.output_tokens) for share in agents], team("output_tokens")),
        ("p50 of a call [s]", [number(share.latency_p50_s) for share in agents], ""),
        ("p50 of an example [s]", [""] * len(agents), team("latency_p50_s")),
        (f"energy [J, {method}]", [number(share.energy_j) for share in agents], team("energy_j")),
        ("… of it no agent's", [""] * len(agents), number(result.residual_j)),
    ]
    return [{"label": label, "cells": [*cells, whole]} for label, cells, whole in rows]
