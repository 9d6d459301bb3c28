"""The scorer ``judge``: what it asks, and how its verdicts are read."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from orkester.errors import CallFailed, InputError
from orkester.evals.scorers import Answered, Score, scorer
from orkester.evals.scorers.judge import Judge, preference, verdict
from orkester.testing.scripted import ChatCall, scripted_models

CORRECT = (
    "correct",
    "Correct.",
    "**Correct**",
    "Verdict: correct",
    "Final verdict: **Correct**.",
    "The answer is correct.",
    "It's correct",
    "Correct, although the reason it gives is incorrect.",
    "Correct. The expected answer is Oslo, too.",
    "Correct because both are Oslo",
    "The expected answer is Oslo.\nThe answer says Oslo.\nCorrect",
    "The answer says something else, I thought.\n\nVerdict: correct",
)
INCORRECT = (
    "incorrect",
    "INCORRECT",
    "Not correct",
    "**Not** correct",
    'not "correct"',
    "The answer is not correct.",
    "The answer is **not** correct.",
    "It isn't correct",
    "aren't correct? It is wrong.",
    "That is wrong.",
    "Incorrect. The correct answer is Oslo.",
    "The answer is incorrect. The correct answer is Oslo.",
    "The correct answer is Oslo, so this is incorrect.",
    "Correct or incorrect?\nIncorrect.",
)
UNCLEAR = (
    "",
    "Yes",
    "I cannot tell",
    "correctness",
    "The correct answer is Oslo.",
    "Correct answer: Paris. The given answer says London.",
    "The correct answer, Paris, was not given.",
    "The answer does not match the correct answer.",
    "No, the expected answer is the correct one.",
    "It cannot be considered correct.",
    "The answer doesn't seem correct.",
    "The answer is never correct.",
    "The answer is hardly correct.",
    "far from correct",
    "The answer is neither correct nor complete",
    "The answer is partially correct",
    "The answer is only half correct",
    "Correct: no",
    "Correct? No.",
    "is correct: False",
    "in-correct",
    "It is correct in form and incorrect in fact.",
    "The answer is incorrect. The answer is correct.",
    "It would be correct",
)


@pytest.mark.parametrize(
    ("text", "right"),
    [*((text, True) for text in CORRECT), *((text, False) for text in INCORRECT), *((text, None) for text in UNCLEAR)],
)
def test_a_verdict_is_read_or_unclear(text: str, right: bool | None) -> None:
    assert verdict(text) is right


@pytest.mark.parametrize(
    ("text", "winner"),
    [
        ("A", "A"),
        ("b", "B"),
        ("**B**", "B"),
        ("(A)", "A"),
        ("Answer b", "B"),
        ("Answer: A", "A"),
        ("Answer A is better.", "A"),
        ("Answer A is better than Answer B.", "A"),
        ("B is better than A", "B"),
        ("A is worse than B.", "B"),
        ("A. It names the city.", "A"),
        ("B because it names the city", "B"),
        ("A: good\nB: better\nB", "B"),
        ("Both answers are correct, but Answer B is better.", "B"),
        ("tie", "tie"),
        ("Tie.", "tie"),
        ("A and B are equally good.", "tie"),
        ("It's a tie between A and B.", "tie"),
        ("Both are equally good.", "tie"),
        ("A, B or tie: B", None),
        ("I would pick A over B", None),
        ("A < B", None),
        ("Not A", None),
        ("Neither A nor B is better", None),
        ("A is wrong. B is right.", None),
        ("B is incorrect, so A", None),
        ("A: incorrect\nB: correct", None),
        ("A better answer would name the city.", None),
        ("Answer A names Oslo, and answer B names Bergen.", None),
        ("", None),
        ("neither", None),
    ],
)
def test_a_preference_is_read_or_unclear(text: str, winner: str | None) -> None:
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
