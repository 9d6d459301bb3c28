"""A run that was made before twins were known, with one team measured under two names, is read and gone on with."""

import json
from pathlib import Path

import pytest
from support import write_study

import orkester
from orkester.graphs import Team

SEARCH = {"single": {"model": "any", "temperature": 0.7}, "vote": {"agents": [1, 2], "model": "any"}}


def twin_of(record: dict[str, object]) -> dict[str, object]:
    knobs = {**record["knobs"], "agents": 1}  # type: ignore[dict-item]
    return {**record, "team": Team("vote", knobs).id, "topology": "vote", "knobs": knobs}


@pytest.fixture
def old_run(quick_path: Path) -> tuple[Path, Path]:
    """A study and the directory of its run, in which every single agent was measured once more as a vote of one."""
    study = write_study(quick_path / "study", search=SEARCH, whole=True)
    directory = orkester.tune(study, quick_path / "run").path
    blocks = directory / "blocks.jsonl"
    records = [json.loads(line) for line in blocks.read_text().splitlines()]
    twins = [twin_of(record) for record in records if record.get("topology") == "single"]
    assert twins
    blocks.write_text("".join(json.dumps(record) + "\n" for record in (*records, *twins)))
    (directory / "optuna.db").unlink()
    return study, directory


def test_it_is_read_with_each_team_once(old_run: tuple[Path, Path]) -> None:
    _, directory = old_run
    run = orkester.open_run(directory)
    assert len(run.results.teams) == 4
    assert {team.team.topology for team in run.results.teams if team.team.knobs.get("agents", 1) == 1} == {"single"}
    assert all(result.search is not None and result.search.examples == 12 for result in run.results.teams)


def test_it_is_gone_on_with_and_nothing_is_measured_again(old_run: tuple[Path, Path]) -> None:
    study, directory = old_run
    before = (directory / "blocks.jsonl").read_text()
    run = orkester.tune(study, directory)
    assert (directory / "blocks.jsonl").read_text() == before
    assert len(run.results.teams) == 4
    assert "vote: agents=1" not in run.report.read_text()
    assert len(orkester.load_study(study).space) == 4
