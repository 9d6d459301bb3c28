"""Vote: the majority of independent answers."""

from orkester.graphs import Team, TeamSettings
from orkester.testing.scripted import Answer, scripted_models


def says(*answers: str) -> Answer:
    return lambda asked: answers[asked.sample]


async def vote(*answers: str, settings: TeamSettings | None = None) -> str:
    models, _ = scripted_models(says(*answers))
    team = Team("vote", {"agents": len(answers), "model": "small", "temperature": 0.7})
    return await team.answer("?", models, settings)


async def test_the_majority_wins() -> None:
    assert await vote("Rome", "Oslo", "Oslo.") == "Oslo"


async def test_a_tie_goes_to_the_voter_with_the_lowest_number() -> None:
    assert await vote("Rome", "Oslo", "Oslo", "Rome") == "Rome"


async def test_the_task_says_which_answers_are_the_same() -> None:
    settings = TeamSettings(key=lambda answer: str(len(answer)))
    assert await vote("Rome", "Oslo", "Helsinki", "Reykjavík", settings=settings) == "Rome"
    assert await vote("Helsinki", "Oslo", "Rome", settings=settings) == "Oslo"


async def test_voters_see_the_question_alone() -> None:
    models, asked = scripted_models(says("a", "b", "c"))
    await Team("vote", {"agents": 3, "model": "small", "temperature": 0.7}).answer("Which?", models)
    assert {call.content for call in asked} == {"Which?"}
    assert sorted(call.sample for call in asked) == [0, 1, 2]
