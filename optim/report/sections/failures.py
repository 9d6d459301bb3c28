"""The failures of the run, and their reasons."""

from __future__ import annotations

from typing import Any

from orkester.optim.run.results import Results, TeamResult
from orkester.serving.server_words import same_cause

from .._material import Material
from .._section import Section

#: The most entries in the list.
MOST_FAILURES = 100
#: The most rows in the table of causes.
MOST_CAUSES = 20


def failures(results: Results) -> tuple[list[dict[str, Any]], int]:
    """List the infeasible teams, and the failed examples of other teams by phase and kind.

    Of many, those come first of which something failed: what breaks a limit has worked all the same.
    """
    found = [result for result in results.teams if result.infeasible or _failed(result)]
    if len(found) > MOST_FAILURES:
        found.sort(key=lambda result: result.search is not None and not _failed(result))
    return [_failure(result) for result in found[:MOST_FAILURES]], max(0, len(found) - MOST_FAILURES)


def causes(results: Results) -> list[dict[str, Any]]:
    """Count the failed examples of the run by cause, the most frequent first.

    Causes that differ only in numbers and ids are one, with the words of the first.

    Args:
        results: The results of the run.

    Returns:
        For each cause its words, the number of failed examples and the number of teams with such failures.
    """
    rows: dict[str, dict[str, Any]] = {}
    for result in results.teams:
        seen: set[str] = set()
        for measurement in (result.search, result.confirmed):
            for cause, count in (measurement.failures if measurement is not None else {}).items():
                key = same_cause(cause)
                row = rows.setdefault(key, {"cause": cause, "examples": 0, "teams": 0})
                row["examples"] += count
                row["teams"] += key not in seen
                seen.add(key)
    return sorted(rows.values(), key=lambda row: -row["examples"])


def _failed(result: TeamResult) -> bool:
    return any(phase is not None and phase.failures for phase in (result.search, result.confirmed))


def _failure(result: TeamResult) -> dict[str, Any]:
    phases = []
    for phase, measurement in (("search", result.search), ("confirmation", result.confirmed)):
        if measurement is not None and measurement.failures:
            kinds = ", ".join(f"{count} × {cause}" for cause, count in measurement.failures.items())
            failed = f"{sum(measurement.failures.values())} of {measurement.examples} examples of the {phase} failed"
            phases.append(failed if kinds in result.infeasible else f"{failed}: {kinds}")
    return {"team": str(result.team), "reason": result.infeasible, "phases": "; ".join(phases)}


def _content(material: Material) -> dict[str, Any]:
    found, left_out = failures(material.results)
    by_cause = causes(material.results)
    return {
        "causes": by_cause[:MOST_CAUSES],
        "more_causes": max(0, len(by_cause) - MOST_CAUSES),
        "failures": found,
        "left_out": left_out,
        "constraints": dict(material.results.constraints),
    }


SECTION = Section(key="failures", label="Failures", content=_content)
