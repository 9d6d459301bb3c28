"""The policy ``cost_aware``: the cheapest model that is good enough."""

import random
from typing import Any

import numpy as np
import pytest

from orkester.agents.routing import RoutingRecord, RoutingRequest, routing_policy
from orkester.agents.routing._logistic import fit_scale, sigmoid
from orkester.agents.routing._regressions import Regressions
from orkester.agents.routing.cost_aware import CostAware
from orkester.errors import InputError
from orkester.testing.routing_contract import RECORDS

SUMS = [f"What is {i} + {i * 3 + 1}?" for i in range(30)]
RIVERS = [f"Which river is in {chr(97 + i % 26)}{i}?" for i in range(30)]


def records(*, cheap: str = "small") -> list[RoutingRecord]:
    """``small`` answers sums, ``large`` answers everything; one of them is cheap."""
    return [
        RoutingRecord(question=question, choice=model, score=score, energy_j=1.0 if model == cheap else 10.0)
        for question in (*SUMS, *RIVERS)
        for model, score in (("small", float(question in SUMS)), ("large", 1.0))
    ]


def choice(policy: CostAware, question: str, *choices: str) -> str:
    return policy.route(RoutingRequest(question=question, choices=choices or ("small", "large"))).choice


def test_the_cheapest_that_is_good_enough_gets_the_question() -> None:
    policy = CostAware().fitted(records())
    assert choice(policy, "What is 400 + 5?") == "small"
    assert choice(policy, "Which river is in Egypt?") == "large"
    reason = policy.route(RoutingRequest(question="What is 4 + 5?", choices=("large", "small"))).reason
    assert reason.startswith("the cheapest that is right with 0.7 or more: small ")
    assert "large" in reason
    assert "10 J" in reason


def test_joules_decide_and_not_the_order_of_the_choices() -> None:
    policy = CostAware().fitted(records(cheap="large"))
    for question in ("What is 400 + 5?", "Which river is in Egypt?"):
        assert choice(policy, question, "small", "large") == choice(policy, question, "large", "small") == "large"


def test_without_joules_the_choices_are_in_order_of_their_cost() -> None:
    bare = [RoutingRecord(question=each.question, choice=each.choice, score=each.score) for each in records()]
    policy = CostAware().fitted(bare)
    assert choice(policy, "What is 400 + 5?", "large", "small") == "large"
    assert choice(policy, "What is 400 + 5?", "small", "large") == "small"


def test_where_none_is_good_enough_the_best_gets_the_question() -> None:
    poor = [
        RoutingRecord(question=f"Q {i} of many?", choice=model, score=float(i % 10 < right), energy_j=joules)
        for i in range(60)
        for model, right, joules in (("small", 2, 1.0), ("large", 4, 9.0))
    ]
    assert choice(CostAware(floor=0.9).fitted(poor), "Q 7 of many?") == "large"
    assert choice(CostAware(floor=0.1).fitted(poor), "Q 7 of many?") == "small"


def test_before_it_has_learnt_the_first_choice_is_taken() -> None:
    assert choice(CostAware(), "?", "b", "a") == "b"


def test_its_probabilities_are_calibrated() -> None:
    """Of new questions that are right with a stated probability, about that share is right."""
    rng = random.Random(3)
    kinds = {"alpha": 0.9, "beta": 0.5, "gamma": 0.2}

    def made(count: int) -> list[RoutingRecord]:
        names = [rng.choice(list(kinds)) for _ in range(count)]
        return [
            RoutingRecord(question=f"{name} {rng.random()}", choice="m", score=float(rng.random() < kinds[name]))
            for name in names
        ]

    fitted = Regressions.fit(made(96), calibrated=True)
    for name, share in kinds.items():
        found = fitted.probability(f"{name} {rng.random()}", "m")
        assert found is not None
        assert abs(found - share) < 0.17, (name, found)


def test_a_question_that_was_seen_is_decided_without_its_own_answer() -> None:
    """The only question with its word was answered rightly; nothing else says so."""
    base = [RoutingRecord(question=f"common {i}", choice="m", score=0.0) for i in range(40)]
    own = RoutingRecord(question="unheard", choice="m", score=1.0)
    fitted = Regressions.fit([*base, own], calibrated=True)
    seen, new = fitted.probability("unheard", "m"), fitted.probability("unheard thing", "m")
    assert seen is not None
    assert new is not None
    assert seen < 0.15 < new


@pytest.mark.parametrize("share", [0.5, 0.75, 0.9])
def test_where_words_say_nothing_the_probability_is_the_share_that_was_right(share: float) -> None:
    errors = []
    for seed in range(10):
        rng = random.Random(seed)
        made = [
            RoutingRecord(
                question=f"What is {rng.randint(1, 999)} + {rng.randint(1, 999)}?",
                choice="m",
                score=float(rng.random() < share),
            )
            for _ in range(96)
        ]
        found = Regressions.fit(made, calibrated=True).probability("What is 1000 + 2000?", "m")
        assert found is not None
        errors.append(abs(found - sum(record.score for record in made) / len(made)))
    assert max(errors) < 0.03


@pytest.mark.parametrize("calibrated", [False, True])
@pytest.mark.parametrize("count", [1, 10, 24, 48])
def test_no_question_has_a_say_in_its_own_probability(count: int, calibrated: bool) -> None:
    rng = random.Random(count)
    scores = [float(rng.random() < 0.6) for _ in range(count)]
    sums: list[Any] = [f"What is {i} + {7 * i}?" for i in range(count)]
    pictures: list[Any] = [
        [{"type": "text", "text": "How many dogs?"}, {"type": "image_url", "image_url": {"url": f"data:{i}"}}]
        for i in range(count)
    ]
    for questions in (sums, pictures):
        found = set()
        for own in (0.0, 1.0):
            made = [
                RoutingRecord(question=question, choice="m", score=own if i == 0 else scores[i])
                for i, question in enumerate(questions)
            ]
            found.add(Regressions.fit(made, calibrated=calibrated).probability(questions[0], "m"))
        assert len(found) == 1


def test_joules_that_are_no_numbers_do_not_count_and_equal_ones_leave_the_order() -> None:
    broken = [RoutingRecord(question="q", choice="small", score=1.0, energy_j=float("nan"))]
    policy = CostAware().fitted([*records(), *broken])
    assert choice(policy, "What is 400 + 5?", "large", "small") == "small"
    same = [RoutingRecord(question=each.question, choice=each.choice, score=1.0, energy_j=1.0) for each in records()]
    policy = CostAware().fitted(same)
    assert choice(policy, "What is 4 + 5?", "large", "small") == "large"
    assert choice(policy, "What is 4 + 5?", "small", "large") == "small"


def test_scaling_leaves_calibrated_scores_alone_and_mends_the_others() -> None:
    rng = np.random.default_rng(5)
    scores = rng.normal(0, 2, 4000)
    targets = (rng.random(4000) < sigmoid(scores)).astype(float)
    slope, shift = fit_scale(scores, targets)
    assert slope == pytest.approx(1, abs=0.12)
    assert shift == pytest.approx(0, abs=0.12)
    slope, shift = fit_scale(scores / 3 + 1, targets)
    assert slope == pytest.approx(3, abs=0.3)
    assert fit_scale(np.zeros(0), np.zeros(0)) == (1.0, 0.0)


@pytest.mark.parametrize("options", [{"floor": 0.0}, {"floor": 1.0}, {"floor": "high"}, {"examples": 4}, {"joules": 3}])
def test_options_that_cannot_be_used_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(InputError):
        routing_policy("cost_aware", options)


def test_the_same_records_give_the_same_policy() -> None:
    one, other = CostAware().fitted(RECORDS), CostAware().fitted(RECORDS)
    request = RoutingRequest(question="What is 2 + 3?", choices=("small", "large"))
    assert one.route(request) == other.route(request)
