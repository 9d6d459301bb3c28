"""Changes to requests, and the line that a refused parameter is answered with."""

import pytest
import yaml

from orkester.serving.request_changes import RequestChanges, remedy

REQUEST = {"model": "m", "messages": [], "temperature": 0.5, "max_tokens": 8, "seed": 1}


def test_parameters_are_dropped_renamed_and_added() -> None:
    changes = RequestChanges(
        drop=("seed", "stop"), rename={"max_tokens": "max_completion_tokens"}, extra={"reasoning_effort": "low"}
    )
    assert changes.apply(REQUEST) == {
        "model": "m",
        "messages": [],
        "temperature": 0.5,
        "max_completion_tokens": 8,
        "reasoning_effort": "low",
    }
    assert RequestChanges.of(changes.as_json()) == changes
    assert not RequestChanges()
    assert RequestChanges().apply(REQUEST) == REQUEST
    assert RequestChanges().as_json() == {}


@pytest.mark.parametrize(
    ("words", "changed"),
    [
        ("Unrecognized request argument supplied: seed", {"drop": ["seed"]}),
        ("body.seed: property 'seed' is not supported", {"drop": ["seed"]}),
        ("Use 'max_completion_tokens' instead of 'max_tokens'.", {"rename": {"max_tokens": "max_completion_tokens"}}),
        ("max_tokens is not supported", {"drop": ["max_tokens"]}),
        ("`temperature` must be strictly positive", {"drop": ["temperature"]}),
        ("Extra inputs are not permitted (parameter 'stop')", {"drop": ["stop"]}),
        ("response_format is unavailable", {"drop": ["response_format"]}),
    ],
)
def test_a_refused_parameter_is_answered_with_an_entry_that_avoids_it(words: str, changed: object) -> None:
    said = remedy(words, "org/model-1", RequestChanges())
    assert yaml.safe_load(said[said.index("{") :]) == {"org/model-1": {"request": changed}}


def test_the_entry_keeps_the_changes_that_there_are() -> None:
    said = remedy(
        "unknown field 'seed'", "m:1", RequestChanges(drop=("stop",), rename={"max_tokens": "x"}, extra={"a": [1]})
    )
    entry = {"request": {"drop": ["stop", "seed"], "rename": {"max_tokens": "x"}, "extra": {"a": [1]}}}
    assert yaml.safe_load(said[said.index("{") :]) == {"m:1": entry}


@pytest.mark.parametrize(
    "words",
    [
        "maximum context length is 2048 tokens; reduce max_tokens",
        "max_tokens is too large: 9999",
        "the model has seen the seed of this question and must stop",
        "model not found",
        "",
    ],
)
def test_other_complaints_have_no_remedy(words: str) -> None:
    assert remedy(words, "m", RequestChanges()) == ""


def test_a_parameter_that_was_not_sent_is_not_dropped_again() -> None:
    assert remedy("unknown argument: seed", "m", RequestChanges(drop=("seed",))) == ""
