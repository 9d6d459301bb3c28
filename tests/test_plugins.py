"""A package with a plug-in of each kind is installed and used by a study; see tests/plugins.

Here its files are put where Python finds packages, with the entry points of its pyproject.toml; tests/wheel.sh installs
it with pip into a clean environment.
"""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from support import ROOT, quick_folder

PACKAGE = ROOT / "tests" / "plugins"
COMMAND = (sys.executable, "-c", "from orkester.cli import main; main()")


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A folder with the package in ``site`` and the study in ``study``."""
    with quick_folder() as folder:
        site = folder / "site"
        shutil.copytree(PACKAGE / "src", site, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        project = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]
        info = site / "orkester_plugins-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 1.0\n")
        groups = [
            f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in entries.items())
            for group, entries in project["entry-points"].items()
        ]
        (info / "entry_points.txt").write_text("\n".join(groups))
        (folder / "study").mkdir()
        for name in ("study.yaml", "sums.jsonl", "own_topology.py"):
            shutil.copy(PACKAGE / name, folder / "study")
        yield folder


def run(
    home: Path, command: Sequence[str], *arguments: str, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program that finds the package."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(home / "site"), *sys.path])}
    return subprocess.run(
        [*command, *arguments], env=environment, cwd=cwd or home, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def tuned(home: Path) -> subprocess.CompletedProcess[str]:
    done = run(home, COMMAND, "tune", "study/study.yaml", "--run", "run")
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.slow
def test_its_plugins_keep_the_contracts(home: Path) -> None:
    pytest_options = ("-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-c", os.devnull, "--asyncio-mode=auto")
    done = run(home, (sys.executable, "-m", "pytest"), *pytest_options, str(PACKAGE / "contracts.py"))
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout


def test_a_study_uses_one_of_each_kind(home: Path, tuned: subprocess.CompletedProcess[str]) -> None:
    found = json.loads(run(home, COMMAND, "front", "run", "--json").stdout)
    assert found["teams_measured"] == 6
    assert list(found["objectives"]) == ["quality", "total_tokens", "own_topology:letters"]
    front = {team["topology"] for team in found["teams"]}
    assert front <= {"second-look", "own_topology:shout"}
    records = [json.loads(line) for line in (home / "run" / "blocks.jsonl").read_text().splitlines()]
    blocks = [record for record in records if "topology" in record and "examples" in record]
    assert {block["topology"] for block in blocks} == {"second-look", "own_topology:shout"}
    assert {block["energy_method"] for block in blocks} == {"wall-clock"}
    assert {facts["engine"] for block in blocks for facts in block["engines"].values()} == {"parrot"}
    best = max(found["teams"], key=lambda team: team["confirmed"]["quality"]["value"])
    assert best["confirmed"]["quality"]["value"] == 1.0


def test_its_records_are_read_from_elsewhere(
    home: Path, tuned: subprocess.CompletedProcess[str], tmp_path: Path
) -> None:
    done = run(home, COMMAND, "report", str(home / "run"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    text = (home / "run" / "report.html").read_text()
    assert "own_topology:letters" in text
    assert "second-look" in text
    best = run(home, COMMAND, "best", str(home / "run"), "--for", "total_tokens", cwd=tmp_path)
    assert best.returncode == 0, best.stderr


def test_a_saved_team_of_its_answers(home: Path, tuned: subprocess.CompletedProcess[str]) -> None:
    teams = sorted((home / "run" / "teams").glob("*.json"))
    assert teams
    for team in teams:
        done = run(home, COMMAND, "run", str(team), "What is 3 + 4?")
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip()


def test_what_cannot_be_imported_is_listed_and_harms_nobody(
    home: Path, tuned: subprocess.CompletedProcess[str]
) -> None:
    done = run(home, COMMAND, "list")
    assert done.returncode == 0
    rows = [" ".join(line.split()) for line in done.stdout.splitlines()]
    origin = "orkester-plugins 1.0"
    for name in ("second-look", "prefix", "parrot", "wall-clock", "in-order", "early-tpe", "by-length", "adder"):
        assert [row for row in rows if row.startswith(f"{name} {origin} ")], f"{name} is not listed"
    (broken,) = [row for row in rows if row.startswith("broken ")]
    assert broken.startswith(f"broken {origin} cannot be used: the objective 'broken' of the package {origin}")
    assert "RuntimeError: this module needs a library that is not installed" in done.stdout.replace("\n", " ")
    assert "broken" not in tuned.stdout + tuned.stderr


def test_a_study_that_names_it_is_told_why(home: Path) -> None:
    study = (home / "study" / "study.yaml").read_text()
    (home / "study" / "bad.yaml").write_text(study.replace("total_tokens: minimize", "broken: minimize"))
    done = run(home, COMMAND, "tune", "study/bad.yaml", "--run", "bad")
    assert done.returncode == 2
    assert (
        "study/bad.yaml:11: objectives.broken: the objective 'broken' of the package orkester-plugins 1.0"
        in done.stderr
    )
