"""Drafts that a verifier has marked: the parts that ``best_of_n`` and ``weighted_vote`` share."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from langgraph.types import Send
from typing_extensions import TypedDict  # before Python 3.12 pydantic makes no JSON schema of typing's

from ._context import TeamContext
from ._knobs import Between, OneOfModels
from ._voter import voter
from ._votes import Answer, Draft, Question, Turn

#: The mark of an answer that is certainly right.
CERTAIN: Final = 100.0
_NUMBER: Final = re.compile(r"(?<![\d.])\d+(?:\.\d+)?")


@dataclass(frozen=True)
class Mark:
    """A verifier's mark of one draft."""

    sample: int
    mark: float


class VerifyState(TypedDict, total=False):
    """State of a graph whose drafts are marked. ``question`` goes in, ``answer`` and ``agreement`` come out."""

    question: Any
    drafts: Annotated[list[Draft], operator.add]
    marks: Annotated[list[Mark], operator.add]
    answer: str
    agreement: float


class Check(TypedDict):
    """What a verifier is sent: the question, a draft, and the draft's number."""

    question: Any
    sample: int
    draft: str


@dataclass(frozen=True, kw_only=True)
class VerifyContext(TeamContext):
    """The knobs of both topologies."""

    agents: Annotated[int, Between(2, 9)] = 4
    model: Annotated[str, OneOfModels()] = "small"
    verifier: Annotated[str, OneOfModels()] = "large"
    temperature: Annotated[float, Between(0.0, 1.2)] = 0.7


async def fan_out(state: VerifyState, runtime: Runtime[VerifyContext]) -> list[Send]:
    """One voter for each agent."""
    return [Send("voter", Turn(question=state["question"], sample=i)) for i in range(runtime.context.agents)]


async def gather(state: VerifyState) -> VerifyState:
    """Wait for all drafts."""
    del state
    return {}


async def check(state: VerifyState, runtime: Runtime[VerifyContext]) -> str | list[Send]:
    """A verifier for each draft that differs from those before it; none when there is nothing to choose from."""
    different = {draft.answer: draft for draft in reversed(in_order(state["drafts"])) if draft.answer}
    if len({runtime.context.key(text) for text in different}) < 2:
        return "choose"
    drafts = sorted(different.values(), key=lambda draft: draft.sample)
    return [Send("verifier", Check(question=state["question"], sample=d.sample, draft=d.answer)) for d in drafts]


async def verifier(state: Check, runtime: Runtime[VerifyContext]) -> VerifyState:
    """Mark a draft."""
    context = runtime.context
    agent = context.agent("verifier", context.verifier)
    reply = await agent(state["question"], drafts=[state["draft"]], sample=state["sample"])
    return {"marks": [Mark(state["sample"], read_mark(reply.text))]}


def verified(
    choose: Callable[..., Any], context: type[VerifyContext], *, name: str
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Build the graph: drafts, a mark for each different draft, and a choice.

    Args:
        choose: The last node, which chooses from the marked drafts.
        context: The context of the topology.
        name: The name of the topology.
    """
    return (
        StateGraph(VerifyState, context, input_schema=Question, output_schema=Answer)
        .add_node("voter", voter)
        .add_node("gather", gather)
        .add_node("verifier", verifier)
        .add_node("choose", choose)
        .add_conditional_edges(START, fan_out, ["voter"])
        .add_edge("voter", "gather")
        .add_conditional_edges("gather", check, ["verifier", "choose"])
        .add_edge("verifier", "choose")
        .add_edge("choose", END)
        .compile(name=name)
    )


def in_order(drafts: Sequence[Draft]) -> list[Draft]:
    """The drafts by the numbers of their voters."""
    return sorted(drafts, key=lambda draft: draft.sample)


def marks_of(state: VerifyState) -> dict[str, float]:
    """The mark of each text that was drafted; 0 for one that was not marked."""
    marks = {mark.sample: mark.mark for mark in state.get("marks", [])}
    by_text: dict[str, float] = {}
    for draft in in_order(state["drafts"]):
        by_text.setdefault(draft.answer, marks.get(draft.sample, 0.0))
    return by_text


def read_mark(text: str) -> float:
    """The mark in a verifier's reply: its first number, at most 100. 0 without a number."""
    found = _NUMBER.search(text)
    return min(CERTAIN, float(found[0])) if found else 0.0
