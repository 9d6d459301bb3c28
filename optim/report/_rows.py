"""Teams in tables: each team has a row, each objective a cell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orkester.evals.objectives import objective
from orkester.evals.summaries.measurement import Measurement
from orkester.optim.run.results import Results, TeamResult

from ._numbers import interval, span


def row(result: TeamResult, results: Results) -> dict[str, Any]:
    """The row of a team, with its values from the search."""
    state = "front" if result.on_front else "infeasible" if result.infeasible else "" if result.whole else "unfinished"
    if not result.infeasible:
        state = result.stopped or (f"the same calls as {result.same_as}" if result.same_as else state)
    reused = result.search.reused_calls if result.search else 0
    return {
        "id": result.team.id,
        "team": str(result.team),
        "trial": result.trial,
        "cells": cells(result.search, results),
        "n": result.search.examples if result.search else 0,
        "state": state,
        "reused": f"{reused} of {result.search.calls} calls reused" if result.search and reused else "",
        "on_front": result.on_front,
        "infeasible": bool(result.infeasible),
    }


def cells(
    measurement: Measurement | None, results: Results, power: Mapping[str, Any] | None = None
) -> list[dict[str, str]]:
    """The cells of a row; joules and grams also have the range that the ``power`` model gives."""
    estimates = measurement.estimates if measurement is not None else {}
    found = []
    for name in results.objectives:
        cell = {**interval(estimates.get(name)), "power": ""}
        if power is not None and name in estimates and objective(name).scales_with_joules:
            cell["power"] = span(estimates[name].value * power["low"], estimates[name].value * power["high"])
        found.append(cell)
    return found
