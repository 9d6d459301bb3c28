"""The material of a report: the results, manifest and blocks of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from orkester.evals.objectives import objective
from orkester.evals.records.block import Block
from orkester.optim.insight.insights import Insights
from orkester.optim.run.cut_answer_warnings import run_warnings
from orkester.optim.run.engine_log import EngineUse
from orkester.optim.run.results import Results
from orkester.optim.run.scoring_notes import scoring_notes

from ._joules import joules, power_range
from ._numbers import duration, unit


@dataclass(frozen=True, kw_only=True)
class Material:
    """A run as the sections see it. ``write_report`` describes the attributes."""

    name: str
    results: Results
    manifest: Mapping[str, Any]
    insights: Insights
    blocks: Sequence[Block]
    engine_uses: Sequence[EngineUse]
    now: datetime

    @property
    def study(self) -> Mapping[str, Any]:
        """The study of the run as plain data; empty if the manifest has none."""
        study: Mapping[str, Any] = self.manifest.get("study", {})
        return study

    @cached_property
    def energy(self) -> str:
        """The label of all joules of the run."""
        return joules(self.blocks)

    @cached_property
    def power_range(self) -> dict[str, Any] | None:
        """See ``power_range``."""
        return power_range(self.blocks)

    @cached_property
    def cut_answers(self) -> Sequence[str]:
        """Warnings of answers that were cut off at a limit of tokens, a line each."""
        return run_warnings(self.results.teams, self.manifest)

    @cached_property
    def page(self) -> Mapping[str, Any]:
        """The values that the page and the templates of all sections can use."""
        return {
            "name": self.name,
            "written_at": self.now.strftime("%Y-%m-%d %H:%M UTC"),
            "objectives": [self._objective(name) for name in self.results.objectives],
            "counts": self._counts(),
            "energy": self.energy,
            "power_range": self.power_range,
            "cut_answers": self.cut_answers,
            "scoring": scoring_notes(self.blocks),
        }

    def _objective(self, name: str) -> dict[str, Any]:
        known = objective(name)
        return {
            "name": name,
            "unit": unit(name, self.energy),
            "joules": known.unit == "J",
            "of_joules": known.of_joules,
        }

    def _counts(self) -> dict[str, Any]:
        results, blocks = self.results, self.blocks
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
