"""Counting drafts, and showing them to others."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orkester.graphs._context import plain_key
from orkester.graphs._votes import Draft, majority, with_drafts


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


def test_no_drafts_elect_nothing() -> None:
    with pytest.raises(ValueError, match="at least one draft"):
        majority([], plain_key)


def test_drafts_stand_below_the_question_a_line_each() -> None:
    shown = with_drafts("Capital of Norway?", ["Oslo", "It is\n\n Rome "])
    assert shown == "Capital of Norway?\nDrafts from other agents:\n- Oslo\n- It is Rome\nYour answer:"


def test_drafts_stand_behind_content_parts() -> None:
    parts = [{"type": "image_url", "image_url": {"url": "data:,"}}]
    shown = with_drafts(parts, ["Oslo"])
    assert shown[0] is parts[0]
    assert shown[1:] == [{"type": "text", "text": "\nDrafts from other agents:\n- Oslo\nYour answer:"}]
    assert len(parts) == 1


@pytest.mark.parametrize(("one", "other"), [("Oslo", " oslo. "), ('"Oslo"', "OSLO"), ("a  b", "a\nb")])
def test_answers_with_one_plain_key_are_one_vote(one: str, other: str) -> None:
    assert plain_key(one) == plain_key(other)
    assert plain_key(one) != plain_key("Rome")
