"""A whole study on the fake engine."""

from pathlib import Path

import orkester


def test_a_study_ends_with_a_confirmed_front(study_file: Path, tmp_path: Path) -> None:
    run = orkester.tune(study_file, tmp_path / "run")
    assert run.results.front
    assert all(result.confirmed is not None for result in run.results.front)
    assert run.report.is_file()
