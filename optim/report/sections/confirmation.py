"""Confirmation: which teams are on the front after all, and by how much the search was too optimistic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orkester.evals.footprint import Footprint
from orkester.evals.objectives import objective
from orkester.evals.records.block import Block, Phase
from orkester.evals.stats.rows import Rows
from orkester.evals.summaries.rows import team_rows
from orkester.optim.confirm.probability_text import probability_text
from orkester.optim.confirm.winners_curse import MeanOptimism, Optimism, winners_curse
from orkester.optim.goals.front_probability import CLEAR
from orkester.optim.run.results import Results, TeamResult
from orkester.optim.study.parts import EnergyPart

from .._charts import confirmation_charts
from .._material import Material
from .._numbers import NOTHING, number
from .._section import Section


def confirmation_section(
    results: Results, blocks: Sequence[Block], *, held_out: int, seed: int, footprint: Footprint | None
) -> dict[str, Any] | None:
    """Make the values for the template.

    Args:
        results: The results of the run, with the probabilities of its teams.
        blocks: The blocks of the run.
        held_out: The number of examples held out for confirmation.
        seed: The seed of the study; the intervals of the winner's curse use it.
        footprint: The prices and emissions of joules.

    Returns:
        The values; None if no team was confirmed.
    """
    import numpy as np

    members = [result for result in results.front if result.front_probability is not None]
    if not members and not results.near:
        return None
    phases: dict[Phase, dict[str, list[Block]]] = {"search": {}, "confirm": {}}
    for block in blocks:
        phases[block.phase].setdefault(block.team, []).append(block)

    def curse(teams: Sequence[TeamResult]) -> tuple[Sequence[Optimism], Sequence[MeanOptimism]]:
        search, confirmed = (_rows(teams, phases[phase], footprint) for phase in ("search", "confirm"))
        return winners_curse(search, confirmed, results.objectives, np.random.default_rng(seed))

    of_members, means = curse(members)
    of_near, _ = curse(results.near)
    numbers = {result.team.id: i for i, result in enumerate(results.front, start=1)}
    open_ = [
        result
        for result in [*members, *results.near]
        if not result.settled or CLEAR[0] < (result.front_probability or 0.0) < CLEAR[1]
    ]
    return {
        "teams": [
            _row(result, results, of, held_out, numbers.get(result.team.id))
            for of, group in ((of_members, members), (of_near, results.near))
            for result in group
        ],
        "near": len(results.near),
        "unclear": len(open_),
        "used_up": all(result.confirmed is not None and result.confirmed.examples >= held_out for result in open_),
        "means": [_mean(each) for each in means] if len(members) > 1 else [],
        "members": len(members),
    }


def _rows(
    teams: Sequence[TeamResult], blocks: Mapping[str, Sequence[Block]], footprint: Footprint | None
) -> dict[str, Rows]:
    return {each.team.id: team_rows(blocks[each.team.id], footprint) for each in teams if each.team.id in blocks}


def _row(
    result: TeamResult, results: Results, optimism: Sequence[Optimism], held_out: int, number_: int | None
) -> dict[str, Any]:
    found = {each.objective: each for each in optimism if each.team == result.team.id}
    return {
        "number": number_,
        "id": result.team.id,
        "team": str(result.team),
        "chance": probability_text(result.front_probability),
        "n": result.confirmed.examples if result.confirmed is not None else 0,
        "of": held_out,
        "cells": [_cell(found.get(name)) for name in results.objectives],
    }


def _cell(optimism: Optimism | None) -> dict[str, str]:
    if optimism is None:
        return {"value": NOTHING, "range": "", "power": ""}
    least = 1e-9 * max(abs(optimism.search), abs(optimism.confirmed))

    def written(value: float) -> str:
        return _signed(value if abs(value) > least else 0.0)  # the draws have rounding errors

    ends = f"{written(optimism.low)} to {written(optimism.high)}"
    return {"value": written(optimism.optimism), "range": ends, "power": ""}


def _mean(mean: MeanOptimism) -> dict[str, str]:
    """Write a mean: shares in their own unit, other quantities in per cent of the confirmed value."""

    def written(value: float) -> str:
        if objective(mean.objective).share:
            return _signed(value if abs(value) > 1e-9 else 0.0)
        return f"{_signed(round(100 * value, 1))} %"

    return {"value": written(mean.optimism), "range": f"{written(mean.low)} to {written(mean.high)}", "power": ""}


def _signed(value: float) -> str:
    return f"{'−' if value < 0 else '+' if value > 0 else ''}{number(abs(value))}"


def _content(material: Material) -> dict[str, Any] | None:
    found = confirmation_section(
        material.results,
        material.blocks,
        held_out=material.manifest.get("sizes", {}).get("confirm", 0),
        seed=material.study.get("seed", 0),
        footprint=EnergyPart.model_validate(material.study.get("energy", {})).footprint,
    )
    return {**found, "charts": confirmation_charts(material.results, material.energy)} if found is not None else None


SECTION = Section(key="confirmation", label="Confirmation", content=_content)
