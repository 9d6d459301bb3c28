"""What makes two studies the same."""

from pathlib import Path

import pytest
from support import write_study

import orkester
from orkester.errors import InputError
from orkester.evals.scorers import scorer
from orkester.optim.run.directory import RunDirectory


def test_another_version_of_the_scorer_is_another_study(tmp_path: Path) -> None:
    study = orkester.load_study(write_study(tmp_path / "study"))
    identity = study.identity()
    assert identity["task"]["scorer_version"] == scorer("exact").version == "2"
    before = {**identity, "task": {key: value for key, value in identity["task"].items() if key != "scorer_version"}}
    with RunDirectory(tmp_path / "run") as directory:
        directory.begin(before, {"name": "small", "sizes": study.sizes})
        with pytest.raises(InputError, match=r"Not the same: task\.scorer_version"):
            directory.begin(identity, {"name": "small", "sizes": study.sizes})


def test_a_function_of_the_users_has_no_version(tmp_path: Path) -> None:
    path = write_study(tmp_path / "study", task={"scorer": "own_identity_scorer:same"})
    (tmp_path / "study" / "own_identity_scorer.py").write_text("def same(answer, right):\n    return answer == right\n")
    assert "scorer_version" not in orkester.load_study(path).identity()["task"]
