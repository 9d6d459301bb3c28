"""A supervisor asks workers for parts of the work; the workers read one another before it reads them.

The hybrid team of Kim et al., "Towards a Science of Scaling Agent Systems" (arXiv:2512.08296): a supervisor, as in
``supervisor``, and an exchange among its workers. In each round every worker first does its part alone, and then gives
its result again with those of the others in view. A worker alone has nobody to read, so it works once. At most
``rounds`` × (2 × ``agents`` + 1) + 1 calls.

::

    graph TD;
        __start__ --> supervisor;
        exchange -.-> supervisor;
        exchange -.-> worker;
        supervisor -.-> finish;
        supervisor -.-> worker;
        worker --> exchange;
        finish --> __end__;
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

from orkester.agents import Role

from ._canonical import Form, temperature_of
from ._supervise import SuperviseContext, SuperviseState, Task, delegate, finish, last_turns, supervisor, worker
from ._topology import Topology
from ._votes import Answer, Question


@dataclass(frozen=True, kw_only=True)
class HybridContext(SuperviseContext):
    """Knobs: most workers at a time, most rounds of work, both models, and the workers' temperature."""


async def exchange(state: SuperviseState) -> SuperviseState:
    """Wait for the workers."""
    del state
    return {}


async def read_each_other(state: SuperviseState) -> str | list[Send]:
    """The workers again, each with the results of the others; the supervisor when they have read them."""
    results = [work for work in last_turns(state["work"]) if work.round == state["round"]]
    if len(results) == 1 or results[0].turn:
        return "supervisor"
    return [
        Send(
            "worker",
            Task(
                question=state["question"],
                round=own.round,
                sample=own.sample,
                task=own.task,
                turn=1,
                seen=[
                    *(f"Result of another worker: {other.result}" for other in results if other is not own),
                    f"Your own result so far: {own.result}",
                ],
            ),
        )
        for own in results
    ]


graph = (
    StateGraph(SuperviseState, HybridContext, input_schema=Question, output_schema=Answer)
    .add_node("supervisor", supervisor)
    .add_node("worker", worker)
    .add_node("exchange", exchange)
    .add_node("finish", finish)
    .add_edge(START, "supervisor")
    .add_conditional_edges("supervisor", delegate, ["worker", "finish"])
    .add_edge("worker", "exchange")
    .add_conditional_edges("exchange", read_each_other, ["worker", "supervisor"])
    .add_edge("finish", END)
    .compile(name="hybrid")
)


def canonical(form: Form, roles: Mapping[str, Role]) -> Form:
    """With one worker there is nobody to read."""
    form = temperature_of("worker")(form, roles)
    return Form("supervisor", form.knobs) if form.knobs["agents"] == 1 else form


topology = Topology(
    name="hybrid",
    graph=graph,
    context=HybridContext,
    roles=("supervisor", "worker"),
    canonical=canonical,
    decided_by=("agents",),
)
