"""An agent: a role on a model."""

import pytest

from orkester.agents import Agent, Role
from orkester.errors import CallFailed
from orkester.testing.scripted import scripted_models


async def test_it_asks_with_its_roles_settings() -> None:
    models, asked = scripted_models(lambda call: "Oslo")
    role = Role(name="guide", instruction="Be brief.", temperature=0.4, max_tokens=3)
    agent = Agent(role=role, model=models["small"], temperature=0.9, max_tokens=50)
    reply = await agent("Capital of Norway?", sample=2)
    assert reply.text == "Oslo"
    (call,) = asked
    assert (call.agent, call.temperature, call.max_tokens, call.sample) == ("guide", 0.4, 3, 2)
    assert call.response_format is None
    assert call.messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Capital of Norway?"},
    ]


async def test_where_the_role_says_nothing_the_topology_and_the_task_do() -> None:
    models, asked = scripted_models(lambda call: "Oslo")
    agent = Agent(role=Role(name="guide"), model=models["small"], task="One word.", temperature=0.9, max_tokens=5)
    await agent("Capital of Norway?")
    (call,) = asked
    assert (call.temperature, call.max_tokens) == (0.9, 5)
    assert call.messages[0] == {"role": "system", "content": "One word."}


async def test_a_temperature_of_none_at_all_is_not_none() -> None:
    models, asked = scripted_models(lambda call: "Oslo")
    await Agent(role=Role(name="guide", temperature=0.0), model=models["small"], temperature=0.9)("?")
    assert asked[0].temperature == 0.0


async def test_without_an_instruction_there_is_no_system_message() -> None:
    models, asked = scripted_models(lambda call: "Oslo")
    await Agent(role=Role(name="guide"), model=models["small"])([{"type": "text", "text": "?"}])
    assert asked[0].messages == [{"role": "user", "content": [{"type": "text", "text": "?"}]}]


async def test_drafts_are_shown_and_the_output_form_is_asked_for() -> None:
    models, asked = scripted_models(lambda call: "{}")
    schema = {"type": "object"}
    role = Role(name="judge", sees="last_draft", drafts="\nDraft: {drafts}", output=schema)
    await Agent(role=role, model=models["small"])("Which?", drafts=["Rome", "Oslo"])
    (call,) = asked
    assert call.content == "Which?\nDraft: Oslo"
    assert call.response_format == {
        "type": "json_schema",
        "json_schema": {"name": "judge", "schema": schema, "strict": True},
    }


async def test_a_failed_call_is_passed_on() -> None:
    def fail(call: object) -> str:
        raise CallFailed("http 400")

    models, _ = scripted_models(fail)
    with pytest.raises(CallFailed, match="http 400"):
        await Agent(role=Role(name="guide"), model=models["small"])("?")
