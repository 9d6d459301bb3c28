"""What a run leaves for people: its report, and a file for each team of the front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orkester.evals.records.block import Block
from orkester.evals.records.log import BlockLog
from orkester.evals.summaries.baselines import baseline_of
from orkester.optim.run.directory import RunDirectory
from orkester.optim.run.engine_log import read_events, summary
from orkester.optim.run.results import Results, results
from orkester.optim.study.routing import records_of
from orkester.optim.study.study import Study

from .open_run import open_run
from .team_file import write_team


def report(path: str | Path, figures: Path | None = None) -> Path:
    """Write the report of a run again, from its records alone.

    Args:
        path: The run directory.
        figures: A folder for each figure as SVG and PDF; no such files if None.

    Returns:
        The path of the report.

    Raises:
        InputError: There is no run, or the folder for the figures cannot be written.
    """
    run = open_run(path)
    directory = RunDirectory(run.path)
    _write_report(directory, run.name, run.manifest, run.results, run.blocks, figures)
    return directory.report


def write_outcome(study: Study, directory: RunDirectory, log: BlockLog) -> None:
    """Write team files, of the front and of those that are likely on it, and the report."""
    file = study.file
    manifest = directory.manifest() or {}
    outcome = results(
        log.records(),
        file.objectives,
        file.constraints,
        study.sizes,
        footprint=file.energy.footprint,
        baselines=[baseline_of(each) for each in manifest.get("baselines", ())],
    )
    for old in directory.teams.glob("*.json") if directory.teams.exists() else ():
        old.unlink()
    sources = study.routing.sources
    blocks = {team.id: log.blocks(team.id, "search") for team in sources.values()}
    records = records_of(sources, blocks, study.search_examples)
    for result in [*outcome.front, *outcome.likely]:
        write_team(directory.teams / f"{result.team.id}.json", study, result, outcome, routing_records=records)
    _write_report(directory, study.name, manifest, outcome, log.all_blocks())


def _write_report(
    directory: RunDirectory,
    name: str,
    manifest: Mapping[str, Any],
    outcome: Results,
    blocks: Sequence[Block],
    figures: Path | None = None,
) -> None:
    from orkester.optim.report import write_report

    write_report(
        directory.report,
        name=name,
        results=outcome,
        manifest=manifest,
        blocks=blocks,
        engine_uses=summary(read_events(directory.engines)),
        now=datetime.now(UTC),
        figures=figures,
    )
