"""An agent: a role on a model."""

import pytest
from scripted import orchestra

from orkester.agents import Agent, Role
from orkester.errors import CallFailed


async def test_it_asks_with_its_roles_settings() -> None:
    models, asked = orchestra(lambda call: "Oslo")
    role = Role(name="guide", instruction="Be brief.", temperature=0.4, max_tokens=3)
    reply = await Agent(role, models["small"])("Capital of Norway?", sample=2)
    assert reply.text == "Oslo"
    (call,) = asked
    assert (call.agent, call.temperature, call.max_tokens, call.sample) == ("guide", 0.4, 3, 2)
    assert call.messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Capital of Norway?"},
    ]


async def test_without_an_instruction_there_is_no_system_message() -> None:
    models, asked = orchestra(lambda call: "Oslo")
    await Agent(Role(name="guide"), models["small"])([{"type": "text", "text": "?"}])
    assert asked[0].messages == [{"role": "user", "content": [{"type": "text", "text": "?"}]}]


async def test_a_failed_call_is_passed_on() -> None:
    def fail(call: object) -> str:
        raise CallFailed("http 400")

    models, _ = orchestra(fail)
    with pytest.raises(CallFailed, match="http 400"):
        await Agent(Role(name="guide"), models["small"])("?")
