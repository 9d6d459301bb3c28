"""The search space: grids, and the way to Optuna's parameters and back."""

import random
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import optuna
import pytest
from hypothesis import HealthCheck, given, settings
from support import write_study

import orkester
from orkester.graphs import Team
from orkester.optim.study.space import Space

SEARCH: dict[str, Any] = {
    "single": {"model": "any", "temperature": 0.2},
    "vote": {"agents": [2, 5], "model": ["large"], "temperature": [0.3, 1.0]},
    "cascade": {"first": "small", "then": "any", "votes": [2, 4], "temperature": 0.5, "agreement": [0.5, 0.62]},
    "debate": {"agents": 3, "rounds": [1, 2], "model": "any", "temperature": [0.0, 1.2]},
}


def space(folder: Path, search: dict[str, Any]) -> Space:
    return orkester.load_study(write_study(folder, search=search)).space


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Space:
    return space(tmp_path_factory.mktemp("space"), SEARCH)


@pytest.mark.parametrize(
    ("knob", "asked", "values"),
    [
        ("agents", [2, 5], (2, 3, 4, 5)),
        ("agents", 4, (4,)),
        ("agents", [4, 4], (4,)),
        ("temperature", [0.3, 0.5], (0.3, 0.35, 0.4, 0.45, 0.5)),
        ("temperature", [0.33, 0.5], (0.33, 0.38, 0.43, 0.48)),
        ("temperature", [0, 0.1], (0.0, 0.05, 0.1)),
        ("temperature", 1, (1.0,)),
        ("model", "any", ("small", "large")),
        ("model", "large", ("large",)),
        ("model", ["large", "small", "large"], ("large", "small")),
    ],
)
def test_what_is_asked_becomes_a_grid(tmp_path: Path, knob: str, asked: Any, values: tuple[Any, ...]) -> None:
    grid = space(tmp_path, {"vote": {knob: asked}}).grids["vote"][knob]
    assert grid.values == values
    assert [type(value) for value in grid.values] == [type(value) for value in values]
    assert grid.fixed == (len(values) == 1)


def test_a_knob_that_is_not_named_is_its_default_and_models_are_any(tmp_path: Path) -> None:
    grids = space(tmp_path, {"vote": None}).grids["vote"]
    assert {name: grid.values for name, grid in grids.items()} == {
        "agents": (5,),
        "model": ("small", "large"),
        "temperature": (0.7,),
    }


def test_the_size_is_the_number_of_different_teams(full: Space) -> None:
    teams = list(full.teams())
    assert len(full) == len(teams) == len({team.id for team in teams})
    # Two votes agree by a half or wholly, three by two thirds, four by a half or three quarters; where two votes that
    # agree by a half are enough, the second model is never asked.
    cascades = (1 + 2) + 2 + 2 * 2
    assert len(full) == 2 + 4 * 15 + cascades + 2 * 2 * 25
    assert full.settings == 2 + 4 * 15 + 2 * 3 * 3 + 2 * 2 * 25
    assert all(team in full for team in teams)


def test_every_team_of_a_space_is_one_its_topology_takes(full: Space) -> None:
    assert all(team.check() is team for team in full.teams())


def test_a_team_off_the_grid_is_not_in_the_space(full: Space) -> None:
    team = next(team for team in full.teams() if team.topology == "vote")
    assert Team("vote", {**team.knobs, "temperature": 0.32}) not in full
    assert Team("vote", {**team.knobs, "model": "small"}) not in full
    assert Team("vote", {"agents": 2}) not in full
    assert "vote" not in full


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), engines=st.booleans())
def test_a_team_survives_the_way_through_an_optuna_trial(
    full: Space, with_engines: Space, seed: int, engines: bool
) -> None:
    space = with_engines if engines else full
    team = space.draw(random.Random(seed))
    assert team in space
    params = space.params(team)
    assert {name for name in params if name.startswith("engine.")} == {f"engine.{name}" for name in team.engine}
    assert space.suggest(optuna.trial.FixedTrial(params)) == team
    study = optuna.create_study()
    study.enqueue_trial(params)
    trial = study.ask()
    asked = space.suggest(trial)
    assert asked == team
    assert {type(value) for value in asked.engine.values()} == {type(value) for value in team.engine.values()}
    assert trial.params.keys() == params.keys()
    assert all(trial.params[name] == (pytest.approx(v) if isinstance(v, float) else v) for name, v in params.items())


@pytest.mark.parametrize("fixture", ["full", "with_engines"])
def test_whatever_optuna_draws_is_exactly_on_the_grid(fixture: str, request: pytest.FixtureRequest) -> None:
    space: Space = request.getfixturevalue(fixture)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    drawn = [space.suggest(study.ask()) for _ in range(150)]
    assert all(team in space for team in drawn)
    assert {team.topology for team in drawn} == set(SEARCH)
    assert len({tuple(team.engine.values()) for team in drawn}) == (8 if space.engine else 1)


#: What is searched of the engines, in the way of a study file.
ENGINE: dict[str, Any] = {
    "max_num_active_seqs": [2, 4],
    "kv_cache_dtype": ["auto"],  # no choice
    "prefix_caching": [True, False],
    "quantization": ["none", "fp8"],
}


@pytest.fixture(scope="module")
def with_engines(tmp_path_factory: pytest.TempPathFactory) -> Space:
    path = write_study(tmp_path_factory.mktemp("engines"), search=SEARCH, engine_options=ENGINE)
    return orkester.load_study(path).space


def test_engine_options_multiply_the_teams_of_every_topology(full: Space, with_engines: Space) -> None:
    teams = list(with_engines.teams())
    assert len(with_engines) == len(teams) == len({team.id for team in teams}) == 2 * 2 * 2 * len(full)
    assert all(team in with_engines for team in teams)
    assert all(team not in full for team in teams)
    assert {tuple(sorted(team.engine)) for team in teams} == {("max_num_active_seqs", "prefix_caching", "quantization")}
    assert not any(team in with_engines for team in full.teams())
    other = Team(teams[0].topology, teams[0].knobs, {**teams[0].engine, "max_num_active_seqs": 3})
    assert other not in with_engines


def test_the_space_says_what_a_change_of_its_engine_options_costs(full: Space, with_engines: Space) -> None:
    assert full.restarts == {}
    assert with_engines.restarts == {
        "max_num_active_seqs": "warm restart",
        "prefix_caching": "warm restart",
        "quantization": "full restart",
    }


def test_the_space_says_which_engines_its_teams_need(tmp_path: Path, full: Space, with_engines: Space) -> None:
    assert full.configurations() == [(("small", "large"), {})]
    found = with_engines.configurations()
    assert len(found) == 8
    assert {models for models, _ in found} == {("small", "large")}
    assert [dict(engine) for _, engine in found] == [
        {"max_num_active_seqs": seqs, "prefix_caching": caching, "quantization": method}
        for seqs in (2, 4)
        for caching in (True, False)
        for method in (None, "fp8")
    ]
    needed = {(model, frozenset(team.engine.items())) for team in with_engines.teams() for model in team.models}
    assert {(m, frozenset(engine.items())) for models, engine in found for m in models} == needed
    assert space(tmp_path, {"vote": {"model": "large"}}).configurations() == [(("large",), {})]


def test_fixed_knobs_are_no_parameters(full: Space) -> None:
    team = next(team for team in full.teams() if team.topology == "cascade")
    assert set(full.params(team)) == {"topology", "cascade.then", "cascade.votes", "cascade.agreement"}


@pytest.fixture(autouse=True)
def _quiet_optuna() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
