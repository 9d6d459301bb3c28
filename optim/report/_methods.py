"""How the numbers were had and what they stand on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from orkester.evals.block import Block

from ._numbers import facts, number, span

#: In words, by what a block says.
_PREFIX_CACHE: Mapping[str, str] = {
    "cold": "emptied before each team's measurement, so that none profits from the prompts of those before it",
    "kept": "not emptied between teams: the engine cannot",
    "warm": "not emptied between teams, as the study asked for",
}


def joules(blocks: Sequence[Block]) -> str:
    """The label that every joule carries."""
    return ", ".join(sorted({block.energy_method for block in blocks})) or "unavailable"


def power_range(blocks: Sequence[Block]) -> dict[str, Any] | None:
    """What a power model's own range makes of a joule; None for a meter, or where blocks were had by different models.

    Returns:
        ``watts``, ``low_watts`` and ``high_watts``; what the last two make of a joule: ``low``, ``high``, ``factors``.
    """
    models = _assumptions(blocks)
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


def methods(asked: Mapping[str, Any], blocks: Sequence[Block]) -> dict[str, Any]:
    """Task and measurement as they were asked for, and the assumptions behind the joules."""
    measured, task = asked.get("measure", {}), asked.get("task", {})
    states = {block.prefix_cache for block in blocks}
    return {
        "block": measured.get("block"),
        "concurrency": measured.get("concurrency"),
        "deadline_s": measured.get("deadline_s"),
        "seed": asked.get("seed"),
        "search_examples": len({e.id for block in blocks if block.phase == "search" for e in block.examples}),
        "confirm_examples": len({e.id for block in blocks if block.phase == "confirm" for e in block.examples}),
        "data": task.get("data"),
        "data_sha256": (task.get("data_sha256") or "")[:12],
        "scorer": task.get("scorer"),
        "max_tokens": task.get("max_tokens"),
        "prefix_cache": "; ".join(words for state, words in _PREFIX_CACHE.items() if state in states),
        "energy": [facts(model) for model in _assumptions(blocks)],
    }


def engines(blocks: Sequence[Block]) -> dict[str, str]:
    """What the last block says of each model's engine."""
    found: dict[str, Mapping[str, object]] = {}
    for block in blocks:
        found.update(block.engines)
    return {model: facts(values) for model, values in sorted(found.items())}


def _assumptions(blocks: Sequence[Block]) -> list[Mapping[str, Any]]:
    """The different ones."""
    found: list[Mapping[str, Any]] = []
    for block in blocks:
        if block.energy_assumptions not in found:
            found.append(block.energy_assumptions)
    return sorted(found, key=lambda each: json.dumps(dict(each), sort_keys=True))
