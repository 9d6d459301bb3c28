"""Several agents answer the same question independently; the most frequent answer wins.

Self-consistency (Wang et al., "Self-Consistency Improves Chain of Thought Reasoning in Language Models",
arXiv:2203.11171), as plain sampling and voting (Li et al., "More Agents Is All You Need", arXiv:2402.05120). A tie goes
to the answer that the voter with the lowest number gave.

::

    graph TD;
        __start__ -.-> voter;
        voter --> count;
        count --> __end__;
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import Send

from orkester.agents import Role

from ._canonical import Form, same_calls, temperature_of
from ._context import TeamContext
from ._knobs import Between, OneOfModels
from ._topology import Topology
from ._voter import voter
from ._votes import Answer, Question, Turn, VoteState, majority


@dataclass(frozen=True, kw_only=True)
class VoteContext(TeamContext):
    """Knobs: how many agents, their model, and the temperature that makes them differ."""

    agents: Annotated[int, Between(1, 9)] = 5
    model: Annotated[str, OneOfModels()] = "small"
    temperature: Annotated[float, Between(0.0, 1.2)] = 0.7


async def fan_out(state: VoteState, runtime: Runtime[VoteContext]) -> list[Send]:
    """One voter for each agent."""
    return [Send("voter", Turn(question=state["question"], sample=i)) for i in range(runtime.context.agents)]


async def count(state: VoteState, runtime: Runtime[VoteContext]) -> Answer:
    """Elect the most frequent answer."""
    answer, agreement = majority(state["drafts"], runtime.context.key)
    return {"answer": answer, "agreement": agreement}


graph = (
    StateGraph(VoteState, VoteContext, input_schema=Question, output_schema=Answer)
    .add_node("voter", voter)
    .add_node("count", count)
    .add_conditional_edges(START, fan_out, ["voter"])
    .add_edge("voter", "count")
    .add_edge("count", END)
    .compile(name="vote")
)


def canonical(form: Form, roles: Mapping[str, Role]) -> Form:
    """A vote of one is a single agent."""
    form = temperature_of("voter")(form, roles)
    if form.knobs["agents"] == 1 and same_calls(roles["voter"], roles["solo"]):
        return Form("single", form.without("agents").knobs)
    return form


topology = Topology(
    name="vote", graph=graph, context=VoteContext, roles=("voter",), canonical=canonical, decided_by=("agents",)
)
