"""A disk that is full: a remedy, and a run that goes on once there is room."""

import subprocess
import sys
from pathlib import Path

import pytest

import orkester


@pytest.mark.parametrize(
    ("blocks", "what"), [(40, "optuna.db: cannot be used"), (1000, "cannot be written")], ids=["database", "report"]
)
def test_a_full_disk_is_said_with_a_remedy_and_the_run_goes_on(
    study_file: Path, tmp_path: Path, blocks: int, what: str
) -> None:
    run = tmp_path / "run"
    script = Path(sys.executable).with_name("orkester")
    # No file may grow beyond so many KiB; Python ignores the signal and sees an OSError.
    command = f'ulimit -f {blocks}; exec "{script}" tune "{study_file}" --run "{run}"'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, timeout=90)
    assert done.returncode == 1, done.stderr
    assert what in done.stderr
    assert "Make room and run the same command again" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (run / "report.html").exists()

    found = orkester.tune(study_file, run)
    assert found.results.front
    assert found.report.is_file()
