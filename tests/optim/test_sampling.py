"""What Optuna is asked and told, and what a killed process leaves of it."""

from collections.abc import Callable, Mapping
from dataclasses import replace
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


def drive(sampling: Sampling, turns: int, after: Callable[[], Sampling] | None = None, *, batch: int = 1) -> list[str]:
    """Ask and tell, a batch a turn; with ``after``, by a new Sampling each turn, as if started anew."""
    asked = []
    for _ in range(turns):
        turn = sampling.ask(batch)
        if not turn:
            break
        asked += [each.team.id for each in turn]
        for each in turn:
            sampling.tell(each, measurement=measurement(each.team), infeasible="")
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
    (asked,) = sampling.ask()
    asked.trial.set_user_attr("team", asked.team.id)
    asked.trial.set_constraint("failure_rate <= 0", 0.0)  # and the process is gone
    again = open_sampling(quick_path, space)
    assert again.told == 0
    assert [each.team for each in again.ask()] == [asked.team]


# -- batches ----------------------------------------------------------------------------------------------------------

BATCH = 5


@pytest.fixture
def with_engines(quick_path: Path) -> Space:
    options = {"max_num_active_seqs": [2, 4], "quantization": ["none", "fp8"]}
    return orkester.load_study(write_study(quick_path / "study", search=SEARCH, engine_options=options)).space


def test_the_first_of_a_batch_do_not_depend_on_how_many_follow(quick_path: Path, with_engines: Space) -> None:
    # Told as many as it takes for the sampler's own model of the space to choose; then the same state is asked.
    drive(open_sampling(quick_path, with_engines), 2, batch=BATCH)
    asked = [[each.team for each in open_sampling(quick_path, with_engines).ask(most)] for most in (1, 3, 8)]
    assert [len(teams) for teams in asked] == [1, 3, 8]
    assert asked[0] == asked[2][:1]
    assert asked[1] == asked[2][:3]


def test_a_batch_depends_only_on_what_was_told(quick_path: Path, with_engines: Space) -> None:
    (quick_path / "straight").mkdir()
    straight = drive(open_sampling(quick_path / "straight", with_engines), 4, batch=BATCH)

    def killed_and_reopened() -> Sampling:
        killed = open_sampling(quick_path, with_engines)
        first, *rest = killed.ask(BATCH)  # and the process is gone, in the middle of telling nothing
        killed.drop(rest[0])
        del first
        return open_sampling(quick_path, with_engines)

    assert drive(killed_and_reopened(), 4, killed_and_reopened, batch=BATCH) == straight


def test_a_batch_goes_through_the_topologies_first_and_is_numbered(quick_path: Path, space: Space) -> None:
    sampling = open_sampling(quick_path, space)
    batch = sampling.ask(BATCH)
    assert [each.team.topology for each in batch[:3]] == ["single", "vote", "cascade"]
    assert [each.number for each in batch] == list(range(BATCH))
    sampling.tell(batch[0], measurement=measurement(batch[0].team), infeasible="")
    sampling.drop(batch[1])
    sampling.tell(batch[4], measurement=measurement(batch[4].team), infeasible="")
    assert sampling.told == 2
    for reopened in (sampling, open_sampling(quick_path, space)):
        (asked,) = reopened.ask()
        assert asked.number == BATCH  # no number is given twice, though two trials of the batch were dropped
        reopened.drop(asked)


def test_no_team_is_asked_for_when_all_are_in_the_batch(quick_path: Path, small: Space) -> None:
    sampling = open_sampling(quick_path, small)
    batch = sampling.ask(1000)
    assert {each.team for each in batch} == set(small.teams())
    for each in batch:
        sampling.tell(each, measurement=measurement(each.team), infeasible="")
    assert sampling.ask(BATCH) == []


def test_a_search_over_engine_options_finds_the_best_of_them(quick_path: Path, with_engines: Space) -> None:
    sampling = open_sampling(quick_path, with_engines)
    for _ in range(6):
        for each in sampling.ask(BATCH):
            better = 0.3 * (each.team.engine["quantization"] == "fp8") + 0.1 * (
                each.team.engine["max_num_active_seqs"] == 4
            )
            sampling.tell(each, measurement=measurement(each.team, quality=better), infeasible="")
    study = optuna.load_study(study_name="study", storage=f"sqlite:///{quick_path / 'optuna.db'}")
    chosen = [trial.params["engine.quantization"] for trial in study.trials]
    assert {None, "fp8"} == set(chosen)
    assert chosen[BATCH * 2 :].count("fp8") > chosen[BATCH * 2 :].count(None)
    shares = importances(quick_path / "optuna.db", "study", list(OBJECTIVES))["quality"]
    assert shares["engine.quantization"] == pytest.approx(max(shares.values()))


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
    assert sampling.ask() == []
    assert set(asked) == {team.id for team in small.teams()}


def test_a_sampler_that_is_stuck_is_overruled(quick_path: Path, small: Space) -> None:
    sampling = open_sampling(quick_path, small)
    *told, left = small.teams()
    for team in [*told, *told[:1] * REPEATS]:  # whatever it asks for, it hears of a team that was told before
        (asked,) = sampling.ask()
        sampling.tell(replace(asked, team=team), measurement=None, infeasible="told for the test")
    assert [each.team for each in sampling.ask()] == [left]


def test_a_space_of_one_team_ends_after_it(quick_path: Path) -> None:
    search = {"single": {"model": "small"}}
    one = orkester.load_study(write_study(quick_path / "study", search=search)).space
    assert len(drive(open_sampling(quick_path, one), 5)) == 1


def test_what_is_told_is_in_a_database_that_optuna_opens(quick_path: Path, space: Space) -> None:
    sampling = open_sampling(quick_path, space, constraints={"calls": "<= 3", "latency_p95_s": ">= 2"})
    (asked,) = sampling.ask()
    team = asked.team
    found = measurement(team, calls=5.0, latency_p95_s=0.5)
    sampling.tell(asked, measurement=found, infeasible="calls is 5, not <= 3")

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
    (asked,) = sampling.ask()
    sampling.tell(asked, measurement=measurement(asked.team), infeasible="energy_j could not be measured")
    study = optuna.load_study(study_name="study", storage=f"sqlite:///{quick_path / 'optuna.db'}")
    assert study.trials[0].constraints["energy_j <= 3"] > 0


@pytest.mark.parametrize("missing", ["everything", "an objective"])
def test_a_team_without_a_measurement_is_told_as_a_failure_and_not_asked_again_at_once(
    quick_path: Path, space: Space, missing: str
) -> None:
    sampling = open_sampling(quick_path, space)
    (asked,) = sampling.ask()
    team = asked.team
    found = None if missing == "everything" else measurement(team, without="quality")
    sampling.tell(asked, measurement=found, infeasible="the engine of small died 4 times")
    again = open_sampling(quick_path, space)
    assert sampling.told == again.told == 1
    (turn,), (other) = sampling.ask(), again.ask()
    assert [turn.team] == [each.team for each in other]
    assert turn.team != team
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
