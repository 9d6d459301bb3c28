"""A supervisor asks workers for parts of the work, reads their results, and decides when to answer.

One agent directs the others (Wu et al., "AutoGen", arXiv:2308.08155, section 3, dynamic group chat). With several
workers it is the centralised team of Kim et al., "Towards a Science of Scaling Agent Systems" (arXiv:2512.08296):
workers do their parts at the same time and see nothing of one another. The supervisor asks with lines that begin with
``ASK:``, at most one for each worker; any other reply is its answer. After ``rounds`` rounds it has to answer. It is
greedy. At most ``rounds`` × (``agents`` + 1) + 1 calls.

::

    graph TD;
        __start__ --> supervisor;
        supervisor -.-> finish;
        supervisor -.-> worker;
        worker --> supervisor;
        finish --> __end__;
"""

from __future__ import annotations

from dataclasses import dataclass

from langgraph.graph import END, START, StateGraph

from ._canonical import temperature_of
from ._supervise import SuperviseContext, SuperviseState, delegate, finish, supervisor, worker
from ._topology import Topology
from ._votes import Answer, Question


@dataclass(frozen=True, kw_only=True)
class SupervisorContext(SuperviseContext):
    """Knobs: most workers at a time, most rounds of work, both models, and the workers' temperature."""


graph = (
    StateGraph(SuperviseState, SupervisorContext, input_schema=Question, output_schema=Answer)
    .add_node("supervisor", supervisor)
    .add_node("worker", worker)
    .add_node("finish", finish)
    .add_edge(START, "supervisor")
    .add_conditional_edges("supervisor", delegate, ["worker", "finish"])
    .add_edge("worker", "supervisor")
    .add_edge("finish", END)
    .compile(name="supervisor")
)
topology = Topology(
    name="supervisor",
    graph=graph,
    context=SupervisorContext,
    roles=("supervisor", "worker"),
    canonical=temperature_of("worker"),
)
