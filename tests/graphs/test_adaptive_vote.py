"""The adaptive vote: the same winner as a vote of all, and no call in vain."""

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orkester.graphs import Team, TeamSettings
from orkester.graphs._votes import Draft, majority
from orkester.graphs.adaptive_vote import chance, votes_to_come
from orkester.testing.scripted import scripted_models


def asked(answers: list[str], confidence: float = 1.0) -> tuple[str, int]:
    """The winner, and how many agents were asked, when agents would say these answers."""
    drafts: list[Draft] = []
    while more := votes_to_come(drafts, str, agents=len(answers), confidence=confidence):
        drafts += [Draft(i, answers[i]) for i in range(len(drafts), len(drafts) + more)]
    return majority(drafts, str)[0], len(drafts)


@settings(max_examples=500, deadline=None)
@given(answers=st.lists(st.sampled_from(["a", "b", "c", ""]), min_size=3, max_size=9))
def test_with_confidence_1_the_winner_is_that_of_a_vote_of_all(answers: list[str]) -> None:
    winner, count = asked(answers)
    everyone = majority([Draft(i, answer) for i, answer in enumerate(answers)], str)[0]
    assert winner == everyone
    assert count <= len(answers)


@pytest.mark.parametrize("agents", [3, 4, 5, 6])
def test_it_stops_as_soon_as_no_answer_could_change_the_winner(agents: int) -> None:
    """Whatever is left unsaid: before the last wave, some continuation would elect another answer."""
    for answers in itertools.product("abc", repeat=agents):
        drafts: list[Draft] = []
        while more := votes_to_come(drafts, str, agents=agents, confidence=1.0):
            if drafts:
                said = [draft.answer for draft in drafts]
                winners = {
                    majority([Draft(i, answer) for i, answer in enumerate((*said, *rest))], str)[0]
                    for rest in itertools.product("abcd", repeat=agents - len(said))
                }
                assert len(winners) > 1, (said, "it goes on although it is decided")
            drafts += [Draft(i, answers[i]) for i in range(len(drafts), len(drafts) + more)]


@pytest.mark.parametrize(
    ("answers", "confidence", "count"),
    [
        (["a"] * 5, 1.0, 3),
        (["a"] * 9, 1.0, 5),
        (["a"] * 9, 0.95, 4),
        (["a"] * 9, 0.9, 3),
        (["a"] * 9, 0.8, 2),
        (["a", "b", "a", "a", "a"], 1.0, 4),
        (["a", "b", "a", "b", "a"], 1.0, 5),
        (["a", "b"] * 4, 0.95, 7),
        ([""] * 5, 1.0, 5),
    ],
)
def test_how_many_are_asked(answers: list[str], confidence: float, count: int) -> None:
    assert asked(answers, confidence)[1] == count


def test_the_chance_is_that_of_the_beta_distribution() -> None:
    from scipy.stats import beta

    for first, second in itertools.product(range(8), repeat=2):
        assert chance(first, second) == pytest.approx(1 - beta.cdf(0.5, first + 1, second + 1))


async def test_voters_are_numbered_as_in_a_vote_so_that_they_draw_the_same_samples() -> None:
    answers = ["a", "b", "a", "b", "b"]
    models, calls = scripted_models(lambda call: answers[call.sample])
    knobs = {"agents": 5, "confidence": 1.0, "model": "small", "temperature": 0.7}
    assert await Team("adaptive_vote", knobs).answer("?", models, TeamSettings()) == "b"
    assert [call.sample for call in calls] == [0, 1, 2, 3, 4]
    assert {call.agent for call in calls} == {"voter"}


@pytest.mark.parametrize("p", [0.5, 0.8, 0.95])
def test_the_number_of_calls_is_what_the_arithmetic_says(p: float) -> None:
    """Of five agents, three are asked first. If they agree, they decide; otherwise the fourth, or the fifth."""
    q = 1 - p
    found = 0.0
    for outcome in itertools.product("ab", repeat=5):
        found += math.prod(p if each == "a" else q for each in outcome) * asked(list(outcome))[1]
    two_to_one = 3 * p**2 * q * (4 * p + 5 * q) + 3 * p * q**2 * (4 * q + 5 * p)
    assert found == pytest.approx(3 * (p**3 + q**3) + two_to_one)
