"""A planner lists steps, an executor carries them out one after another, and a solver answers with all results in view.

Plan and execute (Wang et al., "Plan-and-Solve Prompting", arXiv:2305.04091, section 2), with an agent for each part.
The executor sees the steps before with their results. Steps are the items of the planner's list; when its reply has no
list, the solver answers with the reply in view. The planner is greedy. At most ``rounds`` + 2 calls.

::

    graph TD;
        __start__ --> planner;
        executor -.-> solver;
        planner -.-> executor;
        planner -.-> solver;
        solver --> __end__;
        executor -.-> executor;
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Annotated, Any

from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from typing_extensions import TypedDict  # before Python 3.12 pydantic makes no JSON schema of typing's

from ._canonical import temperature_of
from ._context import TeamContext
from ._knobs import Between, OneOfModels
from ._replies import items
from ._topology import Topology
from ._votes import Answer, Question


class PlanState(TypedDict, total=False):
    """State of the graph: the planner's reply, its steps, and the result of each step that is done."""

    question: Any
    plan: str
    steps: list[str]
    results: Annotated[list[str], operator.add]
    answer: str


@dataclass(frozen=True, kw_only=True)
class PlanContext(TeamContext):
    """Knobs: most steps that are carried out, both models, and the temperature of executor and solver."""

    rounds: Annotated[int, Between(1, 5)] = 3
    planner: Annotated[str, OneOfModels()] = "small"
    model: Annotated[str, OneOfModels()] = "small"
    temperature: Annotated[float, Between(0.0, 1.2)] = 0.0


async def planner(state: PlanState, runtime: Runtime[PlanContext]) -> PlanState:
    """List the steps."""
    context = runtime.context
    reply = await context.agent("planner", context.planner)(state["question"])
    return {"plan": reply.text, "steps": list(items(reply.text))[: context.rounds]}


async def executor(state: PlanState, runtime: Runtime[PlanContext]) -> PlanState:
    """Carry out the next step."""
    context, done = runtime.context, state.get("results", [])
    agent = context.agent("executor", context.model, temperature=context.temperature)
    now = f"To be done now: {state['steps'][len(done)]}"
    reply = await agent(state["question"], drafts=[*_done(state), now], sample=len(done))
    return {"results": [reply.text]}


async def following(state: PlanState) -> str:
    """The next step, or the answer."""
    return "executor" if len(state.get("results", [])) < len(state["steps"]) else "solver"


async def solver(state: PlanState, runtime: Runtime[PlanContext]) -> Answer:
    """Answer, with the results in view."""
    context = runtime.context
    agent = context.agent("solver", context.model, temperature=context.temperature)
    reply = await agent(state["question"], drafts=_done(state) or ([state["plan"]] if state["plan"].strip() else []))
    return {"answer": context.read(reply.text)}


def _done(state: PlanState) -> list[str]:
    return [f"{step}: {result}" for step, result in zip(state["steps"], state.get("results", []), strict=False)]


graph = (
    StateGraph(PlanState, PlanContext, input_schema=Question, output_schema=Answer)
    .add_node("planner", planner)
    .add_node("executor", executor)
    .add_node("solver", solver)
    .add_edge(START, "planner")
    .add_conditional_edges("planner", following, ["executor", "solver"])
    .add_conditional_edges("executor", following, ["executor", "solver"])
    .add_edge("solver", END)
    .compile(name="plan")
)
topology = Topology(
    name="plan",
    graph=graph,
    context=PlanContext,
    roles=("planner", "executor", "solver"),
    canonical=temperature_of("executor", "solver"),
)
