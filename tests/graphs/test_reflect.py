"""Reflect: an actor and a critic, one of which may give no answer."""

from orkester.graphs import Team
from orkester.testing.scripted import scripted_models

KNOBS = {"rounds": 2, "model": "small", "critic": "small", "temperature": 0.7}


async def test_an_actor_and_a_critic_without_an_answer_do_not_agree() -> None:
    """A thought that was cut off leaves an empty text."""
    models, asked = scripted_models(lambda call: "7" if call.agent == "actor" and call.sample == 1 else "")
    assert await Team("reflect", KNOBS).answer("3 + 4?", models) == ""
    assert [(call.agent, call.sample) for call in asked] == [
        ("actor", 0),
        ("critic", 0),
        ("actor", 1),
        ("critic", 1),
        ("actor", 2),
    ]


async def test_a_critic_with_the_same_answer_agrees() -> None:
    models, asked = scripted_models(lambda _: "7")
    assert await Team("reflect", KNOBS).answer("3 + 4?", models) == "7"
    assert [call.agent for call in asked] == ["actor", "critic"]
