"""The scorer ``judge``: what it asks, and how its verdicts are read."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from orkester.errors import CallFailed, InputError
from orkester.evals.scorers import Answered, Score, scorer
from orkester.evals.scorers.judge import Judge, preference, verdict
from orkester.testing.scripted import ChatCall, scripted_models


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("correct", True),
        ("Correct.", True),
        ("**Correct**", True),
        ("Verdict: correct", True),
        ("The answer is correct.", True),
        ("Correct, although the reason it gives is incorrect.", True),
        ("incorrect", False),
        ("INCORRECT", False),
        ("The answer is not correct.", False),
        ("It isn't correct", False),
        ("It isn’t quite correct", False),
        ("That is wrong.", False),
        ("Incorrect. The correct answer is Oslo.", False),
        ("The answer is incorrect. The correct answer is Oslo.", False),
        ("The correct answer is Oslo, so this is incorrect.", False),
        ("The correct answer is Oslo.", None),
        ("This is the correct answer.", True),
        ("It is correct in form and incorrect in fact.", None),
        ("", None),
        ("Yes", None),
        ("I cannot tell", None),
        ("correctness", None),
    ],
)
def test_a_verdict_is_read(text: str, right: bool | None) -> None:
    assert verdict(text) is right


@pytest.mark.parametrize(
    ("text", "winner"),
    [
        ("A", "A"),
        ("b", "B"),
        ("**B**", "B"),
        ("(A)", "A"),
        ("Answer A is better.", "A"),
        ("B is better than A", "B"),
        ("tie", "tie"),
        ("Tie.", "tie"),
        ("Both are equally good.", "tie"),
        ("A better answer would name the city.", None),
        ("Answer A names Oslo, and answer B names Bergen.", None),
        ("", None),
        ("neither", None),
    ],
)
def test_a_preference_is_read(text: str, winner: str | None) -> None:
    assert preference(text) == winner


def judged(answer: str, says: Callable[[ChatCall], str], **options: Any) -> tuple[Score, list[ChatCall]]:
    models, calls = scripted_models(says)
    answered = Answered(question="What is the capital of Norway?", answer=answer, expected=["Oslo", "Christiania"])
    return asyncio.run(Judge(model="large", **options).evaluate(answered, models)), calls


def test_it_asks_once_with_the_question_the_answer_and_what_is_expected() -> None:
    score, (call,) = judged("It is Oslo.", lambda call: "correct")
    assert score.value == 1
    assert score.detail == {"judge": "large", "verdict": "correct", "has_expected": True}
    assert (call.temperature, call.agent, call.model) == (0.0, "judge", "large")
    for words in ("What is the capital of Norway?", "Answer: It is Oslo.", "Expected answer: Oslo\nor: Christiania"):
        assert words in call.content


def test_criteria_of_the_study_replace_those_of_the_scorer() -> None:
    _, (call,) = judged("Oslo", lambda call: "correct", criteria="It must rhyme {so}.")
    assert "It must rhyme {so}." in call.messages[0]["content"]
    assert "says the same" not in call.messages[0]["content"]


def test_a_verdict_that_cannot_be_read_is_not_right_and_is_kept() -> None:
    score, _ = judged("Bergen", lambda call: "Well, it depends.")
    assert score.value == 0
    assert score.detail == {"judge": "large", "verdict": None, "reply": "Well, it depends.", "has_expected": False}


@pytest.mark.parametrize(
    ("says", "value", "first", "second"),
    [
        (lambda call: "A" if call.content.index("mine") < call.content.index("Oslo") else "B", 1.0, "A", "B"),
        (lambda call: "B" if call.content.index("mine") < call.content.index("Oslo") else "A", 0.0, "B", "A"),
        (lambda call: "A", 0.5, "A", "A"),  # it prefers a position
        (lambda call: "tie", 0.5, "tie", "tie"),
        (lambda call: "Well", 0.0, None, None),
    ],
)
def test_pairs_are_asked_in_both_orders(
    says: Callable[[ChatCall], str], value: float, first: str | None, second: str | None
) -> None:
    score, calls = judged("mine", says, pairs=True)
    assert score.value == value
    assert (score.detail["first"], score.detail["second"]) == (first, second)
    assert len(calls) == len(score.replies) == 2


def refusing(kind: str) -> Callable[[ChatCall], str]:
    def refuse(call: ChatCall) -> str:
        raise CallFailed(kind, "too long", 1)

    return refuse


def test_an_answer_that_the_judge_cannot_take_is_not_right_and_the_reason_is_kept() -> None:
    score, _ = judged("long", refusing("http 400"))
    assert score.value == 0
    assert score.detail["verdict"] is None
    assert "too long" in score.detail["error"]


@pytest.mark.parametrize("kind", ["timeout", "http 401", "http 404", "http 500", "connection"])
def test_other_failures_say_nothing_about_the_answer(kind: str) -> None:
    with pytest.raises(CallFailed):
        judged("Oslo", refusing(kind))


def test_pictures_of_the_question_are_shown_to_the_judge() -> None:
    models, calls = scripted_models(lambda call: "correct")
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    answered = Answered(question=[picture], answer="a cat", expected="cat")
    asyncio.run(Judge(model="large").evaluate(answered, models))
    assert picture in calls[0].content


@pytest.mark.parametrize("options", [{}, {"model": "large", "max_tokens": 0}])
def test_options_that_cannot_be_used_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        scorer({"judge": options})
