"""A topology and an objective beside the study file, named ``own_topology:shout`` and ``own_topology:letters``.

::

    graph TD;
        __start__ --> solo;
        solo --> __end__;
"""

from dataclasses import dataclass
from typing import Annotated, Any

from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from typing_extensions import TypedDict

from orkester.evals.objectives import Mean, Objective, PerExample
from orkester.graphs import OneOfModels, TeamContext, Topology


class State(TypedDict, total=False):
    question: Any
    answer: str


@dataclass(frozen=True, kw_only=True)
class ShoutContext(TeamContext):
    model: Annotated[str, OneOfModels()] = "small"


async def solo(state: State, runtime: Runtime[ShoutContext]) -> State:
    context = runtime.context
    reply = await context.agent("solo", context.model)(state["question"])
    return {"answer": context.read(reply.text).upper()}


graph = (
    StateGraph(State, ShoutContext)
    .add_node("solo", solo)
    .add_edge(START, "solo")
    .add_edge("solo", END)
    .compile(name="shout")
)
shout = Topology(name="shout", graph=graph, context=ShoutContext, roles=("solo",))

letters = Objective(
    name="letters",
    meaning="Letters and digits of the answer.",
    column=PerExample(name="letters", of=lambda example: float(len(example.answer or ""))),
    statistic=Mean(),
)
