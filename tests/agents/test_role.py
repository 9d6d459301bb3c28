"""Roles: what a model is sent for them, and what is refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orkester.agents import Role, RoleFault
from orkester.agents.packs import known_roles

QUESTION = "Capital of Norway?"
DRAFTS = ["Rome", "It is\n\n Oslo "]


def system(role: Role, **shown: Any) -> str | None:
    """The system message; None when there is none."""
    messages = role.messages(QUESTION, **shown)
    assert [message["role"] for message in messages] == ["system", "user"][-len(messages) :]
    return messages[0]["content"] if len(messages) == 2 else None


@pytest.mark.parametrize("name", ["solo", "voter", "first", "then"])
@pytest.mark.parametrize("drafts", [[], DRAFTS])
def test_roles_of_old_send_the_tasks_instruction_and_the_question(name: str, drafts: list[str]) -> None:
    # Calls of runs that exist are known by their messages.
    role = known_roles()[name]
    asked = {"role": "user", "content": QUESTION}
    assert role.messages(QUESTION, drafts=drafts) == [asked]
    assert role.messages(QUESTION, drafts=drafts, task="Be {brief}.\n") == [
        {"role": "system", "content": "Be {brief}.\n"},
        asked,
    ]


def test_a_debater_is_shown_drafts_in_the_words_it_was_trained_on() -> None:
    debater = known_roles()["debater"]
    assert debater.messages(QUESTION, task="One word.") == [
        {"role": "system", "content": "One word."},
        {"role": "user", "content": QUESTION},
    ]
    shown = "Capital of Norway?\nDrafts from other agents:\n- Rome\n- It is Oslo\nYour answer:"
    assert debater.messages(QUESTION, drafts=DRAFTS) == [{"role": "user", "content": shown}]
    assert debater.content(QUESTION, drafts=[""]) == "Capital of Norway?\nDrafts from other agents:\n- \nYour answer:"


def test_drafts_stand_behind_content_parts() -> None:
    parts = [{"type": "image_url", "image_url": {"url": "data:,"}}]
    shown = known_roles()["debater"].content(parts, drafts=["Oslo"])
    assert shown[0] is parts[0]
    assert shown[1:] == [{"type": "text", "text": "\nDrafts from other agents:\n- Oslo\nYour answer:"}]
    assert len(parts) == 1


def test_a_role_is_shown_what_it_sees() -> None:
    drafts = "\nDrafts: {drafts}"
    assert Role(name="a", drafts=drafts).content(QUESTION, drafts=DRAFTS) == QUESTION
    last = Role(name="a", sees="last_draft", drafts=drafts)
    assert last.content(QUESTION, drafts=DRAFTS) == f"{QUESTION}\nDrafts: It is\n\n Oslo "
    everything = Role(name="a", sees="all", drafts=drafts)
    assert everything.content(QUESTION, drafts=DRAFTS) == f"{QUESTION}\nDrafts: - Rome\n- It is Oslo"
    assert last.content(QUESTION) == everything.content(QUESTION) == QUESTION


def test_drafts_that_the_instruction_shows_are_not_shown_twice() -> None:
    role = Role(name="a", instruction="Others say: {drafts}", sees="last_draft", answers=False)
    assert role.content(QUESTION, drafts=["Oslo"]) == QUESTION
    assert system(role, drafts=["Oslo"]) == "Others say: Oslo"
    assert system(role) is None


def test_the_answer_form_stands_below_the_instruction_of_a_role_that_answers() -> None:
    assert system(Role(name="a", instruction="Think.\n"), task="One word.") == "Think.\n\nOne word."
    assert system(Role(name="a", instruction="Form: {task} Think."), task="One word.") == "Form: One word. Think."
    assert system(Role(name="a", instruction="Think.")) == "Think."


def test_the_answer_form_reaches_a_role_that_does_not_answer_only_where_it_asks_for_it() -> None:
    critic = Role(name="a", instruction="Find faults.\nThe form was: {task}", answers=False)
    assert system(critic, task="One word.") == "Find faults.\nThe form was: One word."
    assert system(critic) == "Find faults."
    assert system(Role(name="a", instruction="Find faults.", answers=False), task="One word.") == "Find faults."
    assert system(Role(name="a", answers=False), task="One word.") is None


def test_the_question_can_stand_in_the_instruction() -> None:
    role = Role(name="a", instruction="Asked: {question}", answers=False)
    parts = [{"type": "text", "text": "What is"}, {"type": "image_url", "image_url": {"url": "x"}}, PART]
    assert system(role) == f"Asked: {QUESTION}"
    assert role.messages(parts)[0]["content"] == "Asked: What is\nthis?"


PART = {"type": "text", "text": "this?"}


@given(question=st.text(), draft=st.text(min_size=1), task=st.text(min_size=1))
def test_braces_in_what_is_filled_in_stand_for_themselves(question: str, draft: str, task: str) -> None:
    role = Role(name="a", instruction="<{question}|{drafts}|{task}>", sees="last_draft")
    for braces in ("", "{task}{drafts}{question}{x}{{y}}\\1"):
        asked, shown, form = question + braces, draft + braces, task + braces
        said, user = role.messages(asked, drafts=[shown], task=form)
        assert said["content"] == f"<{asked}|{shown}|{form}>".strip()
        assert user["content"] == asked


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('Reply {"right": true, "more": {"a": {}}}', 'Reply {"right": true, "more": {"a": {}}}'),
        ("Write {{task}} and {{answer}}", "Write {task} and {answer}"),
        ("{} { task } {a-b} \\boxed{}", "{} { task } {a-b} \\boxed{}"),
    ],
)
def test_braces_in_an_instruction_may_be_text(text: str, shown: str) -> None:
    assert system(Role(name="a", instruction=text), task="") == shown


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        (
            {"instruction": "Look at {draft}."},
            "instruction",
            (
                "unknown placeholder {draft} (did you mean {drafts}?). Known: {question}, {drafts}, {task}; "
                "write {{draft}} for the text {draft}"
            ),
        ),
        ({"instruction": "{0}"}, "instruction", "unknown placeholder {0}. Known: {question}, {drafts}, {task}"),
        ({"drafts": "{drafts} {x}"}, "drafts", "unknown placeholder {x}"),
        ({"drafts": "Here they are."}, "drafts", "needs {drafts} at the place where the drafts are inserted"),
        ({"instruction": "{drafts}"}, "instruction", "sees only the question: set sees to last_draft or all"),
    ],
)
def test_a_role_that_cannot_be_used_is_refused(fields: dict[str, Any], field: str, message: str) -> None:
    with pytest.raises(RoleFault) as raised:
        Role(name="a", **fields)
    assert raised.value.field == field
    assert message in raised.value.message
    assert str(raised.value) == f"{field}: {raised.value.message}"
