"""Baselines: what guesses score, from the right answers alone."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from orkester.evals.records.block import Phase
from orkester.evals.scorers import scorer
from orkester.evals.summaries.baselines import Baseline, baseline_of, baselines
from orkester.evals.task import Example


def examples(*golds: Any) -> Sequence[Example]:
    return [Example(id=str(i), question=f"question {i}", expected=gold) for i, gold in enumerate(golds)]


def found(name: str, search: Sequence[Any], confirm: Sequence[Any]) -> Sequence[Baseline]:
    parts: dict[Phase, Sequence[Example]] = {"search": examples(*search), "confirm": examples(*confirm)}
    return baselines(scorer(name), parts)


def test_the_most_frequent_right_answer_is_the_constant_one_and_the_held_out_examples_judge_it() -> None:
    constant, uniform = found("exact", ["yes"] * 6 + ["no"] * 4, ["yes", "no", "no", "no"])
    assert constant.name == "constant answer 'yes'"
    assert constant.value("search") == 0.6
    assert constant.value("confirm") == 0.25
    assert constant.value("confirm", 2) == 0.5
    assert uniform.name == "uniform guess among 2 answers"
    assert (uniform.value("search"), uniform.value("confirm")) == (0.5, 0.5)


def test_the_constant_answer_is_the_one_that_the_scorer_rates_best_of_the_frequent_ones() -> None:
    """A gold with several answers is right with each of them."""
    constant, *_ = found("exact", ["a", "a", "a", ["b", "c"], ["c", "b"], "b", "b"], ["b"])
    assert constant.name == "constant answer 'b'"
    assert constant.value("search") == pytest.approx(4 / 7)
    assert constant.scores["confirm"] == (1.0,)


def test_the_quality_of_a_guess_has_an_interval() -> None:
    constant, uniform = found("exact", ["yes"] * 30 + ["no"] * 20, ["yes", "no", "no", "no"])
    quality = constant.estimate("search")
    assert (quality.value, quality.n) == (0.6, 50)
    assert (quality.low, quality.high) == pytest.approx((0.462, 0.724), abs=0.001)  # Wilson
    assert uniform.estimate("search").value == 0.5


def test_objects_are_guessed_as_json() -> None:
    constant, *_ = found("json", [{"a": 1}, {"a": 1.0}, {"a": 2}], [{"a": 1}])
    assert constant.value("search") == pytest.approx(2 / 3)
    assert constant.value("confirm") == 1


def test_forms_of_one_answer_count_together() -> None:
    constant, *_ = found("numeric", ["1,000", "1000", "1000.0", "7", "7"], ["1e3"])
    assert constant.name == "constant answer '1,000'"
    assert constant.scores["search"] == (1.0, 1.0, 1.0, 0.0, 0.0)
    assert constant.value("confirm") == 1.0


def test_letters_have_a_uniform_guess_and_free_answers_have_none() -> None:
    assert [each.name for each in found("choice", list("ABCDABCDABCDABCDABCD"), ["A"])] == [
        "constant answer 'A'",
        "uniform guess among 4 answers",
    ]
    assert [each.name for each in found("exact", [f"city {i}" for i in range(60)], ["city 1"])] == [
        "constant answer 'city 0'"
    ]


def test_a_long_answer_is_shortened_and_stays_one_line() -> None:
    (constant,) = found("exact", ["many words\n" * 10], ["x"])
    assert constant.name == "constant answer 'many words many words many words many'…"


def test_a_baseline_is_the_same_after_it_was_written() -> None:
    for baseline in found("exact", ["yes"] * 6 + ["no"] * 5, ["yes", "no"]):
        again = baseline_of(json.loads(json.dumps(baseline.as_json())))
        assert again.name == baseline.name
        for phase, scores in baseline.scores.items():
            assert again.scores[phase] == pytest.approx(scores)
