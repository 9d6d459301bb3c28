"""``orkester.open_run``: a run directory, read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from orkester.errors import InputError
from orkester.evals.records.block import Block
from orkester.evals.records.log import read_records
from orkester.evals.records.twins import under_one_name
from orkester.evals.summaries.baselines import baseline_of
from orkester.optim.goals.goal import Direction
from orkester.optim.insight.choosing import Choice, best
from orkester.optim.run.cut_answer_warnings import run_warnings
from orkester.optim.run.directory import RunDirectory
from orkester.optim.run.results import Results, results
from orkester.optim.run.scoring_notes import scoring_notes
from orkester.optim.study.parts import EnergyPart
from orkester.optim.study.study_of_run import load_plugins, space_of_run


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

    @property
    def cut_answers(self) -> Sequence[str]:
        """A line for each model of which many answers were cut off at a limit of tokens, with the remedy."""
        return run_warnings(self.results.teams, self.manifest)

    @property
    def scoring(self) -> Sequence[str]:
        """What a scorer that takes long has cost, and how far a judge can be trusted, a line each."""
        return scoring_notes(self.blocks)

    def best(self, **asked: Any) -> Choice:
        """Which team to take; see ``orkester.best``."""
        return best(self.results, **asked)

    def as_json(self) -> dict[str, Any]:
        """For ``orkester front --json``."""
        found = self.results
        groups = {result.team.id: number for number, group in enumerate(found.groups, 1) for result in group}
        return {
            "study": self.name,
            "objectives": dict(found.objectives),
            "constraints": dict(found.constraints),
            "teams_measured": len(found.teams),
            "teams": [{**result.as_json(found.objectives), "group": groups[result.team.id]} for result in found.front],
            "cut_answers": list(self.cut_answers),
            "scoring": list(self.scoring),
            "near": [result.as_json(found.objectives) for result in found.near],
            "baselines": [
                {"name": each.name, **{phase: asdict(each.estimate(phase)) for phase in each.scores}}
                for each in found.baselines
            ],
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
    if (space := space_of_run(manifest)) is not None:
        records = under_one_name(records, space.representative)
    asked = manifest["study"]
    objectives: Mapping[str, Direction] = asked["objectives"]
    footprint = EnergyPart.model_validate(asked.get("energy", {})).footprint
    found = results(
        records,
        objectives,
        asked["constraints"],
        manifest["sizes"],
        footprint=footprint,
        baselines=[baseline_of(each) for each in manifest.get("baselines", ())],
    )
    return Run(path=directory.path, name=str(manifest["name"]), manifest=manifest, results=found, blocks=records.blocks)
