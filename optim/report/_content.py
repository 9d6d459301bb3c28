"""What the report says, as plain values for its template."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from markupsafe import Markup

from orkester.evals.block import Block
from orkester.evals.measurement import Estimate, Measurement
from orkester.evals.objectives import OBJECTIVES

from ..results import Results, TeamResult
from . import _charts
from ._drawing import draw


def content(
    *,
    name: str,
    results: Results,
    manifest: Mapping[str, Any],
    importances: Mapping[str, Mapping[str, float]],
    blocks: Sequence[Block],
    now: datetime,
) -> dict[str, Any]:
    """Everything the template shows; see ``write_report`` for the arguments."""
    asked = manifest.get("study", {})
    methods = sorted({block.energy_method for block in blocks})
    return {
        "name": name,
        "written_at": now.strftime("%Y-%m-%d %H:%M UTC"),
        "plotly": Markup(_charts.library()),
        "objectives": [OBJECTIVES[objective] for objective in results.objectives],
        "directions": dict(results.objectives),
        "constraints": dict(results.constraints),
        "counts": _counts(results, blocks),
        "energy_label": ", ".join(methods),
        "front": [_member(result, results) for result in results.front],
        "front_charts": [Markup(chart) for chart in _charts.front_charts(results)],
        "confirmation_charts": [Markup(chart) for chart in _charts.confirmation_charts(results)],
        "importance_chart": Markup(_charts.importance_chart(importances)),
        "teams": [_row(result, results) for result in results.teams],
        "failures": _failures(results),
        "methods": _methods(asked, blocks),
        "engines": _engines(blocks),
        "machine": manifest.get("machine", {}),
        "versions": manifest.get("versions", {}),
    }


def number(value: float | None) -> str:
    """Three significant digits, no exponents where they would be shorter written out."""
    if value is None:
        return "–"
    if value != 0 and not 1e-4 <= abs(value) < 1e6:
        return f"{value:.2e}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _interval(estimate: Estimate | None) -> dict[str, str]:
    if estimate is None:
        return {"value": "–", "range": ""}
    if estimate.low is None or estimate.high is None:
        return {"value": number(estimate.value), "range": "no interval"}
    return {"value": number(estimate.value), "range": f"{number(estimate.low)} – {number(estimate.high)}"}


def _cells(measurement: Measurement | None, results: Results) -> list[dict[str, str]]:
    estimates = measurement.estimates if measurement is not None else {}
    return [_interval(estimates.get(name)) for name in results.objectives]


def _row(result: TeamResult, results: Results) -> dict[str, Any]:
    return {
        "id": result.team.id,
        "team": str(result.team),
        "trial": result.trial,
        "cells": _cells(result.search, results),
        "n": result.search.examples if result.search else 0,
        "state": "front" if result.on_front else "infeasible" if result.infeasible else "",
        "reason": result.infeasible,
    }


def _member(result: TeamResult, results: Results) -> dict[str, Any]:
    return {
        **_row(result, results),
        "confirmed": _cells(result.confirmed, results) if result.confirmed else None,
        "confirmed_n": result.confirmed.examples if result.confirmed else 0,
        "drawing": Markup(draw(result.team, result.agents)),
        "agents": [
            {
                "agent": share.agent,
                "model": share.model,
                "calls": number(share.calls),
                "input_tokens": number(share.input_tokens),
                "cached_tokens": number(share.cached_tokens),
                "output_tokens": number(share.output_tokens),
                "latency": number(share.latency_p50_s),
                "energy": number(share.energy_j),
            }
            for share in result.agents
        ],
        "residual": number(result.residual_j),
        "energy_method": result.search.energy_method if result.search else "unavailable",
    }


def _counts(results: Results, blocks: Sequence[Block]) -> dict[str, Any]:
    calls = [call for block in blocks for example in block.examples for call in example.calls]
    return {
        "teams": len(results.teams),
        "front": len(results.front),
        "infeasible": sum(bool(result.infeasible) for result in results.teams),
        "blocks": len(blocks),
        "examples": sum(len(block.examples) for block in blocks),
        "calls": len(calls),
        "retries": sum(call.attempts - 1 for call in calls),
        "reruns": sum(block.reruns for block in blocks),
        "minutes": sum(block.wall_s for block in blocks) / 60,
    }


def _failures(results: Results) -> list[dict[str, Any]]:
    """A line for every infeasible team; its failed examples by kind."""
    lines = []
    for result in results.teams:
        kinds: Counter[str] = Counter()
        for measurement in (result.search, result.confirmed):
            kinds.update(measurement.failures if measurement is not None else {})
        if result.infeasible or kinds:
            listed = ", ".join(f"{count} × {kind}" for kind, count in kinds.most_common())
            lines.append({"team": str(result.team), "reason": result.infeasible, "kinds": listed})
    return lines


def _methods(asked: Mapping[str, Any], blocks: Sequence[Block]) -> dict[str, Any]:
    measured = asked.get("measure", {})
    search = {example.id for block in blocks if block.phase == "search" for example in block.examples}
    held_out = {example.id for block in blocks if block.phase == "confirm" for example in block.examples}
    assumptions = {json.dumps(dict(block.energy_assumptions), sort_keys=True) for block in blocks}
    return {
        "block": measured.get("block"),
        "concurrency": measured.get("concurrency"),
        "deadline_s": measured.get("deadline_s"),
        "seed": asked.get("seed"),
        "search_examples": len(search),
        "confirm_examples": len(held_out),
        "data": asked.get("task", {}).get("data"),
        "data_sha256": (asked.get("task", {}).get("data_sha256") or "")[:12],
        "scorer": asked.get("task", {}).get("scorer"),
        "energy_assumptions": [json.loads(text) for text in sorted(assumptions)],
    }


def _engines(blocks: Sequence[Block]) -> dict[str, Mapping[str, object]]:
    """What the last block says of each model's engine."""
    found: dict[str, Mapping[str, object]] = {}
    for block in blocks:
        found.update(block.engines)
    return found
