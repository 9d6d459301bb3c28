"""How the numbers were measured, and the assumptions behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from orkester.evals.objectives import objectives
from orkester.evals.records.block import Block
from orkester.optim.study.parts import EnergyPart

from .._joules import assumptions, marks_of
from .._material import Material
from .._numbers import facts, number
from .._section import Section

#: In words, by what a block says.
_PREFIX_CACHE: Mapping[str, str] = {
    "cold": "emptied before each team's measurement, so that none profits from the prompts of those before it",
    "kept": "not emptied between teams: the engine cannot",
    "warm": "not emptied between teams, as the study asked for",
}


def methods(asked: Mapping[str, Any], blocks: Sequence[Block]) -> dict[str, Any]:
    """The task and the measurement from the study file, and the assumptions behind the joules."""
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
        "energy": [facts(model) for model in assumptions(blocks)],
    }


def engines(blocks: Sequence[Block]) -> dict[str, str]:
    """The facts of each model's engine, from the last block."""
    found: dict[str, Mapping[str, object]] = {}
    for block in blocks:
        found.update(block.engines)
    return {model: facts(values) for model, values in sorted(found.items())}


def carbon_and_cost(asked: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """The assumptions behind grams and euros, where they are among ``names``; ``asked`` is the study."""
    bases = {each.name: each.basis for each in objectives().values() if each.name in names and each.basis is not None}
    if not bases:
        return []
    try:
        footprint = EnergyPart.model_validate(asked.get("energy", {})).footprint
    except ValueError:  # of another version, which knew other regions or keys
        return ["the study's energy part cannot be read by this version"]
    return [f"{name}: {basis(footprint, number)}" for name, basis in bases.items()]


def _content(material: Material) -> dict[str, Any]:
    results, study = material.results, material.study
    return {
        **methods(study, material.blocks),
        "energy_marks": marks_of(material.blocks),
        "carbon_and_cost": carbon_and_cost(study, [*results.objectives, *results.constraints]),
        "engines": engines(material.blocks),
        "machine": facts(material.manifest.get("machine", {})),
        "versions": material.manifest.get("versions", {}),
        "asked": yaml.safe_dump(dict(study), sort_keys=False, allow_unicode=True),
    }


SECTION = Section(key="methods", label="Methods", content=_content)
