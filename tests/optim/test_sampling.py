"""What Optuna is asked and told, and what a killed process leaves of it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest
from support import write_study

import orkester
from orkester.evals.measurement import Estimate, Measurement
from orkester.graphs import Team
from orkester.optim.sampling import REPEATS, STARTUP_TRIALS, Sampling, importances
from orkester.optim.space import Space

OBJECTIVES: dict[str, Any] = {"quality": "maximize", "calls": "minimize"}
SEARCH: dict[str, Any] = {
    "single": {"model": "any"},
    "vote": {"agents": [2, 5], "model": "any", "temperature": [0.3, 0.5]},
    "cascade": {"first": "small", "then": "large", "votes": [2, 4], "agreement": 1.0},
}

TURNS = STARTUP_TRIALS + 3  # the sampler's own model of the space chooses the last ones


@pytest.fixture
def space(quick_path: Path) -> Space:
    return orkester.load_study(write_study(quick_path / "study", search=SEARCH)).space


def open_sampling(path: Path, space: Space, *, constraints: Mapping[str, str] | None = None, seed: int = 1) -> Sampling:
    return Sampling(
        space, objectives=OBJECTIVES, constraints=constraints or {}, seed=seed, path=path / "optuna.db", name="study"
    )


def measurement(team: Team, *, without: str = "", **more: float) -> Measurement:
    """What a team would have measured: larger teams are better and dearer."""
    calls = float(team.knobs.get("agents", team.knobs.get("votes", 1)))
    bonus = 0.2 if "large" in team.knobs.values() else 0.0
    values = {"quality": 1 - 0.5 / calls + bonus, "calls": calls, "failure_rate": 0.0, **more}
    estimates = {name: Estimate(value=v, low=None, high=None, n=4) for name, v in values.items() if name != without}
    return Measurement(
        team=team.id, phase="search", examples=4, blocks=1, estimates=estimates, energy_method="estimate", failures={}
    )


def drive(sampling: Sampling, turns: int, after: Callable[[], Sampling] | None = None) -> list[str]:
    """Ask and tell; with ``after``, by a new Sampling each turn, as if the process had been started anew."""
    asked = []
    for _ in range(turns):
        turn = sampling.ask()
        if turn is None:
            break
        trial, team = turn
        asked.append(team.id)
        sampling.tell(trial, team, measurement=measurement(team), infeasible="")
        sampling = after() if after else sampling
    return asked


def test_each_topology_comes_first_once_in_the_files_order(quick_path: Path, space: Space) -> None:
    asked = drive(open_sampling(quick_path, space), 3)
    assert [team.split("-")[0] for team in asked] == ["single", "vote", "cascade"]


def test_an_ask_depends_only_on_what_was_told(quick_path: Path, space: Space) -> None:
    (quick_path / "straight").mkdir()
    straight = drive(open_sampling(quick_path / "straight", space), TURNS)

    def killed_and_reopened() -> Sampling:
        open_sampling(quick_path, space).ask()  # and the process is gone
        return open_sampling(quick_path, space)

    assert drive(killed_and_reopened(), TURNS, killed_and_reopened) == straight


def test_a_kill_between_constraint_and_tell_loses_nothing_and_tells_nothing(quick_path: Path, space: Space) -> None:
    sampling = open_sampling(quick_path, space)
    turn = sampling.ask()
    assert turn is not None
    trial, team = turn
    trial.set_user_attr("team", team.id)
    trial.set_constraint("failure_rate <= 0", 0.0)  # and the process is gone
    again = open_sampling(quick_path, space)
    assert again.told == 0
    asked = again.ask()
    assert asked is not None
    assert asked[1] == team


def test_another_seed_asks_for_other_teams(quick_path: Path, space: Space) -> None:
    (quick_path / "other").mkdir()
    first = drive(open_sampling(quick_path, space), 4)
    other = drive(open_sampling(quick_path / "other", space, seed=2), 4)
    assert first != other


@pytest.fixture
def small(quick_path: Path) -> Space:
    search = {"single": {"model": "any"}, "vote": {"agents": [2, 4], "model": "any"}}
    return orkester.load_study(write_study(quick_path / "study", search=search)).space


def test_a_small_space_is_exhausted(quick_path: Path, small: Space) -> None:
    sampling = open_sampling(quick_path, small)
    asked = drive(sampling, 100)
    assert sampling.ask() is None
    assert set(asked) == {team.id for team in small.teams()}


def test_a_sampler_that_is_stuck_is_overruled(quick_path: Path, small: Space) -> None:
    sampling = open_sampling(quick_path, small)
    *told, left = small.teams()
    for team in [*told, *told[:1] * REPEATS]:  # whatever it asks for, it hears of a team that was told before
        turn = sampling.ask()
        assert turn is not None
        sampling.tell(turn[0], team, measurement=None, infeasible="told for the test")
    turn = sampling.ask()
    assert turn is not None
    assert turn[1] == left


def test_a_space_of_one_team_ends_after_it(quick_path: Path) -> None:
    search = {"single": {"model": "small"}}
    one = orkester.load_study(write_study(quick_path / "study", search=search)).space
    assert len(drive(open_sampling(quick_path, one), 5)) == 1


def test_what_is_told_is_in_a_database_that_optuna_opens(quick_path: Path, space: Space) -> None:
    sampling = open_sampling(quick_path, space, constraints={"calls": "<= 3", "latency_p95_s": ">= 2"})
    turn = sampling.ask()
    assert turn is not None
    trial, team = turn
    found = measurement(team, calls=5.0, latency_p95_s=0.5)
    sampling.tell(trial, team, measurement=found, infeasible="calls is 5, not <= 3")

    study = optuna.load_study(study_name="study", storage=f"sqlite:///{quick_path / 'optuna.db'}")
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert study.metric_names == ["quality", "calls"]
    (told,) = study.trials
    assert told.state == optuna.trial.TrialState.COMPLETE
    assert told.values == [found.estimates["quality"].value, 5.0]
    assert told.constraints == {"calls <= 3": 2.0, "latency_p95_s >= 2": 1.5, "failure_rate <= 0": 0.0}
    assert told.user_attrs["team"] == team.id
    assert told.user_attrs["infeasible"] == "calls is 5, not <= 3"
    assert told.params == space.params(team)
    assert study.best_trials == []  # Optuna too takes it for infeasible


def test_a_constraint_on_what_could_not_be_measured_does_not_hold(quick_path: Path, space: Space) -> None:
    sampling = open_sampling(quick_path, space, constraints={"energy_j": "<= 3"})
    turn = sampling.ask()
    assert turn is not None
    sampling.tell(*turn, measurement=measurement(turn[1]), infeasible="energy_j could not be measured")
    study = optuna.load_study(study_name="study", storage=f"sqlite:///{quick_path / 'optuna.db'}")
    assert study.trials[0].constraints["energy_j <= 3"] > 0


@pytest.mark.parametrize("missing", ["everything", "an objective"])
def test_a_team_without_a_measurement_is_told_as_a_failure_and_not_asked_again_at_once(
    quick_path: Path, space: Space, missing: str
) -> None:
    sampling = open_sampling(quick_path, space)
    turn = sampling.ask()
    assert turn is not None
    trial, team = turn
    found = None if missing == "everything" else measurement(team, without="quality")
    sampling.tell(trial, team, measurement=found, infeasible="the engine of small died 4 times")
    again = open_sampling(quick_path, space)
    assert sampling.told == again.told == 1
    turns = sampling.ask(), again.ask()
    assert turns[0] is not None
    assert turns[1] is not None
    assert turns[0][1] == turns[1][1] != team
    study = optuna.load_study(study_name="study", storage=f"sqlite:///{quick_path / 'optuna.db'}")
    assert study.trials[0].state == optuna.trial.TrialState.FAIL
    assert study.trials[0].user_attrs["infeasible"] == "the engine of small died 4 times"


def test_importance_is_by_objective_and_parameter_once_there_are_trials(quick_path: Path, space: Space) -> None:
    path = quick_path / "optuna.db"
    assert importances(path, "study", list(OBJECTIVES)) == {}
    sampling = open_sampling(quick_path, space)
    assert importances(path, "study", list(OBJECTIVES)) == {}
    drive(sampling, 12)
    found = importances(path, "study", list(OBJECTIVES))
    assert set(found) == set(OBJECTIVES)
    for shares in found.values():
        assert "topology" in shares
        assert sum(shares.values()) == pytest.approx(1)
    assert importances(path, "another study", list(OBJECTIVES)) == {}
