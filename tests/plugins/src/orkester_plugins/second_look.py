"""An agent with a tool answers; a routing policy decides which model looks at the answer a second time.

::

    graph TD;
        __start__ --> worker;
        worker --> checker;
        checker --> __end__;
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, ClassVar

from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from typing_extensions import TypedDict

from orkester.agents import Role
from orkester.agents.routing import RoutingRequest, routing_policy
from orkester.agents.tools import tool
from orkester.graphs import OneOf, OneOfModels, TeamContext, Topology

WORKER = Role(name="worker", instruction="Work it out.", answers=False)
CHECKER = Role(
    name="checker", instruction="Look at the draft once more.", sees="last_draft", drafts="\nDraft: {drafts}"
)


class Question(TypedDict):
    """What goes in."""

    question: Any


class Answer(TypedDict, total=False):
    """What comes out."""

    answer: str


class State(TypedDict, total=False):
    """The question, the worker's draft and the answer."""

    question: Any
    draft: str
    answer: str


@dataclass(frozen=True, kw_only=True)
class SecondLookContext(TeamContext):
    """Knobs: the models to choose from, and how it is chosen who looks a second time."""

    own_roles: ClassVar = MappingProxyType({"worker": WORKER, "checker": CHECKER})

    small: Annotated[str, OneOfModels()] = "small"
    large: Annotated[str, OneOfModels()] = "large"
    routing: Annotated[str, OneOf(("by-length", "always-first"))] = "by-length"


async def worker(state: Question, runtime: Runtime[SecondLookContext]) -> State:
    """Draft an answer; a sum in the question is added up by the tool."""
    context = runtime.context
    reply = await context.agent("worker", context.small)(state["question"])
    numbers = re.findall(r"\d+", str(state["question"]))
    if len(numbers) == 2:
        return {"draft": await tool("adder").call({"numbers": [int(number) for number in numbers]})}
    return {"draft": reply.text}


async def checker(state: State, runtime: Runtime[SecondLookContext]) -> Answer:
    """Answer, on the model that the routing policy chooses."""
    context = runtime.context
    choices = (context.small, context.large)
    model = choices[0]
    if context.routing != "always-first":
        request = RoutingRequest(question=state["question"], choices=choices, drafts=[state["draft"]])
        model = routing_policy(context.routing).route(request).choice
    reply = await context.agent("checker", model)(state["question"], drafts=[state["draft"]])
    return {"answer": context.read(reply.text)}


graph = (
    StateGraph(State, SecondLookContext, input_schema=Question, output_schema=Answer)
    .add_node("worker", worker)
    .add_node("checker", checker)
    .add_edge(START, "worker")
    .add_edge("worker", "checker")
    .add_edge("checker", END)
    .compile(name="second-look")
)
topology = Topology(name="second-look", graph=graph, context=SecondLookContext, roles=("worker", "checker"))
