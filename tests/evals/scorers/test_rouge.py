"""The scorer ``rouge``: shares that were computed by hand."""

import sys
from typing import Any

import pytest

from orkester.errors import InputError
from orkester.evals.scorers import Scorer, scorer

ANSWER, EXPECTED = "the cat sat on the mat", "the cat is on the mat today"


def rouge(**options: Any) -> Scorer:
    made = scorer({"rouge": options})
    assert isinstance(made, Scorer)
    return made


@pytest.mark.parametrize(
    ("options", "share"),
    [
        ({}, 2 * 5 / (6 + 7)),
        ({"measure": "precision"}, 5 / 6),
        ({"measure": "recall"}, 5 / 7),
        ({"variant": "rouge1"}, 2 * 5 / (6 + 7)),
        ({"variant": "rouge2"}, 2 * 3 / (5 + 6)),
        ({"variant": "rouge3"}, 2 * 1 / (4 + 5)),
        ({"variant": "rougeLsum"}, 2 * 5 / (6 + 7)),
    ],
)
def test_the_share_of_the_expected_text(options: dict[str, Any], share: float) -> None:
    assert rouge(**options).score(ANSWER, EXPECTED) == pytest.approx(share)


@pytest.mark.parametrize(
    ("answer", "expected", "share"),
    [
        ("答えは東京です", "東京", 2 * 2 / (7 + 2)),  # each letter is a word
        ("Москва — столица", "Москва", 2 * 1 / (2 + 1)),
        ("L’été à Paris", "l'été à Paris", 1),
        ("the cat’s mat", "the cat's mat", 1),
        ("", "Oslo", 0),
        ("Oslo", "Bergen", 0),
    ],
)
def test_other_alphabets_have_words_too(answer: str, expected: str, share: float) -> None:
    assert rouge().score(answer, expected) == pytest.approx(share)


def test_the_best_of_several_expected_texts_counts() -> None:
    assert rouge().score("Oslo", ["Bergen", "Oslo"]) == 1


def test_endings_do_not_count_when_it_stems() -> None:
    assert rouge().score("two cats running", "two cat run") == pytest.approx(1 / 3)
    assert rouge(stem=True).score("two cats running", "two cat run") == 1


@pytest.mark.parametrize("options", [{"variant": "rougeX"}, {"measure": "f2"}])
def test_options_that_cannot_be_used_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="is one of"):
        rouge(**options)


def test_without_the_package_the_remedy_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rouge_score", None)
    with pytest.raises(InputError, match=r"pip install 'orkester\[scorers\]'"):
        rouge()
