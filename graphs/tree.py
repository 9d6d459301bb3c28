"""Agents propose several next steps, an evaluator marks them, and the best one is kept; then a solver answers.

Tree of thoughts with breadth-first search that keeps one state (Yao et al., "Tree of Thoughts", arXiv:2305.10601,
section 3). At each depth, ``breadth`` steps are drawn from the same steps so far. The evaluator marks each different
step once, greedily; among equal marks the first one is kept. The solver is greedy.

::

    graph TD;
        __start__ -.-> thinker;
        evaluator --> keep;
        gather -.-> evaluator;
        gather -.-> keep;
        keep -.-> solver;
        keep -.-> thinker;
        thinker --> gather;
        solver --> __end__;
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Annotated, Any

from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import Send
from typing_extensions import TypedDict  # before Python 3.12 pydantic makes no JSON schema of typing's

from ._canonical import temperature_of
from ._context import TeamContext
from ._knobs import Between, OneOfModels
from ._topology import Topology
from ._verify import Mark, read_mark
from ._votes import Answer, Draft, Question


class TreeState(TypedDict, total=False):
    """State of the graph: steps that were kept, all that were proposed, and their marks."""

    question: Any
    path: list[str]
    thoughts: Annotated[list[Draft], operator.add]
    marks: Annotated[list[Mark], operator.add]
    answer: str


class Step(TypedDict, total=False):
    """What a thinker or an evaluator is sent."""

    question: Any
    depth: int
    sample: int
    path: list[str]


@dataclass(frozen=True, kw_only=True)
class TreeContext(TeamContext):
    """Knobs: steps that are proposed at each depth, how many are kept, both models, and the thinkers' temperature."""

    breadth: Annotated[int, Between(2, 5)] = 3
    depth: Annotated[int, Between(1, 3)] = 2
    model: Annotated[str, OneOfModels()] = "small"
    evaluator: Annotated[str, OneOfModels()] = "small"
    temperature: Annotated[float, Between(0.0, 1.2)] = 0.7


async def opening(state: TreeState, runtime: Runtime[TreeContext]) -> list[Send]:
    """The first steps."""
    return _thinkers(state, runtime)


def _thinkers(state: TreeState, runtime: Runtime[TreeContext]) -> list[Send]:
    context, path = runtime.context, state.get("path", [])
    first = len(path) * context.breadth
    return [
        Send("thinker", Step(question=state["question"], depth=len(path), sample=first + i, path=path))
        for i in range(context.breadth)
    ]


async def thinker(state: Step, runtime: Runtime[TreeContext]) -> TreeState:
    """Propose a next step."""
    context = runtime.context
    agent = context.agent("thinker", context.model, temperature=context.temperature)
    reply = await agent(state["question"], drafts=state["path"], sample=state["sample"])
    return {"thoughts": [Draft(state["sample"], reply.text, state["depth"])]}


async def gather(state: TreeState) -> TreeState:
    """Wait for the steps."""
    del state
    return {}


async def judge(state: TreeState) -> str | list[Send]:
    """An evaluator for each different step; none when there is nothing to choose from."""
    path = state.get("path", [])
    proposed = _proposed(state)
    if len(proposed) < 2:
        return "keep"
    return [
        Send("evaluator", Step(question=state["question"], sample=sample, path=[*path, text]))
        for text, sample in proposed.items()
    ]


async def evaluator(state: Step, runtime: Runtime[TreeContext]) -> TreeState:
    """Mark the steps up to a proposed one."""
    context = runtime.context
    agent = context.agent("evaluator", context.evaluator)
    reply = await agent(state["question"], drafts=["\n".join(state["path"])], sample=state["sample"])
    return {"marks": [Mark(state["sample"], read_mark(reply.text))]}


async def keep(state: TreeState) -> TreeState:
    """Keep the step with the highest mark."""
    marks = {mark.sample: mark.mark for mark in state.get("marks", [])}
    proposed = _proposed(state)
    best = max(proposed, key=lambda text: marks.get(proposed[text], 0.0), default="")  # the first of equals
    return {"path": [*state.get("path", []), best]}


async def onward(state: TreeState, runtime: Runtime[TreeContext]) -> str | list[Send]:
    """The next steps, or the answer."""
    return "solver" if len(state["path"]) == runtime.context.depth else _thinkers(state, runtime)


async def solver(state: TreeState, runtime: Runtime[TreeContext]) -> Answer:
    """Answer, with the kept steps in view."""
    context = runtime.context
    steps = [step for step in state["path"] if step]
    reply = await context.agent("solver", context.model)(state["question"], drafts=steps)
    return {"answer": context.read(reply.text)}


def _proposed(state: TreeState) -> dict[str, int]:
    """The different steps that were proposed last, in order, with the numbers of their first thinkers."""
    depth = len(state.get("path", []))
    last = sorted((each for each in state["thoughts"] if each.round == depth), key=lambda each: each.sample)
    found: dict[str, int] = {}
    for thought in last:
        if thought.answer:
            found.setdefault(thought.answer, thought.sample)
    return found


graph = (
    StateGraph(TreeState, TreeContext, input_schema=Question, output_schema=Answer)
    .add_node("thinker", thinker)
    .add_node("gather", gather)
    .add_node("evaluator", evaluator)
    .add_node("keep", keep)
    .add_node("solver", solver)
    .add_conditional_edges(START, opening, ["thinker"])
    .add_edge("thinker", "gather")
    .add_conditional_edges("gather", judge, ["evaluator", "keep"])
    .add_edge("evaluator", "keep")
    .add_conditional_edges("keep", onward, ["thinker", "solver"])
    .add_edge("solver", END)
    .compile(name="tree")
)
topology = Topology(
    name="tree",
    graph=graph,
    context=TreeContext,
    roles=("thinker", "evaluator", "solver"),
    canonical=temperature_of("thinker"),
)
