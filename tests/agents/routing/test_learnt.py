import pytest

from orkester.agents.routing import RoutingRecord, RoutingRequest, routing_policy
from orkester.agents.routing.learnt import Learnt
from orkester.errors import InputError
from orkester.testing.routing_contract import RECORDS


def choice(policy: Learnt, question: str, *choices: str) -> str:
    return policy.route(RoutingRequest(question=question, choices=choices or ("small", "large"))).choice


def test_it_learns_who_answers_which_questions() -> None:
    policy = Learnt().fitted(RECORDS)
    assert choice(policy, "What is 512 + 33?") == "small"
    assert choice(policy, "Which river is in the land of Oz?") == "large"
    assert choice(policy, "What is 512 + 33?", "large", "other") == "large"  # nothing is known about the other
    probability = policy.probability("What is 512 + 33?", "small")
    assert probability is not None
    assert 0.7 < probability < 1
    assert policy.probability("?", "other") is None


def test_the_reason_has_the_probabilities() -> None:
    route = Learnt().fitted(RECORDS).route(RoutingRequest(question="What is 4 + 4?", choices=("small", "large")))
    assert route.reason.startswith("large is right with probability 0.")
    assert ", small is right with probability 0." in route.reason


def test_the_order_of_the_choices_does_not_matter() -> None:
    for policy in (Learnt(), Learnt().fitted(RECORDS), Learnt().fitted([])):
        for question in ("What is 4 + 4?", "Which river?", ""):
            assert choice(policy, question, "a", "small", "large") == choice(policy, question, "large", "small", "a")


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_models_that_are_always_right_or_never_right_can_be_learnt(score: float) -> None:
    records = [RoutingRecord(question=f"q {i}", choice=name, score=score) for i in range(6) for name in ("b", "a")]
    assert choice(Learnt().fitted(records), "q 9", "b", "a") == "a"  # both are as good; the first by name


def test_one_record_is_enough_to_be_fitted() -> None:
    policy = Learnt().fitted([RoutingRecord(question="x", choice="a", score=1.0)])
    assert policy.probability("y", "a") == pytest.approx(0.75)


def test_it_takes_any_question() -> None:
    policy = Learnt().fitted(
        [RoutingRecord(question=[{"type": "text", "text": "\ud800 å 漢"}], choice="a", score=0.5)] * 2
    )
    assert choice(policy, "\ud800", "a", "b") == "a"


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        (4, "examples must be a whole number of 5 or more"),
        (0, "examples must be a whole number of 5 or more"),
        ("many", "takes a whole number as examples, but got 'many'"),
        (True, "takes a whole number as examples, but got True"),
    ],
)
def test_too_few_examples_are_refused(examples: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        routing_policy("learnt", {"examples": examples})
