"""Agents answer, read each other's drafts, and answer again; after the last round the majority wins.

Multi-agent debate (Du et al., "Improving Factuality and Reasoning in Language Models through Multiagent Debate",
arXiv:2305.14325, section 2). Round 0 is a plain vote; in each of the ``rounds`` after it an agent sees the others'
drafts of the round before, not its own. A tie goes to the answer that the agent with the lowest number gave.

::

    graph TD;
        __start__ -.-> debater;
        count -.-> __end__;
        count -.-> debater;
        debater --> count;
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
from ._votes import Answer, Draft, Question, Turn, VoteState, last_round, majority


@dataclass(frozen=True, kw_only=True)
class DebateContext(TeamContext):
    """Knobs: how many agents, how many rounds of reading each other, their model and temperature."""

    agents: Annotated[int, Between(2, 6)] = 3
    rounds: Annotated[int, Between(1, 4)] = 1
    model: Annotated[str, OneOfModels()] = "small"
    temperature: Annotated[float, Between(0.0, 1.2)] = 0.7


async def opening(state: VoteState, runtime: Runtime[DebateContext]) -> list[Send]:
    """Round 0: everyone answers alone."""
    agents = range(runtime.context.agents)
    return [Send("debater", Turn(question=state["question"], sample=i, round=0, others=[])) for i in agents]


async def debater(state: Turn, runtime: Runtime[DebateContext]) -> VoteState:
    """Draft an answer, with the others' last drafts in view after the first round."""
    context = runtime.context
    agent = context.agent("debater", context.model, temperature=context.temperature)
    # A round of its own numbers, so that no two draws of one debater share a seed.
    sample = state["round"] * context.agents + state["sample"]
    reply = await agent(state["question"], drafts=state["others"], sample=sample)
    return {"drafts": [Draft(state["sample"], context.read(reply.text), state["round"])]}


async def count(state: VoteState, runtime: Runtime[DebateContext]) -> Answer:
    """Elect the most frequent answer of the round that has just ended."""
    answer, agreement = majority(last_round(state["drafts"]), runtime.context.key)
    return {"answer": answer, "agreement": agreement}


async def again(state: VoteState, runtime: Runtime[DebateContext]) -> str | list[Send]:
    """Another round, or the end."""
    drafts = last_round(state["drafts"])
    following = drafts[0].round + 1
    if following > runtime.context.rounds:
        return END
    return [
        Send(
            "debater",
            Turn(
                question=state["question"],
                sample=own.sample,
                round=following,
                others=[other.answer for other in drafts if other.sample != own.sample and other.answer],
            ),
        )
        for own in drafts
    ]


graph = (
    StateGraph(VoteState, DebateContext, input_schema=Question, output_schema=Answer)
    .add_node("debater", debater)
    .add_node("count", count)
    .add_conditional_edges(START, opening, ["debater"])
    .add_edge("debater", "count")
    .add_conditional_edges("count", again, ["debater", END])
    .compile(name="debate")
)
topology = Topology(
    name="debate", graph=graph, context=DebateContext, roles=("debater",), canonical=temperature_of("debater")
)
