"""A disk that is full: a remedy, and a run that goes on once there is room."""

import subprocess
import sys
from pathlib import Path

import orkester

ORKESTER = Path(sys.executable).with_name("orkester")


def tune(study_file: Path, run: Path, limit: str = "unlimited") -> subprocess.CompletedProcess[str]:
    """Run the study; no file may grow beyond a limit in KiB. Python ignores the signal and sees an OSError."""
    command = f'ulimit -f {limit}; exec "{ORKESTER}" tune "{study_file}" --run "{run}"'
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, timeout=90)


def assert_has_remedy(done: subprocess.CompletedProcess[str], what: str) -> None:
    assert done.returncode == 1, done.stderr
    assert what in done.stderr
    assert "Make room and run the same command again" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_disk_that_fills_up_in_the_search_is_said_with_a_remedy_and_the_run_goes_on(
    study_file: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert_has_remedy(tune(study_file, run, "40"), "optuna.db: cannot be used")
    assert not (run / "report.html").exists()

    found = orkester.tune(study_file, run)
    assert found.results.front
    assert found.report.is_file()


def test_a_disk_without_room_for_the_report_is_said_with_a_remedy_and_the_report_is_written_later(
    study_file: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    report = orkester.tune(study_file, run).report
    report.unlink()
    draft = report.with_suffix(".tmp")
    draft.symlink_to("/dev/full")
    assert_has_remedy(tune(study_file, run), "cannot be written: No space left on device")
    assert not report.exists()

    draft.unlink()
    assert tune(study_file, run).returncode == 0
    assert report.is_file()
