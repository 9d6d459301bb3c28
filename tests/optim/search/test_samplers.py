"""What is particular to a sampler; what all keep to is in tests/contracts."""

import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import optuna
import pytest
from support import ROOT

from orkester.errors import InputError
from orkester.graphs import Team
from orkester.optim.search import samplers
from orkester.optim.search.models.surrogate import MOST_TEAMS
from orkester.optim.search.samplers import Outcome, Sampler, Setting, Turn, auto, make, require
from orkester.optim.search.samplers._optuna import REPEATS
from orkester.optim.search.samplers.tpe import STARTUP_TRIALS
from orkester.optim.search.trials import Trials
from orkester.optim.study.parts import BudgetPart
from orkester.optim.study.space import Grid, Space
from orkester.testing.sampler_contract import GOAL, SMALL, SPACE, START, WITH_ENGINES, Bench, measurement, teams_of


@contextmanager
def opened(
    folder: Path, name: str = "tpe", space: Space = SPACE, *, start: Sequence[Team] = ()
) -> Iterator[tuple[Sampler, Trials]]:
    with Trials(space, GOAL, path=folder / "optuna.db", name="study") as trials:
        yield make(name, Setting(space=space, goal=GOAL, seed=1, start=start), trials), trials


def study_in(folder: Path) -> optuna.Study:
    return optuna.load_study(study_name="study", storage=f"sqlite:///{folder / 'optuna.db'}")


# -- of Optuna --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [1, 3])
def test_each_topology_comes_once_at_first_in_the_files_order(quick_path: Path, most: int) -> None:
    bench = Bench()
    with opened(quick_path) as (sampler, _):
        asked = [turn.team.topology for _ in range(3 // most) for turn in bench.turn(sampler, most)]
    assert asked == ["single", "vote", "cascade"]


def test_the_users_teams_stand_for_their_topologies(quick_path: Path) -> None:
    bench = Bench()
    with opened(quick_path, start=START) as (sampler, _):
        asked = [turn.team for turn in bench.turn(sampler, 4)]
    assert asked[:2] == list(START)
    assert [team.topology for team in asked[2:]] == ["single", "cascade"]


def test_a_team_that_is_asked_for_again_is_told_again_without_a_turn(quick_path: Path) -> None:
    bench = Bench()
    with opened(quick_path, space=SMALL) as (sampler, trials):
        turns = [turn for _ in range(len(SMALL)) for turn in bench.turn(sampler)]
        assert len(turns) == len(SMALL)
        assert len(trials.order) > len(SMALL)  # TPE does repeat itself in so small a space
    told = [trial for trial in study_in(quick_path).trials if trial.state == optuna.trial.TrialState.COMPLETE]
    by_team = {team: {tuple(t.values) for t in told if t.user_attrs["team"] == team} for team in bench.closed}
    assert all(len(values) == 1 for values in by_team.values())


def test_a_sampler_that_is_stuck_is_overruled(quick_path: Path) -> None:
    *told, left = SMALL.teams()
    with opened(quick_path, space=SMALL) as (sampler, trials):
        for team in [*told, *told[:1] * REPEATS]:
            trials.record(Outcome(team=team, measurement=measurement(team)))
        bench = Bench(closed={team.id: "" for team in told})
        assert teams_of(sampler.choose(bench.standing(), 1)) == [left.id]
        assert len(trials.order) == len(told) + REPEATS


def test_a_team_that_was_told_when_the_budget_ended_is_finished_first(quick_path: Path) -> None:
    bench = Bench()
    with opened(quick_path) as (sampler, _):
        bench.turn(sampler, 2)
        (turn,) = sampler.choose(bench.standing(), 1)
        bench.run_block(turn.team)
        sampler.tell(bench.outcome(turn.team))  # still in the race
    with opened(quick_path) as (sampler, trials):
        assert teams_of(bench.turn(sampler, 3)) == [turn.team.id]
        assert trials.order[-2:] == [turn.team.id] * 2
        assert turn.team.id not in teams_of(bench.turn(sampler, 3))
    again = study_in(quick_path).trials
    assert [t.user_attrs["examples"] for t in again if t.user_attrs.get("team") == turn.team.id] == [4, 8]


def test_all_that_are_left_can_be_chosen_at_once(quick_path: Path) -> None:
    bench = Bench()
    with opened(quick_path, space=SMALL) as (sampler, trials):
        turns = bench.turn(sampler, 1000)
        assert sorted(teams_of(turns)) == sorted(team.id for team in SMALL.teams())
        assert sampler.choose(bench.standing(), 1000) == []
        assert set(trials.reported_teams) == set(bench.closed)


def test_what_is_chosen_and_never_told_is_taken_back(quick_path: Path) -> None:
    bench = Bench()
    with opened(quick_path) as (sampler, trials):
        first = teams_of(sampler.choose(bench.standing(), 3))
        assert teams_of(sampler.choose(bench.standing(), 3)) == first
        assert trials.order == []
    assert len(study_in(quick_path).get_trials(states=[optuna.trial.TrialState.FAIL])) == 3


@pytest.mark.parametrize("name", ["nsga2", "nsga3"])
def test_genetic_samplers_see_all_knobs_in_every_trial(quick_path: Path, name: str) -> None:
    bench = Bench()
    with opened(quick_path, name, start=START[:1]) as (sampler, _):
        bench.turn(sampler, 3)
        sampler.tell(Outcome(team=START[1], measurement=measurement(START[1])))  # that nobody asked for
    params = {frozenset(trial.params) for trial in study_in(quick_path).trials}
    assert params == {
        frozenset(
            {
                "topology",
                "single.model",
                *(f"vote.{knob}" for knob in ("agents", "model", "temperature")),
                *(f"cascade.{knob}" for knob in ("first", "votes", "temperature")),
            }
        )
    }


def test_a_search_over_engine_options_finds_the_best_of_them(quick_path: Path) -> None:
    bench, chosen = Bench(), []
    with opened(quick_path, space=WITH_ENGINES) as (sampler, _):
        for _ in range(4):
            for turn in sampler.choose(bench.standing(), 5):
                bench.run(turn)
                chosen.append(turn.team.engine["quantization"])
                better = 0.3 * (chosen[-1] == "fp8")
                sampler.tell(Outcome(team=turn.team, measurement=measurement(turn.team, quality=better, calls=1.0)))
    assert {None, "fp8"} == set(chosen)
    late = chosen[STARTUP_TRIALS:]
    assert late.count("fp8") > late.count(None)


# -- grid -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", [SPACE, SMALL, WITH_ENGINES])
def test_a_team_is_found_by_its_place(space: Space) -> None:
    assert [space.team_at(place) for place in range(space.settings)] == list(space.teams())
    with pytest.raises(IndexError):
        space.team_at(space.settings)


def test_the_grid_is_every_team_once(quick_path: Path) -> None:
    bench = Bench()
    with opened(quick_path, "grid", start=START) as (sampler, _):
        turns = sampler.choose(bench.standing(), 10 * len(SPACE))
    assert len(turns) == len(SPACE)
    assert {turn.team for turn in turns} == set(SPACE.teams())
    assert [turn.team for turn in turns[:2]] == list(START)
    assert len({turn.team.topology for turn in turns[:12]}) > 1  # not topology by topology


def test_a_grid_too_large_to_list_is_begun_at_once(quick_path: Path) -> None:
    wide = Grid(tuple(range(1, 200)))
    grids = dict.fromkeys(("first", "then", "temperature"), wide)
    space = Space({"cascade": {**grids, "votes": Grid(tuple(range(2, 10))), "agreement": Grid((0.5, 0.75, 1.0))}})
    assert len(space) > 100_000_000
    with opened(quick_path, "grid", space) as (sampler, _):
        turns = sampler.choose(Bench().standing(), 3)
    assert len({turn.team for turn in turns}) == 3


# -- by name ----------------------------------------------------------------------------------------------------------


def test_auto_is_our_own_as_far_as_it_sees_the_whole_space() -> None:
    wide = Grid(tuple(range(1, 200)))
    large = Space({"vote": {"agents": wide, "model": Grid(("small",)), "temperature": wide}})
    assert auto(SPACE, BudgetPart()) == "ehvi"
    assert auto(large, BudgetPart()) == "tpe"


def test_the_reference_names_every_sampler_and_where_auto_turns() -> None:
    reference = (ROOT / "docs" / "study-file.md").read_text(encoding="utf-8")
    assert [name for name in samplers.samplers() if f"`{name}`" not in reference] == []
    assert f"up to {MOST_TEAMS:,} teams" in reference


def test_an_unknown_sampler_is_refused_with_those_there_are() -> None:
    with pytest.raises(InputError, match=r"unknown sampler 'nsga' \(did you mean 'nsga[23]'\?\)\. Known: auto, "):
        require("nsga")


def test_a_sampler_is_made_by_its_own_name_alone(quick_path: Path) -> None:
    with opened(quick_path) as (_, trials), pytest.raises(ValueError, match="auto"):
        make(samplers.AUTO, Setting(space=SPACE, goal=GOAL, seed=1), trials)


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="torch is installed")
def test_gp_says_what_it_needs() -> None:
    with pytest.raises(
        InputError, match=r"gp needs torch.*not installed; to install it, run: pip install 'orkester\[gp\]'"
    ):
        require("gp")


def test_a_closed_team_that_was_not_told_is_recorded_first(quick_path: Path) -> None:
    bench = Bench()
    team = next(iter(SMALL.teams()))
    bench.run(Turn(team=team))
    with opened(quick_path, "grid", SMALL) as (sampler, trials):
        assert teams_of(bench.turn(sampler, 2)) == [team.id]
        assert trials.order == [team.id]
        assert team.id not in teams_of(bench.turn(sampler, 2))
