"""A run, opened: its results, its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orkester.errors import InputError
from orkester.evals.block import Block
from orkester.evals.records import BlockLog, read_records
from orkester.optim.goals.goal import Direction
from orkester.optim.insight.choosing import Choice, best
from orkester.optim.run.directory import RunDirectory
from orkester.optim.run.engine_log import read_events, summary
from orkester.optim.run.results import Results, results
from orkester.optim.study.parts import EnergyPart
from orkester.optim.study.plugins import load_plugins
from orkester.optim.study.study import Study

from .team_file import write_team


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run directory with what is in it.

    Attributes:
        path: the directory.
        name: of the study.
        manifest: what it was made for, versions, machine.
        results: teams and front.
        blocks: every block.
    """

    path: Path
    name: str
    manifest: Mapping[str, Any]
    results: Results
    blocks: Sequence[Block]

    @property
    def report(self) -> Path:
        """Where its report is, once written."""
        return RunDirectory(self.path).report

    def best(self, **asked: Any) -> Choice:
        """Which team to take; see ``orkester.best``."""
        return best(self.results, **asked)

    def as_json(self) -> dict[str, Any]:
        """For ``orkester front --json``."""
        found = self.results
        return {
            "study": self.name,
            "objectives": dict(found.objectives),
            "constraints": dict(found.constraints),
            "teams_measured": len(found.teams),
            "teams": [result.as_json(found.objectives) for result in found.front],
            "near": [result.as_json(found.objectives) for result in found.near],
        }


def open_run(path: str | Path) -> Run:
    """Read a run directory, finished or not; another process may be working on it.

    Raises:
        InputError: there is no run.
    """
    directory = RunDirectory(Path(path))
    manifest = directory.manifest()
    if manifest is None:
        raise InputError(f"{path}: there is no run here; orkester tune STUDY.yaml makes one")
    load_plugins(manifest)
    records = read_records(directory.blocks)
    asked = manifest["study"]
    objectives: Mapping[str, Direction] = asked["objectives"]
    footprint = EnergyPart.model_validate(asked.get("energy", {})).footprint
    found = results(records, objectives, asked["constraints"], manifest["sizes"], footprint=footprint)
    return Run(path=directory.path, name=str(manifest["name"]), manifest=manifest, results=found, blocks=records.blocks)


def report(path: str | Path) -> Path:
    """Write the report of a run again, from its records alone.

    Raises:
        InputError: there is no run.
    """
    run = open_run(path)
    directory = RunDirectory(run.path)
    _write_report(directory, run.name, run.manifest, run.results, run.blocks)
    return directory.report


def write_outcome(study: Study, directory: RunDirectory, log: BlockLog) -> None:
    """Write team files, of the front and of those that are likely on it, and the report."""
    file = study.file
    found = results(log.records(), file.objectives, file.constraints, study.sizes, footprint=file.energy.footprint)
    for old in directory.teams.glob("*.json") if directory.teams.exists() else ():
        old.unlink()
    for result in [*found.front, *found.likely]:
        write_team(directory.teams / f"{result.team.id}.json", study, result, found)
    _write_report(directory, study.name, directory.manifest() or {}, found, log.all_blocks())


def _write_report(
    directory: RunDirectory, name: str, manifest: Mapping[str, Any], found: Results, blocks: Sequence[Block]
) -> None:
    from orkester.optim.report import write_report

    write_report(
        directory.report,
        name=name,
        results=found,
        manifest=manifest,
        blocks=blocks,
        engine_uses=summary(read_events(directory.engines)),
        now=datetime.now(UTC),
    )
