"""The run directory: whose it is, and who may use it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import write_study

import orkester
from orkester.errors import InputError
from orkester.optim.run.directory import SCHEMA, RunDirectory

FACTS: dict[str, Any] = {"name": "study", "sizes": {"search": 4, "confirm": 2}}


def begin(path: Path, study: dict[str, Any]) -> None:
    with RunDirectory(path) as directory:
        directory.begin(study, FACTS)


def refusal(path: Path, study: dict[str, Any]) -> str:
    with pytest.raises(InputError) as raised:
        begin(path, study)
    return str(raised.value)


def test_a_new_run_has_a_manifest_with_what_was_asked_and_versions(tmp_path: Path) -> None:
    begin(tmp_path / "deep" / "run", {"seed": 1})
    manifest = yaml.safe_load((tmp_path / "deep" / "run" / "study.yaml").read_text())
    assert manifest["schema"] == SCHEMA
    assert manifest["study"] == {"seed": 1}
    assert manifest["name"] == "study"
    assert manifest["versions"]["orkester"] == orkester.__version__
    assert {"langgraph", "optuna", "openai"} <= set(manifest["versions"])


def test_the_same_study_may_go_on_and_its_manifest_stays(tmp_path: Path) -> None:
    begin(tmp_path, {"seed": 1, "search": {"vote": {"agents": (2, 3)}}})
    before = (tmp_path / "study.yaml").read_bytes()
    begin(tmp_path, {"search": {"vote": {"agents": [2, 3]}}, "seed": 1})
    assert (tmp_path / "study.yaml").read_bytes() == before


def test_another_studys_directory_is_refused_and_what_differs_is_named(tmp_path: Path) -> None:
    begin(tmp_path, {"seed": 1, "task": {"scorer": "exact", "data": "a"}, "models": {"small": "x"}})
    before = (tmp_path / "study.yaml").read_bytes()
    message = refusal(tmp_path, {"seed": 2, "task": {"scorer": "numeric", "data": "a"}, "models": {"small": "x"}})
    assert str(tmp_path) in message
    assert "Not the same: seed (in the run 1, in the study 2), task.scorer (in the run " in message
    assert 'task.scorer (in the run "exact", in the study "numeric").' in message
    assert "Use another directory with --run" in message
    assert (tmp_path / "study.yaml").read_bytes() == before


def test_a_study_with_more_or_less_in_it_is_another_one(tmp_path: Path) -> None:
    begin(tmp_path, {"search": {"vote": {}, "single": {}}})
    message = refusal(tmp_path, {"search": {"vote": {}, "debate": {"agents": 3}}})
    assert 'search.debate (in the run nothing, in the study {"agents": 3})' in message
    assert "search.single (in the run {}, in the study nothing)" in message


def test_of_many_differences_the_first_are_named(tmp_path: Path) -> None:
    begin(tmp_path, {f"key{i}": i for i in range(9)})
    assert "key4 (in the run 4, in the study 5) and 4 more." in refusal(tmp_path, {f"key{i}": i + 1 for i in range(9)})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (f"schema: {SCHEMA + 1}\nstudy: []\n", f"(schema {SCHEMA + 1}; this version reads schemas up to {SCHEMA})"),
        ("hello", "this file is not the manifest of a run"),
        ("schema: 1\nstudy: {}\n", "this file is not the manifest of a run"),
        ("schema: [", "this file cannot be read as the manifest of a run"),
        ("", "this file is not the manifest of a run"),
    ],
)
def test_a_manifest_that_cannot_be_used_is_refused_by_name(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "study.yaml").write_text(content)
    message = refusal(tmp_path, {"seed": 1})
    assert message.startswith(f"{tmp_path / 'study.yaml'}: ")
    assert said in message
    assert (tmp_path / "study.yaml").read_text() == content
    with pytest.raises(InputError, match=r"study\.yaml: "):
        orkester.open_run(tmp_path)


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    (tmp_path / "blocks.jsonl").write_text("")
    message = refusal(tmp_path, {"seed": 1})
    assert "is not a run directory: it has no study.yaml, but blocks.jsonl, thesis.tex" in message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["blocks.jsonl", "thesis.tex"]


def test_a_run_that_was_killed_before_its_manifest_was_there_begins_anew(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("4711")
    (tmp_path / "study.tmp").write_text("schem")
    (tmp_path / ".directory").write_text("a file manager was here")
    begin(tmp_path, {"seed": 1})
    assert RunDirectory(tmp_path).manifest() is not None


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds ``tmp_path / "run"``."""
    code = (
        "import sys, pathlib; from orkester.optim.run.directory import RunDirectory\n"
        "with RunDirectory(pathlib.Path(sys.argv[1])) as run:\n"
        "    run.begin({'seed': 1}, {'name': 'study', 'sizes': {}}); print('held', flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "run")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_directory_in_use_names_the_process_and_is_free_once_that_has_ended(
    tmp_path: Path, owner: subprocess.Popen[str]
) -> None:
    run = tmp_path / "run"
    message = refusal(run, {"seed": 1})
    assert message == (
        f"{run} is in use by process {owner.pid}; wait until the process ends, stop it, or use another directory "
        "with --run"
    )
    assert RunDirectory(run).manifest() is not None  # looking is allowed
    owner.kill()
    owner.wait()
    begin(run, {"seed": 1})
    assert (run / "lock").read_text() == str(os.getpid())


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        message = refusal(path, {"seed": 1})
        assert message.startswith(f"{path}: this path cannot be used as a run directory: ")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_said(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert "this path cannot be used as a run directory: Permission denied" in refusal(tmp_path / "run", {"seed": 1})


def test_where_there_is_no_run_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no run here; orkester tune STUDY\.yaml makes one"):
        orkester.open_run(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_budget_may_be_raised_and_the_run_goes_on(quick_path: Path) -> None:
    run = quick_path / "50% done? yes#1"  # a name that would mean something in an address
    small = orkester.tune(write_study(quick_path / "study", budget={"trials": 3}), run)
    before = (run / "blocks.jsonl").read_bytes()
    large = orkester.tune(write_study(quick_path / "study", budget={"trials": 5}), run)
    assert len(small.results.teams) == 3
    assert len(large.results.teams) == 5
    assert (run / "blocks.jsonl").read_bytes().startswith(before)
    assert sorted(path.name for path in quick_path.iterdir()) == ["50% done? yes#1", "study"]
    assert {"blocks.jsonl", "logs", "optuna.db", "report.html", "study.yaml", "teams", "traces"} <= {
        path.name for path in run.iterdir()
    }


def test_another_study_is_refused_before_any_engine_starts(quick_path: Path) -> None:
    run = quick_path / "run"
    study = write_study(quick_path / "study", budget={"trials": 1})
    orkester.tune(study, run)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != "lock"}
    with pytest.raises(InputError, match=r"Not the same: seed \(in the run 3, in the study 4\)"):
        orkester.tune(write_study(quick_path / "study", budget={"trials": 1}, seed=4), run)
    changed = r"data\.jsonl has changed since this run began \(.*\. SHA-256 in the run [0-9a-f]{64}, now [0-9a-f]{64}$"
    with pytest.raises(InputError, match=changed):
        orkester.tune(write_study(quick_path / "study", budget={"trials": 1}, examples=21), run)
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != "lock"}


def test_a_decision_is_made_once_and_holds_for_every_resume(tmp_path: Path) -> None:
    with RunDirectory(tmp_path / "run") as directory:
        directory.begin({"seed": 1}, FACTS)
        assert directory.settle("batch", lambda: 8) == 8
        assert directory.settle("batch", lambda: 1) == 8
    with RunDirectory(tmp_path / "run") as directory:
        directory.begin({"seed": 1}, FACTS)
        assert directory.settle("batch", lambda: 1) == 8
        manifest = directory.manifest()
        assert manifest is not None
        assert (manifest["study"], manifest["batch"]) == ({"seed": 1}, 8)
