"""The choice of a team: the answers of ``orkester best`` to frequent wishes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orkester.evals.objectives.quality import QUALITY
from orkester.optim.insight.choosing import Choice, best
from orkester.optim.run.results import Results

from .._material import Material
from .._numbers import number, unit
from .._section import Section

#: The share of the best quality that one wish accepts: a small loss of quality often saves much.
_SHARE = 0.9


def choices(results: Results) -> list[dict[str, Any]]:
    """Choose a team for each wish.

    Returns:
        The chosen teams with the wishes that each is chosen for, in the order of the wishes.
    """
    numbers = {result.team.id: i for i, result in enumerate(results.front, start=1)}
    if not numbers:
        return []
    found: dict[str, dict[str, Any]] = {}
    for label, command, asked in _wishes(results):
        chosen = best(results, **asked)
        team = chosen.result.team
        entry = found.setdefault(
            team.id,
            {
                "id": team.id,
                "team": str(team),
                "number": numbers[team.id],
                "measured": _measured(results, chosen),
                "against": _against(chosen),
                "decided_by": "confirmed values" if chosen.phase == "confirm" else "values of the search",
                "wishes": [],
            },
        )
        entry["wishes"].append(
            {
                "label": label,
                "command": command,
                "why": chosen.why,
                "unclear": sorted(numbers[rival.team.id] for rival in chosen.unclear),
                "doubts": chosen.doubts,
            }
        )
    return list(found.values())


def _wishes(results: Results) -> list[tuple[str, str, dict[str, Any]]]:
    """The wishes: a label, the options of ``orkester best``, and the same options as arguments of ``best``."""
    objectives = results.objectives
    recommended: tuple[str, str, dict[str, Any]] = ("Recommended", "", {})
    if len(results.front) == 1:
        return [("Only member", "", {})]
    found = [recommended] if len(objectives) > 1 else []
    found += [(f"Best in {name}", f"--for {name}", {"best_in": name}) for name in objectives]
    if objectives.get(QUALITY.name) == "maximize":
        for name in (name for name, direction in objectives.items() if direction == "minimize"):
            found.append(
                (
                    f"{_SHARE:.0%} of the best {QUALITY.name} at least {name}".replace("%", " %"),
                    f"--keep {QUALITY.name}={_SHARE:.0%} --for {name}",
                    {"keep": {QUALITY.name: _SHARE}, "best_in": name},
                )
            )
    return found


def _measured(results: Results, chosen: Choice) -> str:
    written = ((name, chosen.values[name].value, unit(name, chosen.energy_method)) for name in results.objectives)
    return "; ".join(f"{name} {number(value)} {of}".rstrip() for name, value, of in written)


def _against(chosen: Choice) -> str:
    beside = chosen.against
    if beside is None:
        return ""
    if beside.single.team.id == chosen.result.team.id:
        return "the best single agent"
    return f"against the best single agent ({beside.single.team}): {_ratios(beside.ratios)}"


def _ratios(ratios: Mapping[str, float | None]) -> str:
    return ", ".join(f"{name} × {number(ratio)}" for name, ratio in ratios.items())


def _content(material: Material) -> dict[str, Any] | None:
    found = choices(material.results)
    return {"teams": found} if found else None


SECTION = Section(key="choices", label="Which one", content=_content)
