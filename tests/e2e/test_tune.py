"""A whole study on the fake engine."""

from pathlib import Path

import pytest
from support import write_study

import orkester
from orkester.errors import InputError


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


def test_one_team_is_measured_with_the_engine_options_it_names(study_file: Path) -> None:
    team = orkester.Team("single", {"model": "small", "temperature": 0.0}, {"max_num_active_seqs": 2})
    assert orkester.evaluate(study_file, team).team == team.id
    unknown = orkester.Team(team.topology, team.knobs, {"max_num_seqs": 2})
    with pytest.raises(InputError, match="'max_num_seqs' \\(did you mean 'max_num_active_seqs'\\?\\)"):
        orkester.evaluate(study_file, unknown)


def test_a_run_whose_joules_are_of_another_meter_is_not_gone_on_with(tmp_path: Path) -> None:
    """As if it had begun on a machine with a meter, and been copied here before its end."""
    study_file = write_study(tmp_path, objectives={"quality": "maximize", "energy_j": "minimize"})
    orkester.tune(study_file, tmp_path / "run")
    blocks = tmp_path / "run" / "blocks.jsonl"
    there = blocks.read_text().replace('"energy_method":"estimate"', '"energy_method":"rapl"')
    blocks.write_text(there)
    with pytest.raises(InputError, match=r"of the method rapl, and here they would be of estimate; energy_j cannot"):
        orkester.tune(study_file, tmp_path / "run")
    assert blocks.read_text() == there


def test_a_meter_that_cannot_be_had_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    study_file = write_study(tmp_path, energy={"meter": "nvml"})
    with pytest.raises(InputError, match=r"study\.yaml: energy\.meter: the nvml meter .* use auto, rapl or estimate"):
        orkester.tune(study_file, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("capacity", "batch"), [(80, 1), (79, 8)])
def test_whether_teams_come_in_batches_is_decided_once_by_what_fits_into_memory(
    tmp_path: Path, capacity: int, batch: int
) -> None:
    def study(capacity: int) -> Path:
        engine = {"fake": {"data": "data.jsonl", "memory_bytes": 20, "capacity_bytes": capacity}}
        return write_study(
            tmp_path,
            engine=engine,
            engine_options={"prefix_caching": [True, False]},
            budget={"trials": 3},
            search={"single": {"model": "any"}},
        )

    run = orkester.tune(study(capacity), tmp_path / "run")
    assert run.manifest["batch"] == batch
    assert len(run.results.teams) == 3
