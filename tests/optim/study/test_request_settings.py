"""The settings of the requests to a model, over all teams of a space."""

from pathlib import Path

from support import write_study

import orkester
from orkester.optim.study.request_settings import RequestSettings, request_settings, settings_of_all


def test_the_temperatures_and_the_limit_of_tokens_of_every_topology_are_found(tmp_path: Path) -> None:
    search = {
        "single": {"model": "any"},
        "vote": {"agents": 2, "model": "small", "temperature": [0.5, 0.6]},
        "cascade": {"first": "small", "then": "large", "votes": 2, "temperature": [0.8, 0.9], "agreement": 1.0},
    }
    study = orkester.load_study(write_study(tmp_path, search=search, roles={"then": {"max_tokens": 7}}))
    assert request_settings(study.space, study.task, "small") == {
        "single": RequestSettings(temperatures=(0.0,), max_tokens=16),
        "vote": RequestSettings(temperatures=(0.5, 0.55, 0.6), max_tokens=16),
        "cascade": RequestSettings(temperatures=(0.8, 0.85, 0.9), max_tokens=16),
    }
    assert request_settings(study.space, study.task, "large") == {
        "single": RequestSettings(temperatures=(0.0,), max_tokens=16),
        "cascade": RequestSettings(temperatures=(0.0,), max_tokens=7),
    }
    both = settings_of_all(study.space, study.task, "small")
    assert both == RequestSettings(temperatures=(0.0, 0.5, 0.55, 0.6, 0.8, 0.85, 0.9), max_tokens=16)
    assert settings_of_all(study.space, study.task, "absent") is None


def test_a_temperature_that_a_role_sets_is_the_only_one(tmp_path: Path) -> None:
    search = {"vote": {"agents": 2, "model": "small", "temperature": [0.3, 1.0]}}
    study = orkester.load_study(write_study(tmp_path, search=search, roles={"voter": {"temperature": 0.2}}))
    found = request_settings(study.space, study.task, "small")
    assert found["vote"].temperatures == (0.2,)
