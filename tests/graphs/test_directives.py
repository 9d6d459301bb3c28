"""What a graph reads in the replies of planners, supervisors, receivers and verifiers."""

import time
from dataclasses import replace

import pytest

from orkester.agents.packs import known_roles
from orkester.graphs import Team, TeamSettings
from orkester.graphs._replies import asked, items
from orkester.graphs._verify import read_mark
from orkester.testing.scripted import ChatCall, scripted_models
from orkester.testing.topology_contract import texts

LEAD = {"agents": 3, "rounds": 2, "model": "small", "supervisor": "large", "temperature": 0.7}
PLAN = {"rounds": 5, "planner": "large", "model": "small", "temperature": 0.0}
HANDOFF = {"rounds": 2, "model": "small", "specialist": "large", "temperature": 0.0}


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        ("85", 85),
        ('{"mark": 85}', 85),
        ("85 %", 85),
        ("**70**", 70),
        ("I would say 12.5 of 100.", 12.5),
        ("1000", 100),
        ("certain", 0),
        ("", 0),
        ("-5", 5),  # marks have no sign
    ],
)
def test_a_mark_is_the_first_number(text: str, mark: float) -> None:
    assert read_mark(text) == mark


@pytest.mark.parametrize(
    ("plan", "steps"),
    [
        ("1. find it\n2. add it\n3. say it", ["find it", "add it", "say it"]),
        ("1) find it\n2) add it", ["find it", "add it"]),
        ("- find it\n* add it\n• say it", ["find it", "add it", "say it"]),
        ("Step 1: find it\nStep 2: add it", ["find it", "add it"]),
        ("Here is the plan:\n\n1. find it\n\nThen say it.", ["find it"]),
        ("1. a\n2. b\n3. c\n4. d\n5. e\n6. f", ["a", "b", "c", "d", "e"]),
        ("**Step 1:** Find it\n**Step 2:** Add it", ["Find it", "Add it"]),
        ("### Step 1: Find it\n### Step 2 - Add it", ["Find it", "Add it"]),
        ("**1. Find it**\n**2.** Add it", ["Find it", "Add it"]),
        ("(1) Find it\n[2] Add it", ["Find it", "Add it"]),
        ("a) Find it\nb) Add it", ["Find it", "Add it"]),
        ("> 1. Find it\n> 2. Add it", ["Find it", "Add it"]),
        ("– Find it\n+ Add it", ["Find it", "Add it"]),
        ("1、Find\n２．Add", ["Find", "Add"]),
        ("Schritt 1: Finde\nSchritt 2: Addiere", ["Finde", "Addiere"]),
        ("1. Find:\n   - read\n   - note\n2. Add", ["Find:", "Add"]),
        ("1. Find:\n- read\n- note\n2. Add", ["Find:", "Add"]),
        ("1.\n2. add", ["add"]),
        ("The answer is\n3.14", []),
        ("1.5 is the number\n2.25 is other", []),
        ("10:30 is the time", []),
        ("-12", []),
        ("**Answer**: 42", []),
        ("---\nFoo\n---", []),
        ("*Italic sentence.*", []),
        ("Just answer it.", []),
        ("", []),
    ],
)
async def test_the_steps_of_a_plan_are_the_items_of_its_list(plan: str, steps: list[str]) -> None:
    def answer(asked: ChatCall) -> str:
        return plan if asked.agent == "planner" else f"result {asked.sample}"

    models, calls = scripted_models(answer)
    await Team("plan", PLAN).answer("How many?", models)
    done = [texts(call).rpartition("To be done now: ")[2] for call in calls if call.agent == "executor"]
    assert done == steps
    if steps:
        assert f"- {steps[0]}: result 0" in texts(calls[-1])


@pytest.mark.parametrize(
    ("reply", "tasks"),
    [
        ("ASK: add the numbers", ["add the numbers"]),
        ("ASK: one\nASK: two", ["one", "two"]),
        ("I need help.\n- ASK: one\n**ASK:** two\n> ASK: three", ["one", "two", "three"]),
        ("ASK: 1\nASK: 2\nASK: 3\nASK: 4", ["1", "2", "3"]),
        ("ASK:\nadd the numbers", ["add the numbers"]),
        ("ask: one\nAsk: two", ["one", "two"]),
        ("1. ASK: one\n2. ASK: two", ["one", "two"]),
        ('• ASK: one\n`ASK: two`\n"ASK: three"', ["one", "two", "three"]),
        ("ASK 1: one\nASK worker 2: two\nASK：three", ["one", "two", "three"]),
        ("**ASK:**", []),
        ("Task: add", []),
        ("Do not ASK me: it is Oslo", []),
        ("Oslo", []),
    ],
)
async def test_a_supervisor_asks_with_lines(reply: str, tasks: list[str]) -> None:
    def answer(asked: ChatCall) -> str:
        if asked.agent == "worker":
            return f"result {asked.sample}"
        return reply if "result" not in texts(asked) else "Oslo"

    models, calls = scripted_models(answer)
    await Team("supervisor", LEAD).answer("Where?", models)
    done = [texts(call).rpartition("Your part: ")[2] for call in calls if call.agent == "worker"]
    assert done == tasks
    if tasks:
        assert f"- {tasks[0]}: result 0" in texts(calls[-1])


async def test_a_supervisor_that_asks_to_the_end_answers_with_the_rest_of_its_reply() -> None:
    models, _ = scripted_models(lambda asked: "ASK: more\nIt is Oslo" if asked.agent == "supervisor" else "-")
    assert await Team("supervisor", LEAD).answer("Where?", models) == "It is Oslo"
    models, _ = scripted_models(lambda asked: "ASK: more" if asked.agent == "supervisor" else "-")
    assert await Team("supervisor", LEAD).answer("Where?", models) == ""


@pytest.mark.parametrize("reply", ["ASK:", "**ASK:**", "```\nASK: more\n```"])
async def test_no_word_of_the_protocol_is_an_answer(reply: str) -> None:
    models, _ = scripted_models(lambda asked: reply if asked.agent == "supervisor" else "-")
    assert await Team("supervisor", LEAD).answer("Where?", models) == ""


async def test_workers_of_a_hybrid_team_read_the_others_and_not_themselves() -> None:
    def answer(asked: ChatCall) -> str:
        if asked.agent == "worker":
            return f"result {asked.sample}"
        return "ASK: one\nASK: two" if "result" not in texts(asked) else "Oslo"

    models, calls = scripted_models(answer)
    await Team("hybrid", {**LEAD, "rounds": 1}).answer("Where?", models)
    workers = [texts(call) for call in calls if call.agent == "worker"]
    assert len(workers) == 4
    assert "Result of another worker: result 1" in workers[2]
    assert "Your own result so far: result 0" in workers[2]
    assert "another worker: result 0" not in workers[2]


@pytest.mark.parametrize(
    ("reply", "answer", "turns"),
    [
        ("Oslo", "Oslo", 1),
        ("HANDOFF: a capital", "it is mine", 2),
        ("**HANDOFF:** a capital", "it is mine", 2),
        ("HANDOFF", "it is mine", 2),
        ("handoff: a capital", "it is mine", 2),
        ("`HANDOFF: a capital`", "it is mine", 2),
        ("[HANDOFF: a capital]", "it is mine", 2),
        ("1. HANDOFF：a capital", "it is mine", 2),
        ("I am not sure.\nHANDOFF: a capital", "it is mine", 2),
        ("HANDOFF of a patient is the transfer of care.", "HANDOFF of a patient is the transfer of care.", 1),
        ("I will not write HANDOFF: it is Oslo", "I will not write HANDOFF: it is Oslo", 1),
        ("", "", 1),
    ],
)
async def test_a_question_is_handed_over_with_a_note(reply: str, answer: str, turns: int) -> None:
    models, calls = scripted_models(lambda asked: reply if asked.agent == "receiver" else "it is mine")
    assert await Team("handoff", HANDOFF).answer("Where?", models) == answer
    assert len(calls) == turns


async def test_after_the_last_handoff_the_note_is_the_answer() -> None:
    models, calls = scripted_models(lambda asked: f"HANDOFF: no {asked.sample}")
    assert await Team("handoff", HANDOFF).answer("Where?", models) == "no 2"
    assert [call.agent for call in calls] == ["receiver", "specialist", "receiver"]
    assert "Answer now" in texts(calls[-1])


async def test_equal_drafts_are_marked_once_and_empty_ones_never() -> None:
    drafts = ["a", "b", "a", ""]

    def answer(asked: ChatCall) -> str:
        return drafts[asked.sample] if asked.agent == "voter" else ("90" if "\nb" in texts(asked) else "10")

    models, calls = scripted_models(answer)
    knobs = {"agents": 4, "model": "small", "verifier": "large", "temperature": 0.7}
    assert await Team("best_of_n", knobs).answer("Which?", models) == "b"
    assert sum(call.agent == "verifier" for call in calls) == 2
    models, _ = scripted_models(lambda asked: "")
    for name in ("best_of_n", "weighted_vote"):
        assert await Team(name, knobs).answer("Which?", models) == ""
    models, _ = scripted_models(answer)
    assert await Team("weighted_vote", knobs).answer("Which?", models) == "b"  # 90 against 2 × 10


async def test_votes_that_are_the_same_are_not_marked() -> None:
    spellings = ["Oslo", "Oslo.", "oslo", "OSLO!"]
    models, calls = scripted_models(lambda asked: spellings[asked.sample] if asked.agent == "voter" else "50")
    knobs = {"agents": 4, "model": "small", "verifier": "large", "temperature": 0.7}
    for name in ("best_of_n", "weighted_vote"):
        assert await Team(name, knobs).answer("Where?", models) == "Oslo"
    assert len(calls) == 8


@pytest.mark.parametrize(
    ("topology", "knobs", "role"), [("supervisor", LEAD, "supervisor"), ("handoff", HANDOFF, "specialist")]
)
async def test_a_role_that_sees_the_last_draft_sees_it_in_the_last_turn_too(
    topology: str, knobs: dict[str, str | int | float], role: str
) -> None:
    def answer(asked: ChatCall) -> str:
        if asked.agent == "worker":
            return "the result"
        return "ASK: more" if topology == "supervisor" else "HANDOFF: the result"

    roles = {role: replace(known_roles()[role], sees="last_draft")}
    models, calls = scripted_models(answer)
    await Team(topology, {**knobs, "rounds": 1}).answer("Where?", models, TeamSettings(roles=roles))
    last = texts(calls[-1])
    assert "the result" in last
    assert "Answer now" in last


async def test_a_plan_without_a_reply_is_no_note() -> None:
    models, calls = scripted_models(lambda asked: "" if asked.agent == "planner" else "Oslo")
    assert await Team("plan", PLAN).answer("Where?", models) == "Oslo"
    assert "Notes" not in texts(calls[-1])


@pytest.mark.parametrize(
    "text",
    ["a" + "\n" * 50_000 + "b", "a\n" + " \n" * 50_000, "ASK: a" + " *" * 50_000 + "x", "- " * 50_000],
)
def test_a_long_reply_is_read_at_once(text: str) -> None:
    started_s = time.monotonic()
    items(text)
    asked(text, "ASK")
    assert time.monotonic() - started_s < 5  # quadratic time took minutes
