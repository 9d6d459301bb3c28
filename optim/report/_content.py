"""What the report says, as plain values for its template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import yaml
from markupsafe import Markup

from orkester.evals.block import Block
from orkester.evals.measurement import Measurement
from orkester.evals.objectives import objective
from orkester.optim.insight.insights import Insights
from orkester.optim.run.engine_log import EngineUse
from orkester.optim.run.results import Results, TeamResult
from orkester.optim.study.parts import EnergyPart

from . import _charts
from ._choices import choices
from ._confirmation import confirmation_section
from ._energy import carbon_and_cost, energy_section, marks_of, shared_how
from ._engines import engine_tables, ledger_total
from ._importance import importance_section, next_section
from ._members import member
from ._methods import engines, joules, methods, power_range
from ._numbers import duration, facts, interval, span, unit
from ._plot import library
from ._teams import failures, listed


def content(
    *,
    name: str,
    results: Results,
    manifest: Mapping[str, Any],
    insights: Insights,
    blocks: Sequence[Block],
    engine_uses: Sequence[EngineUse],
    now: datetime,
) -> dict[str, Any]:
    """Everything the template shows; see ``write_report`` for the arguments."""
    asked = manifest.get("study", {})
    energy = joules(blocks)
    front_charts = _charts.front_charts(results, energy) if results.front else []
    confirmation_charts = _charts.confirmation_charts(results, energy)
    spent = energy_section(results, blocks)
    importance = importance_section(insights) if results.front else None
    charts = [*front_charts, *confirmation_charts, *(spent["charts"] if spent is not None else ())]
    charts += importance["charts"] if importance is not None else []
    failed, failed_left_out = failures(results)
    return {
        "name": name,
        "written_at": now.strftime("%Y-%m-%d %H:%M UTC"),
        "plotly": Markup(library()),
        "colours": _charts.COLOURS,
        "objectives": [
            {
                "name": o,
                "unit": unit(o, energy),
                "joules": objective(o).unit == "J",
                "of_joules": objective(o).of_joules,
            }
            for o in results.objectives
        ],
        "directions": dict(results.objectives),
        "constraints": dict(results.constraints),
        "counts": _counts(results, blocks),
        "energy": energy,
        "power_range": power_range(blocks),
        "front": _members(results, blocks),
        "front_charts": front_charts,
        "drawn": _charts.drawn(results),
        "choices": choices(results),
        "confirmation_charts": confirmation_charts,
        "confirmation": confirmation_section(
            results,
            blocks,
            held_out=manifest.get("sizes", {}).get("confirm", 0),
            seed=asked.get("seed", 0),
            footprint=EnergyPart.model_validate(asked.get("energy", {})).footprint,
        ),
        "spent": spent,
        "shared_how": shared_how(results),
        "energy_marks": marks_of(blocks),
        "carbon_and_cost": carbon_and_cost(asked, [*results.objectives, *results.constraints]),
        "charts": {c.id: {"data": c.data, "layout": c.layout} for c in charts},
        "shapes": {topology: character for topology, (_, character) in _charts.shapes(results).items()},
        "importance": importance,
        "next": next_section(insights, results),
        "teams": [_row(result, results) for result in listed(results)],
        "failures": failed,
        "failures_left_out": failed_left_out,
        "methods": methods(asked, blocks),
        "engines": engines(blocks),
        "engine_tables": engine_tables(engine_uses, blocks),
        "ledger_total": ledger_total(engine_uses),
        "machine": facts(manifest.get("machine", {})),
        "versions": manifest.get("versions", {}),
        "asked": yaml.safe_dump(dict(asked), sort_keys=False, allow_unicode=True),
    }


def _members(results: Results, blocks: Sequence[Block]) -> list[dict[str, Any]]:
    of_team: dict[str, list[Block]] = {}
    for block in blocks:
        if block.phase == "search":
            of_team.setdefault(block.team, []).append(block)
    power = power_range(blocks)
    return [
        {
            "number": i,
            **_row(result, results),
            "cells": _cells(result.search, results, power),
            "confirmed": _cells(result.confirmed, results, power) if result.confirmed else None,
            "confirmed_n": result.confirmed.examples if result.confirmed else 0,
            "cut_short": bool(result.confirmed and not result.settled),
            **member(result, of_team.get(result.team.id, [])),
        }
        for i, result in enumerate(results.front, start=1)
    ]


def _cells(
    measurement: Measurement | None, results: Results, power: Mapping[str, Any] | None = None
) -> list[dict[str, str]]:
    """A cell for each objective; joules and grams also with what the range of the ``power`` model makes of them."""
    estimates = measurement.estimates if measurement is not None else {}
    cells = []
    for name in results.objectives:
        cell = {**interval(estimates.get(name)), "power": ""}
        if power is not None and name in estimates and objective(name).scales_with_joules:
            cell["power"] = span(estimates[name].value * power["low"], estimates[name].value * power["high"])
        cells.append(cell)
    return cells


def _row(result: TeamResult, results: Results) -> dict[str, Any]:
    state = "front" if result.on_front else "infeasible" if result.infeasible else "" if result.whole else "unfinished"
    if not result.infeasible:
        state = result.stopped or (f"the same calls as {result.same_as}" if result.same_as else state)
    reused = result.search.reused_calls if result.search else 0
    return {
        "id": result.team.id,
        "team": str(result.team),
        "trial": result.trial,
        "cells": _cells(result.search, results),
        "n": result.search.examples if result.search else 0,
        "state": state,
        "reused": f"{reused} of {result.search.calls} calls reused" if result.search and reused else "",
        "on_front": result.on_front,
        "infeasible": bool(result.infeasible),
    }


def _counts(results: Results, blocks: Sequence[Block]) -> dict[str, Any]:
    examples = [example for block in blocks for example in block.examples]
    return {
        "teams": len(results.teams),
        "front": len(results.front),
        "infeasible": sum(bool(result.infeasible) for result in results.teams),
        "examples": len(examples),
        "calls": sum(len(example.calls) for example in examples),
        "reused": sum(block.reused_calls for block in blocks),
        "stopped": sum(bool(result.stopped) for result in results.teams),
        "retries": sum(call.attempts - 1 for example in examples for call in example.calls if not call.reused),
        "reruns": sum(block.reruns for block in blocks),
        "measuring": duration(sum(block.wall_s for block in blocks)),
    }
