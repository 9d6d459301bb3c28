"""The engines of the run: starts, sleeps and failures, and how busy they were."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orkester.evals.records.block import Block
from orkester.graphs import written
from orkester.optim.run.engine_log import EngineUse

from .._material import Material
from .._numbers import duration, number
from .._section import Section

_JOULES = "joules"


def engine_tables(uses: Sequence[EngineUse], blocks: Sequence[Block]) -> list[dict[str, Any]]:
    """Make tables with ``label``, ``heads``, ``rows`` and ``has_joules``; each engine has a row.

    An engine is a model with the options that are searched. A row has ``model``, ``options``, ``cells`` (what and,
    below it, more of it) and ``note``. A column that would be empty is left out, and so is a table without any.
    """
    return [table for table in (_lives(uses), _business(blocks)) if table["heads"]]


def ledger_total(uses: Sequence[EngineUse]) -> str:
    """The joules of all starts, sleeps, wakes and stops; empty if there are none, or if some were not measured."""
    known = [use.energy_j for use in uses if use.energy_j is not None]
    return number(sum(known)) if any(known) and len(known) == len(uses) else ""


def _lives(uses: Sequence[EngineUse]) -> dict[str, Any]:
    columns = [
        ("started", [_times(use.starts, use.start_s) for use in uses]),
        ("put to sleep", [_times(use.sleeps, use.sleep_s) for use in uses]),
        ("woken", [_times(use.wakes, use.wake_s) for use in uses]),
        ("woke wrong", [_times(use.restarts) for use in uses]),
        (_JOULES, [(number(use.energy_j), "") if use.energy_j else None for use in uses]),
        ("died", [_times(use.deaths) for use in uses]),
    ]
    notes = ["; ".join(f"{count} × {reason}" for reason, count in use.reasons.items()) for use in uses]
    return _table("How often engines were started", [(use.model, use.options) for use in uses], columns, notes)


def _times(count: int, seconds: float | None = None) -> tuple[str, str] | None:
    return (str(count), duration(seconds) if seconds is not None else "") if count else None


def _business(blocks: Sequence[Block]) -> dict[str, Any]:
    found: dict[str, tuple[str, Mapping[str, object], list[Mapping[str, float]]]] = {}
    for block in blocks:
        for model, said in block.engine_metrics.items():
            key = json.dumps([model, dict(block.engine_options)], sort_keys=True)
            found.setdefault(key, (model, block.engine_options, []))[2].append(said)
    rows = list(found.values())
    sums = [_Sum(said) for _, _, said in rows]
    columns = [
        ("running requests", [s.gauge("running") for s in sums]),
        ("waiting requests", [s.gauge("waiting") for s in sums]),
        ("KV cache in use", [s.gauge("kv_cache_usage", share=True) for s in sums]),
        ("preemptions", [s.count("preemptions") for s in sums]),
        ("prefix cache hits", [s.hits() for s in sums]),
    ]
    return _table("How busy engines were in blocks", [row[:2] for row in rows], columns, [s.note for s in sums])


@dataclass(frozen=True)
class _Sum:
    """The metrics of one engine, summed over several blocks."""

    said: Sequence[Mapping[str, float]]

    def gauge(self, name: str, *, share: bool = False) -> tuple[str, str] | None:
        """The mean over all samples, and the largest one."""
        of = [block for block in self.said if block.get("samples") and f"{name}_mean" in block]
        if not of:
            return None
        mean = sum(block[f"{name}_mean"] * block["samples"] for block in of) / sum(block["samples"] for block in of)
        shown = _percent if share else number
        return shown(mean), f"at most {shown(max(block[f'{name}_max'] for block in of))}"

    @property
    def note(self) -> str:
        samples = round(sum(block.get("samples", 0) for block in self.said))
        return f"{samples} samples in {len(self.said)} blocks"

    def count(self, name: str) -> tuple[str, str] | None:
        """The number of preemptions; empty for an engine that reports no metrics."""
        total = sum(block.get(name, 0) for block in self.said)
        known = any(name in block and block["samples"] for block in self.said)
        return (number(total), "") if total or known else None

    def hits(self) -> tuple[str, str] | None:
        """The share of looked-up tokens that were in the prefix cache; None if no token was looked up."""
        asked = sum(block.get("prefix_cache_queries", 0) for block in self.said)
        hits = sum(block.get("prefix_cache_hits", 0) for block in self.said)
        return (_percent(hits / asked), f"of {number(asked)} tokens") if asked else None


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _table(
    label: str,
    engines: Sequence[tuple[str, Mapping[str, object]]],
    columns: Sequence[tuple[str, Sequence[tuple[str, str] | None]]],
    notes: Sequence[str],
) -> dict[str, Any]:
    shown = [(head, cells) for head, cells in columns if any(cells)]
    return {
        "label": label,
        "heads": [head for head, _ in shown],
        "has_joules": any(head == _JOULES for head, _ in shown),
        "rows": [
            {
                "model": model,
                "options": written(options),
                "cells": [cells[i] or ("–", "") for _, cells in shown],
                "note": notes[i],
            }
            for i, (model, options) in enumerate(engines)
        ],
    }


def _content(material: Material) -> dict[str, Any] | None:
    tables = engine_tables(material.engine_uses, material.blocks)
    return {"tables": tables, "ledger_total": ledger_total(material.engine_uses)} if tables else None


SECTION = Section(key="engines", label="Engines", content=_content)
