"""Debate: drafts, then rounds of reading the others'."""

import pytest

from orkester.graphs import Team, TeamSettings
from orkester.testing.scripted import ChatCall, scripted_models


def round_of(call: ChatCall, agents: int) -> tuple[int, int]:
    """Which round it is, and which debater."""
    return divmod(call.sample, agents)


@pytest.mark.parametrize(("agents", "rounds"), [(2, 1), (3, 2), (6, 4)])
async def test_a_debater_sees_the_others_drafts_of_the_round_before_and_not_its_own(agents: int, rounds: int) -> None:
    models, asked = scripted_models(lambda call: "draft of {1} in {0}".format(*round_of(call, agents)))
    knobs = {"agents": agents, "rounds": rounds, "model": "small", "temperature": 0.7}
    await Team("debate", knobs).answer("Which?", models)
    assert sorted(call.sample for call in asked) == list(range(agents * (rounds + 1)))
    for call in asked:
        turn, debater = round_of(call, agents)
        question, *shown = call.content.splitlines()
        assert question == "Which?"
        others = [f"- draft of {other} in {turn - 1}" for other in range(agents) if other != debater]
        assert shown == (["Drafts from other agents:", *others, "Your answer:"] if turn else [])


async def test_the_majority_of_the_last_round_wins() -> None:
    said = {0: "Rome Rome Rome", 1: "Oslo Rome Rome", 2: "Bern Oslo Oslo"}
    models, _ = scripted_models(lambda call: said[call.sample // 3].split()[call.sample % 3])
    knobs = {"agents": 3, "rounds": 2, "model": "small", "temperature": 0.7}
    assert await Team("debate", knobs).answer("?", models) == "Oslo"


async def test_a_tie_goes_to_the_debater_with_the_lowest_number() -> None:
    models, _ = scripted_models(lambda call: "ABCD"[call.sample])
    knobs = {"agents": 2, "rounds": 1, "model": "small", "temperature": 0.7}
    assert await Team("debate", knobs).answer("?", models) == "C"


async def test_others_see_the_answer_that_was_read_out_of_a_text() -> None:
    models, asked = scripted_models(lambda call: f"long words: {call.sample}")
    knobs = {"agents": 2, "rounds": 1, "model": "small", "temperature": 0.7}
    await Team("debate", knobs).answer("?", models, TeamSettings(read=lambda text: text.split()[-1]))
    assert "\n- 1\n" in asked[2].content
    assert "long" not in asked[2].content


async def test_a_draft_without_an_answer_is_not_shown() -> None:
    models, asked = scripted_models(lambda call: "" if call.sample == 0 else f"draft {call.sample}")
    knobs = {"agents": 3, "rounds": 1, "model": "small", "temperature": 0.7}
    assert await Team("debate", knobs).answer("?", models) == "draft 3"
    shown = {call.sample: call.content.splitlines()[2:-1] for call in asked if call.sample >= 3}
    assert shown == {3: ["- draft 1", "- draft 2"], 4: ["- draft 2"], 5: ["- draft 1"]}
