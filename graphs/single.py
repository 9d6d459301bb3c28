"""One agent, one call: the team to beat.

The baseline of every comparison; many tasks need nothing more (Kapoor et al., "AI Agents That Matter",
arXiv:2407.01502, section 2).

::

    graph TD;
        __start__ --> solo;
        solo --> __end__;
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime

from ._canonical import temperature_of
from ._context import TeamContext
from ._knobs import Between, OneOfModels
from ._topology import Topology
from ._votes import Answer, Question, VoteState


@dataclass(frozen=True, kw_only=True)
class SingleContext(TeamContext):
    """Knobs: the model and its temperature."""

    model: Annotated[str, OneOfModels()] = "small"
    temperature: Annotated[float, Between(0.0, 1.2)] = 0.0


async def solo(state: Question, runtime: Runtime[SingleContext]) -> Answer:
    """Ask the one model once."""
    context = runtime.context
    agent = context.agent("solo", context.model, temperature=context.temperature)
    reply = await agent(state["question"])
    return {"answer": context.read(reply.text), "agreement": 1.0}


graph = (
    StateGraph(VoteState, SingleContext, input_schema=Question, output_schema=Answer)
    .add_node("solo", solo)
    .add_edge(START, "solo")
    .add_edge("solo", END)
    .compile(name="single")
)
topology = Topology(
    name="single", graph=graph, context=SingleContext, roles=("solo",), canonical=temperature_of("solo")
)
