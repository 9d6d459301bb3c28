"""Cascade: the larger model answers where the smaller one's votes disagree."""

import pytest

from orkester.graphs import Team
from orkester.testing.scripted import scripted_models


@pytest.mark.parametrize(
    ("votes", "agreement", "escalates"),
    [
        ("aa", 1.0, False),
        ("ab", 1.0, True),
        ("ab", 0.5, False),  # half agree, and half is enough
        ("aab", 0.65, False),
        ("aab", 0.7, True),
        ("aaab", 0.75, False),
        ("aaab", 0.8, True),
        ("abc", 0.5, True),
        ("aaaaaaaab", 0.9, True),
        ("aaaaaaaab", 0.85, False),
    ],
)
async def test_it_escalates_only_under_the_agreement(votes: str, agreement: float, escalates: bool) -> None:
    models, asked = scripted_models(lambda call: votes[call.sample] if call.agent == "first" else "escalated")
    knobs = {"first": "small", "then": "large", "votes": len(votes), "temperature": 0.7, "agreement": agreement}
    answer = await Team("cascade", knobs).answer("?", models)
    assert [call.model for call in asked] == ["small"] * len(votes) + ["large"] * escalates
    assert answer == ("escalated" if escalates else "a")


async def test_the_larger_model_sees_the_question_alone_and_is_greedy() -> None:
    models, asked = scripted_models(lambda call: f"{call.agent} {call.sample}")
    knobs = {"first": "small", "then": "large", "votes": 2, "temperature": 0.7, "agreement": 1.0}
    assert await Team("cascade", knobs).answer("Which?", models) == "then 0"
    assert [(call.agent, call.content, call.temperature) for call in asked[2:]] == [("then", "Which?", 0.0)]
