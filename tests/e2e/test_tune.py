"""A whole study on the fake engine."""

from pathlib import Path

import pytest

import orkester


def test_a_study_ends_with_a_confirmed_front(study_file: Path, tmp_path: Path) -> None:
    run = orkester.tune(study_file, tmp_path / "run")
    assert run.results.front
    assert all(result.confirmed is not None for result in run.results.front)
    assert run.report.is_file()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
def test_nothing_of_the_run_directory_stays_open(study_file: Path, tmp_path: Path) -> None:
    orkester.tune(study_file, tmp_path / "run")
    orkester.open_run(tmp_path / "run")
    still_open = [str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    assert [path for path in still_open if path.startswith(str(tmp_path / "run"))] == []
