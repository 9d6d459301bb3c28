"""What Optuna's study holds, and what a killed process leaves of it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from orkester.graphs import Team
from orkester.optim.search.samplers import Outcome, Setting, Turn, make
from orkester.optim.search.trials import Trials
from orkester.optim.study.space import Space
from orkester.testing.sampler_contract import GOAL, SMALL, SPACE, START, WITH_ENGINES, Bench, measurement

TEAM = START[0]


def opened(folder: Path, space: Space = SPACE, *, constraints: Mapping[str, str] | None = None) -> Trials:
    goal = replace(GOAL, constraints={**GOAL.constraints, **(constraints or {})})
    return Trials(space, goal, path=folder / "optuna.db", name="study")


def study_in(folder: Path) -> optuna.Study:
    return optuna.load_study(study_name="study", storage=f"sqlite:///{folder / 'optuna.db'}")


def test_what_is_recorded_is_in_a_database_that_optuna_opens(quick_path: Path) -> None:
    found = measurement(TEAM, calls=5.0, latency_p95_s=0.5)
    with opened(quick_path, constraints={"calls": "<= 3", "latency_p95_s": ">= 2"}) as trials:
        trials.record(Outcome(team=TEAM, measurement=found, infeasible="calls is 5, not <= 3", trial=7))
    study = study_in(quick_path)
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert study.metric_names == ["quality", "calls"]
    (told,) = study.trials
    assert told.state == optuna.trial.TrialState.COMPLETE
    assert told.values == [found.estimates["quality"].value, 5.0]
    assert told.constraints == {"calls <= 3": 2.0, "latency_p95_s >= 2": 1.5, "failure_rate <= 0": 0.0}
    assert told.user_attrs == {"team": TEAM.id, "trial": 7, "examples": 8, "infeasible": "calls is 5, not <= 3"}
    assert told.params == SPACE.params(TEAM)
    assert study.best_trials == []  # Optuna too takes it for infeasible


def test_a_recorded_trial_is_like_one_that_was_asked_for(quick_path: Path) -> None:
    with opened(quick_path, WITH_ENGINES) as trials:
        asked = trials.ask(optuna.samplers.RandomSampler(seed=1))
        trials.tell(asked, Outcome(team=asked.team, measurement=measurement(asked.team)))
        trials.record(Outcome(team=asked.team, measurement=measurement(asked.team)))
    one, other = study_in(quick_path).trials
    assert one.distributions == other.distributions
    assert one.params == other.params
    assert one.values == other.values


def test_a_constraint_on_what_could_not_be_measured_does_not_hold(quick_path: Path) -> None:
    with opened(quick_path, constraints={"energy_j": "<= 3"}) as trials:
        trials.record(Outcome(team=TEAM, measurement=measurement(TEAM), infeasible="energy_j could not be measured"))
    assert study_in(quick_path).trials[0].constraints["energy_j <= 3"] > 0


def test_of_a_stopped_team_optuna_knows_what_was_learnt(quick_path: Path) -> None:
    found = measurement(TEAM, examples=4)
    with opened(quick_path) as trials:
        trials.record(Outcome(team=TEAM, measurement=found, stopped="vote-12345678 is better on 4 examples"))
    (told,) = study_in(quick_path).trials
    assert told.values == [found.estimates["quality"].value, found.estimates["calls"].value]
    assert told.user_attrs["stopped"] == "vote-12345678 is better on 4 examples"
    assert told.user_attrs["examples"] == 4


@pytest.mark.parametrize("missing", ["everything", "an objective"])
def test_a_team_without_a_measurement_is_a_failure_and_not_an_interruption(quick_path: Path, missing: str) -> None:
    found = None if missing == "everything" else measurement(TEAM, without="quality")
    with opened(quick_path) as trials:
        trials.record(Outcome(team=TEAM, measurement=found, infeasible="the engine of small died 4 times"))
    (told,) = study_in(quick_path).trials
    assert told.state == optuna.trial.TrialState.FAIL
    assert told.user_attrs["infeasible"] == "the engine of small died 4 times"
    with opened(quick_path) as again:
        assert again.order == [TEAM.id]


def test_a_kill_between_constraint_and_tell_loses_nothing_and_tells_nothing(quick_path: Path) -> None:
    with opened(quick_path) as trials:
        asked = trials.ask(optuna.samplers.RandomSampler(seed=1))
        asked.trial.set_user_attr("team", asked.team.id)
        asked.trial.set_constraint("failure_rate <= 0", 0.0)  # and the process is gone
    with opened(quick_path) as again:
        assert again.order == []
    assert study_in(quick_path).trials[0].state == optuna.trial.TrialState.FAIL


def test_no_number_is_given_twice(quick_path: Path) -> None:
    one, other, third = list(SMALL.teams())[:3]
    with opened(quick_path, SMALL) as trials:
        trials.record(Outcome(team=one, measurement=measurement(one), trial=4))
        trials.record(Outcome(team=other, measurement=measurement(other)))
    with opened(quick_path, SMALL) as trials:
        assert trials.next_number == 6
        trials.record(Outcome(team=third, measurement=measurement(third)))
    assert [trial.user_attrs["trial"] for trial in study_in(quick_path).trials] == [4, 5, 6]


@pytest.mark.filterwarnings("ignore:PedAnova")  # it always says which way it looks
@pytest.mark.parametrize("name", ["ehvi", "grid", "random"])
def test_importance_works_on_any_samplers_trials(quick_path: Path, name: str) -> None:
    bench = Bench()
    with opened(quick_path, WITH_ENGINES) as trials:
        sampler = make(name, Setting(space=WITH_ENGINES, goal=GOAL, seed=1), trials)
        while len(bench.closed) < 10 and bench.turn(sampler):
            pass
        for team in WITH_ENGINES.teams():
            if team.id not in bench.closed and len(bench.closed) < 16:
                bench.run(Turn(team=team))
                sampler.tell(bench.outcome(team))
    shares = optuna.importance.get_param_importances(study_in(quick_path), target=lambda trial: trial.values[1])
    assert sum(shares.values()) == pytest.approx(1)
    assert "topology" in shares


def test_a_path_may_have_any_characters(quick_path: Path) -> None:
    folder = quick_path / "100% sure?"
    folder.mkdir()
    with opened(folder) as trials:
        trials.record(Outcome(team=TEAM, measurement=measurement(TEAM)))
    assert (folder / "optuna.db").exists()
    with opened(folder) as trials:
        assert set(trials.reported_teams) == {TEAM.id}


def test_a_team_keeps_its_parameters(quick_path: Path) -> None:
    team = Team("single", {"model": "small", "temperature": 0.7}, {"max_num_active_seqs": 2, "quantization": None})
    with opened(quick_path, WITH_ENGINES) as trials:
        trials.record(Outcome(team=team, measurement=measurement(team)))
    assert study_in(quick_path).trials[0].params == {
        "topology": "single",
        "single.model": "small",
        "engine.max_num_active_seqs": 2,
        "engine.quantization": None,
    }
