"""Counting drafts."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orkester.graphs._context import plain_key
from orkester.graphs._votes import Draft, majority


def drafts(*answers: str) -> list[Draft]:
    return [Draft(sample, answer) for sample, answer in enumerate(answers)]


@pytest.mark.parametrize(
    ("answers", "elected", "agreement"),
    [
        (["Oslo"], "Oslo", 1.0),
        (["Rome", "Oslo", "Oslo"], "Oslo", 2 / 3),
        (["Rome", "Oslo"], "Rome", 0.5),  # a tie: the lowest sample number
        (["Rome", "Oslo", "Oslo", "Rome"], "Rome", 0.5),
        (["Paris", "Rome", "Oslo", "Oslo", "Rome"], "Rome", 0.4),
        (["Rome", "oslo", "Oslo."], "oslo", 2 / 3),  # one vote; the wording of the first
    ],
)
def test_the_most_frequent_answer_is_elected(answers: list[str], elected: str, agreement: float) -> None:
    assert majority(drafts(*answers), plain_key) == (elected, pytest.approx(agreement))


@settings(max_examples=100, deadline=None)
@given(answers=st.lists(st.sampled_from(["a", "b", "c", "B"]), min_size=1, max_size=9), seed=st.integers(0, 99))
def test_the_order_of_arrival_does_not_matter(answers: list[str], seed: int) -> None:
    shuffled = drafts(*answers)
    random.Random(seed).shuffle(shuffled)
    elected, agreement = majority(shuffled, plain_key)
    assert (elected, agreement) == majority(drafts(*answers), plain_key)
    counts = {answer: [a.casefold() for a in answers].count(answer.casefold()) for answer in answers}
    assert agreement == max(counts.values()) / len(answers) == counts[elected] / len(answers)


@pytest.mark.parametrize(
    ("answers", "elected", "agreement"),
    [
        (["", "", "Oslo"], "Oslo", 1 / 3),
        (["", "Oslo", "Oslo"], "Oslo", 2 / 3),
        (["", ""], "", 0.5),
    ],
)
def test_a_draft_without_an_answer_is_no_vote(answers: list[str], elected: str, agreement: float) -> None:
    assert majority(drafts(*answers), plain_key) == (elected, pytest.approx(agreement))


def test_no_drafts_elect_nothing() -> None:
    with pytest.raises(ValueError, match="at least one draft"):
        majority([], plain_key)
