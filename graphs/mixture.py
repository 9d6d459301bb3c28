"""Layers of agents: each agent answers with all answers of the layer before in view; an aggregator has the last word.

Mixture of agents (Wang et al., "Mixture-of-Agents Enhances Large Language Model Capabilities", arXiv:2406.04692,
section 2.2). The first layer sees the question alone. The aggregator is greedy and may be another model.

::

    graph TD;
        __start__ -.-> proposer;
        gather -.-> aggregator;
        gather -.-> proposer;
        proposer --> gather;
        aggregator --> __end__;
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import Send

from ._canonical import temperature_of
from ._context import TeamContext
from ._knobs import Between, OneOfModels
from ._topology import Topology
from ._votes import Answer, Draft, Question, Turn, VoteState, last_round


@dataclass(frozen=True, kw_only=True)
class MixtureContext(TeamContext):
    """Knobs: agents in each layer, layers before the aggregator, both models, and the temperature of the layers."""

    agents: Annotated[int, Between(2, 6)] = 3
    layers: Annotated[int, Between(1, 3)] = 1
    model: Annotated[str, OneOfModels()] = "small"
    aggregator: Annotated[str, OneOfModels()] = "small"
    temperature: Annotated[float, Between(0.0, 1.2)] = 0.7


async def opening(state: VoteState, runtime: Runtime[MixtureContext]) -> list[Send]:
    """The first layer: everyone answers alone."""
    agents = range(runtime.context.agents)
    return [Send("proposer", Turn(question=state["question"], sample=i, round=0, others=[])) for i in agents]


async def proposer(state: Turn, runtime: Runtime[MixtureContext]) -> VoteState:
    """Answer, with the answers of the layer before in view."""
    context = runtime.context
    agent = context.agent("proposer", context.model, temperature=context.temperature)
    sample = state["round"] * context.agents + state["sample"]  # no two draws of one proposer share a seed
    reply = await agent(state["question"], drafts=state["others"], sample=sample)
    return {"drafts": [Draft(state["sample"], context.read(reply.text), state["round"])]}


async def gather(state: VoteState) -> VoteState:
    """Wait for the layer."""
    del state
    return {}


async def onward(state: VoteState, runtime: Runtime[MixtureContext]) -> str | list[Send]:
    """The next layer, or the aggregator."""
    drafts = last_round(state["drafts"])
    following = drafts[0].round + 1
    if following == runtime.context.layers:
        return "aggregator"
    answers = [draft.answer for draft in drafts if draft.answer]
    return [
        Send("proposer", Turn(question=state["question"], sample=draft.sample, round=following, others=answers))
        for draft in drafts
    ]


async def aggregator(state: VoteState, runtime: Runtime[MixtureContext]) -> Answer:
    """Answer, with the answers of the last layer in view."""
    context = runtime.context
    answers = [draft.answer for draft in last_round(state["drafts"]) if draft.answer]
    reply = await context.agent("aggregator", context.aggregator)(state["question"], drafts=answers)
    return {"answer": context.read(reply.text)}


graph = (
    StateGraph(VoteState, MixtureContext, input_schema=Question, output_schema=Answer)
    .add_node("proposer", proposer)
    .add_node("gather", gather)
    .add_node("aggregator", aggregator)
    .add_conditional_edges(START, opening, ["proposer"])
    .add_edge("proposer", "gather")
    .add_conditional_edges("gather", onward, ["proposer", "aggregator"])
    .add_edge("aggregator", END)
    .compile(name="mixture")
)
topology = Topology(
    name="mixture",
    graph=graph,
    context=MixtureContext,
    roles=("proposer", "aggregator"),
    canonical=temperature_of("proposer"),
)
