"""More budget for a run that is there, whatever happens to it meanwhile."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from orkester.errors import InputError
from orkester.optim.run.budget import Budget, Spent
from orkester.optim.run.directory import RunDirectory
from orkester.optim.run.extension import checked, extended, finish, require_run

FILE = Budget(trials=40)


def spent(trials: int = 40, minutes: float = 12.0, llm_calls: int = 5120) -> Spent:
    return Spent(
        trials=trials,
        wall_s=60 * minutes,
        llm_calls=llm_calls,
        answered=1,
        counted=1,
        counted_tokens=9000,
        blocks=1,
        metered=1,
        metered_j=300.0,
    )


@pytest.fixture
def run(tmp_path: Path) -> Iterator[RunDirectory]:
    with RunDirectory(tmp_path / "run") as directory:
        directory.begin({"seed": 1}, {"name": "small", "sizes": {"search": 8, "confirm": 4}})
        yield directory


def test_a_run_that_was_never_extended_has_the_budget_of_its_file(run: RunDirectory) -> None:
    before = run.manifest()
    assert extended(run, FILE, spent(), {}) == FILE
    finish(run)
    assert run.manifest() == before


def test_an_extension_comes_on_top_of_what_was_given(run: RunDirectory) -> None:
    assert extended(run, FILE, spent(), {"trials": 20}) == Budget(trials=60)


def test_and_on_top_of_what_is_spent_where_that_is_more_or_nothing_was_given(run: RunDirectory) -> None:
    file = Budget(llm_calls=5000)  # the team that was under way has been finished
    found = extended(run, file, spent(), {"llm_calls": 100, "minutes": 10.0, "joules": 50.0})
    assert found == Budget(llm_calls=5220, minutes=22.0, joules=350.0)


def test_the_same_command_goes_on_with_an_extension_that_is_under_way(run: RunDirectory) -> None:
    first = extended(run, FILE, spent(), {"trials": 20})
    assert extended(run, FILE, spent(trials=50), {"trials": 20}) == first
    assert extended(run, FILE, spent(trials=60), {"trials": 20}) == first  # killed in confirmation


def test_a_command_without_one_goes_on_with_it_too_and_when_it_is_finished(run: RunDirectory) -> None:
    first = extended(run, FILE, spent(), {"trials": 20})
    assert extended(run, FILE, spent(trials=50), {}) == first
    finish(run)
    assert extended(run, FILE, spent(trials=60), {}) == first


def test_the_same_command_adds_again_when_it_is_finished(run: RunDirectory) -> None:
    extended(run, FILE, spent(), {"trials": 20})
    finish(run)
    assert extended(run, FILE, spent(trials=60), {"trials": 20}) == Budget(trials=80)


def test_another_one_replaces_that_under_way_and_counts_from_where_it_did(run: RunDirectory) -> None:
    extended(run, FILE, spent(), {"trials": 20})
    assert extended(run, FILE, spent(trials=47, minutes=15.0), {"trials": 5, "minutes": 1.0}) == Budget(
        trials=45, minutes=13.0
    )


def test_what_earlier_ones_gave_stays(run: RunDirectory) -> None:
    extended(run, FILE, spent(), {"trials": 20, "minutes": 100.0})
    finish(run)
    found = extended(run, FILE, spent(trials=60, minutes=30.0), {"trials": 5})
    assert found == Budget(trials=65, minutes=112.0)


def test_a_file_that_was_raised_meanwhile_holds_where_it_is_higher(run: RunDirectory) -> None:
    extended(run, FILE, spent(), {"trials": 20})
    assert extended(run, Budget(trials=100), spent(), {}) == Budget(trials=100)
    assert extended(run, Budget(trials=10), spent(), {}) == Budget(trials=60)


def test_one_that_would_change_nothing_is_refused_and_leaves_no_trace(run: RunDirectory) -> None:
    before = run.manifest()
    with pytest.raises(
        InputError,
        match=r"--extend minutes=10 would change nothing: 40 teams are measured\. Add --extend trials=…$",
    ):
        extended(run, FILE, spent(), {"minutes": 10.0})
    both = Budget(trials=40, minutes=12.0)
    with pytest.raises(
        InputError, match=r"12 minutes are spent and 5,000 LLM calls are sent\. Add .* --extend llm_calls"
    ):
        extended(run, both.raised({"llm_calls": 5000}), spent(), {"trials": 1})
    assert run.manifest() == before


def test_a_limit_of_which_nobody_knows_what_was_spent_cannot_be_added_to(run: RunDirectory) -> None:
    unmetered = Spent(trials=40, blocks=3)
    with pytest.raises(InputError, match="--extend joules: it is not known how much of this limit the run has spent"):
        extended(run, Budget(trials=100), unmetered, {"joules": 10.0})


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"trails": 2}, r"unknown limit 'trails' \(did you mean 'trials'\?\)\. Known: trials, minutes, llm_calls"),
        ({"trials": 0}, "trials takes a whole number of at least 1, but got 0"),
        ({"trials": 2.5}, "trials takes a whole number of at least 1, but got 2.5"),
        ({"tokens": float("inf")}, "tokens takes a whole number of at least 1, but got inf"),
        ({"minutes": -1.0}, "minutes takes a number above 0, but got -1"),
        ({"joules": float("nan")}, "joules takes a number above 0, but got nan"),
    ],
)
def test_what_is_no_amount_of_a_limit_is_refused(asked: dict[str, float], said: str) -> None:
    with pytest.raises(InputError, match=said):
        checked(asked)


def test_there_must_be_a_run_to_extend(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path / "slip")
    with pytest.raises(InputError, match="this directory has no run to extend; to start a run, leave out --extend"):
        require_run(directory, {"trials": 2})
    require_run(directory, {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("data", ["trials", {"asked": {}}, {"trials": 20}])
def test_a_manifest_that_was_edited_badly_is_refused(run: RunDirectory, data: Any) -> None:
    run.write_manifest({**(run.manifest() or {}), "extension": data})
    with pytest.raises(InputError, match="the key extension in the manifest is not an extension"):
        extended(run, FILE, spent(), {})


def test_it_is_plain_data_in_the_manifest_beside_all_else(run: RunDirectory) -> None:
    extended(run, FILE, spent(), {"trials": 20})
    data = yaml.safe_load((run.path / "study.yaml").read_text())
    assert data["name"] == "small"
    assert data["extension"]["asked"] == {"trials": 20}
    assert data["extension"]["limits"] == {"trials": 60}
    assert data["extension"]["finished"] is False
