"""Replies that do not end with a whole answer are counted for each agent."""

from typing import Any

import pytest

from orkester.evals.records.agent_shares import agent_shares
from orkester.evals.records.block import Block, Call
from orkester.evals.summaries.cut_answers import CutAnswers, cut_answers
from orkester.evals.summaries.measurement import measure
from orkester.testing.blocks import block, call, result


def of(*calls: Call) -> Block:
    return block(examples=tuple(result(id=f"q{i}", calls=(each,)) for i, each in enumerate(calls)))


def cut(**changes: Any) -> Call:
    return call(finish_reason="length", **changes)


def test_each_agent_has_its_counts() -> None:
    found = cut_answers(
        [
            of(cut(agent="solo"), cut(agent="solo", thought="unanswered"), call(agent="solo", finish_reason="stop")),
            of(call(agent="solo", thought="unanswered", finish_reason="stop"), call(agent="critic")),
            of(cut(agent="solo", failure="cancelled")),  # not a reply
        ]
    )
    (solo,) = found
    assert solo == CutAnswers(
        agent="solo", model="small", replies=4, cut=2, cut_thoughts=1, only_thoughts=1, longest=call().output_tokens
    )
    assert solo.share == 0.75


@pytest.mark.parametrize(
    ("cut_calls", "replies", "notable"), [(1, 4, False), (2, 4, True), (2, 40, False), (3, 40, True), (5, 100, False)]
)
def test_a_few_cut_replies_are_not_notable(cut_calls: int, replies: int, notable: bool) -> None:
    calls = [cut() if i < cut_calls else call(finish_reason="stop") for i in range(replies)]
    (counts,) = cut_answers([of(*calls)])
    assert counts.is_notable is notable


def test_a_measurement_has_the_counts() -> None:
    (counts,) = measure([of(cut(), cut(), call())]).cut
    assert (counts.cut, counts.replies) == (2, 3)
    assert measure([of(call())]).cut == ()


def test_the_tokens_of_thoughts_are_counted_for_each_agent() -> None:
    calls = (call(thought="answered", thought_tokens=4, thought_estimated=True), call(thought_tokens=0))
    (share,) = agent_shares([of(*calls)]).agents
    assert (share.thought_tokens, share.thoughts_estimated) == (2.0, True)
    (old,) = agent_shares([of(call())]).agents
    assert old.thought_tokens is None
