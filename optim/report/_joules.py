"""Texts about joules for all sections: method, assumptions and warnings."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from orkester.evals.records.block import Block
from orkester.evals.summaries.measurement import Measurement
from orkester.optim.run.results import Results, TeamResult

from ._numbers import number, span

#: By what blocks say: in a table's cell, and in a sentence on what an agent's joules are.
_HOW: Mapping[str, tuple[str, str]] = {
    "affine": ("calibrated (affine)", "by what its steps and tokens cost, as calibrated (affine)"),
    "tokens": ("by tokens", "by tokens (uncached prompt plus output)"),
    "not said": ("in a way that the records do not say", "as its records have it"),
}


def joules(blocks: Sequence[Block]) -> str:
    """The label of all joules of the run."""
    return ", ".join(sorted({block.energy_method for block in blocks})) or "unavailable"


def power_range(blocks: Sequence[Block]) -> dict[str, Any] | None:
    """The factors that the range of a power model gives; None for a meter, or if blocks used different power models.

    Returns:
        ``watts``, ``low_watts`` and ``high_watts``; what the last two make of a joule: ``low``, ``high``, ``factors``.
    """
    models = assumptions(blocks)
    names = ("active_w_per_core", "low_w_per_core", "high_w_per_core")
    if len(models) != 1 or not all(isinstance(models[0].get(name), (int, float)) for name in names):
        return None
    watts, low, high = (float(models[0][name]) for name in names)
    return {
        "watts": number(watts),
        "low_watts": number(low),
        "high_watts": number(high),
        "factors": span(low / watts, high / watts),
        "low": low / watts,
        "high": high / watts,
    }


def assumptions(blocks: Sequence[Block]) -> list[Mapping[str, Any]]:
    """The assumptions behind the joules of the blocks, without repetition."""
    found: list[Mapping[str, Any]] = []
    for block in blocks:
        if block.energy_assumptions not in found:
            found.append(block.energy_assumptions)
    return sorted(found, key=lambda each: json.dumps(dict(each), sort_keys=True))


def shared_how(results: Results) -> str:
    """Explain the joules of an agent of the front, in a sentence."""
    known = [result for result in results.front if result.residual_j is not None]
    ways = sorted({way for result in known for way in _ways(result.attribution)})
    if not ways:
        return "No agent's joules are known."
    how = ", or where that was not possible ".join(_HOW.get(way, (way, way))[1] for way in ways)
    return f"An agent's joules are its share of its engine's {how}: they explain, they do not score."


def how_attributed(attribution: str) -> str:
    """How the joules of a team were shared among its agents, in a few words; ``attribution`` is from the records."""
    return ", ".join(_HOW.get(way, (way, way))[0] for way in _ways(attribution))


def marks(result: TeamResult) -> list[str]:
    """Warnings about the joules of a team, with the number of blocks in the search and in confirmation."""
    return [*_marks(result.search), *(f"in confirmation: {mark}" for mark in _marks(result.confirmed))]


def marks_of(blocks: Sequence[Block]) -> list[str]:
    """Warnings about the joules of any blocks, also of blocks without joules and without a reason."""
    counts = Counter(mark for block in blocks for mark in dict.fromkeys(block.energy_marks))
    silent = sum(b.energy_j is None and b.energy_method != "unavailable" and not b.energy_marks for b in blocks)
    if silent:
        counts["no joules, and no reason recorded"] = silent
    return [f"{mark} ({count} of {_blocks(len(blocks))})" for mark, count in sorted(counts.items())]


def _marks(measurement: Measurement | None) -> list[str]:
    if measurement is None:
        return []
    return [f"{mark} ({count} of {_blocks(measurement.blocks)})" for mark, count in measurement.energy_marks.items()]


def _ways(attribution: str) -> list[str]:
    return [way for way in attribution.split(", ") if way]


def _blocks(count: int) -> str:
    return f"{count} block{'' if count == 1 else 's'}"
