"""Who got which questions from the routers, beside single models and an oracle."""

from __future__ import annotations

from typing import Any

from orkester.optim.insight.routing_tables import RoutingRow, RoutingTable, routing_tables

from .._material import Material
from .._numbers import interval
from .._section import Section

_PHASES = {"search": "in the search", "confirm": "on held-out examples"}


def _content(material: Material) -> dict[str, Any] | None:
    results = material.results
    ranked = sorted(results.teams, key=lambda result: (not result.on_front, result.confirmed is None, result.trial))
    tables = routing_tables(material.blocks, [result.team for result in ranked if result.search is not None])
    return {"tables": [_table(table) for table in tables]} if tables else None


def _table(table: RoutingTable) -> dict[str, Any]:
    of = table.whole.questions
    shared = [table.shared] if table.shared is not None and table.shared.questions < of else []
    return {
        "team": str(table.team),
        "phase": _PHASES[table.phase],
        "models": [_row(row, of) for row in (*table.models, table.whole)],
        "others": [_row(row, row.questions) for row in (*table.others, *shared)],
        "saved": _saved(table),
    }


def _saved(table: RoutingTable) -> str:
    """How many joules the router saves against always asking the dearest model, in a sentence."""
    if table.saved_j is None:
        return ""
    known = interval(table.saved_j)
    saved = f"{known['value']} (95 % interval: {known['range']})" if table.saved_j.low is not None else known["value"]
    return f"Saved joules per question, compared with always {table.dearest}: {saved}."


def _row(row: RoutingRow, of: int) -> dict[str, Any]:
    return {
        "name": row.name,
        "questions": f"{row.questions:,}" + (f" ({100 * row.questions / of:.0f} %)" if row.questions < of else ""),
        "quality": {**interval(row.quality), "power": ""},
        "joules": {**interval(row.energy_j), "power": ""},
    }


SECTION = Section(key="routing", label="Routing", content=_content)
