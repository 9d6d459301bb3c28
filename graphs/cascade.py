"""A cheap model votes first; where the votes disagree, a larger model answers.

Cascades of models (Chen et al., "FrugalGPT", arXiv:2305.05176, section 3) with agreement among samples as the sign
that the cheap answer may stand (Yue et al., "Large Language Model Cascades with Mixture of Thoughts
Representations", arXiv:2310.03094). The larger model sees the question alone, not the votes, and answers greedily.

::

    graph TD;
        __start__ -.-> first;
        count -.-> __end__;
        count -.-> then;
        first --> count;
        then --> __end__;
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
from ._votes import Answer, Draft, Question, Turn, VoteState, majority


@dataclass(frozen=True, kw_only=True)
class CascadeContext(TeamContext):
    """Knobs: both models, how many votes of the first, their temperature, and the share that must agree."""

    first: Annotated[str, OneOfModels()] = "small"
    then: Annotated[str, OneOfModels()] = "large"
    votes: Annotated[int, Between(2, 9)] = 3
    temperature: Annotated[float, Between(0.0, 1.2)] = 0.7
    agreement: Annotated[float, Between(0.5, 1.0)] = 1.0


async def fan_out(state: VoteState, runtime: Runtime[CascadeContext]) -> list[Send]:
    """One cheap voter for each vote."""
    return [Send("first", Turn(question=state["question"], sample=i)) for i in range(runtime.context.votes)]


async def first(state: Turn, runtime: Runtime[CascadeContext]) -> VoteState:
    """Draft an answer on the cheap model."""
    context = runtime.context
    agent = context.agent("first", context.first, temperature=context.temperature)
    reply = await agent(state["question"], sample=state["sample"])
    return {"drafts": [Draft(state["sample"], context.read(reply.text))]}


async def count(state: VoteState, runtime: Runtime[CascadeContext]) -> Answer:
    """Elect the most frequent draft and say how many agreed."""
    answer, agreement = majority(state["drafts"], runtime.context.key)
    return {"answer": answer, "agreement": agreement}


async def escalate(state: VoteState, runtime: Runtime[CascadeContext]) -> str:
    """The larger model is needed when too few agreed."""
    return END if state["agreement"] >= runtime.context.agreement else "then"


async def then(state: VoteState, runtime: Runtime[CascadeContext]) -> Answer:
    """Answer on the larger model."""
    context = runtime.context
    reply = await context.agent("then", context.then)(state["question"])
    return {"answer": context.read(reply.text)}


graph = (
    StateGraph(VoteState, CascadeContext, input_schema=Question, output_schema=Answer)
    .add_node("first", first)
    .add_node("count", count)
    .add_node("then", then)
    .add_conditional_edges(START, fan_out, ["first"])
    .add_edge("first", "count")
    .add_conditional_edges("count", escalate, ["then", END])
    .add_edge("then", END)
    .compile(name="cascade")
)


def canonical(form: Form, roles: Mapping[str, Role]) -> Form:
    """The share that agrees moves in steps of a vote; where even the smallest is enough, it is a vote."""
    form = temperature_of("first")(form, roles)
    votes = form.knobs["votes"]
    # The same division as in ``majority``, so that the comparison here is the graph's.
    share = next(count / votes for count in range(1, votes + 1) if count / votes >= form.knobs["agreement"])
    form = Form(form.topology, {**form.knobs, "agreement": share})
    if share > 1 / votes:
        return form
    form = form.without("then")
    if not same_calls(roles["first"], roles["voter"]):
        return form
    names = {"votes": "agents", "first": "model"}
    knobs = form.without("agreement").knobs
    return Form("vote", {names.get(name, name): value for name, value in knobs.items()})


topology = Topology(
    name="cascade",
    graph=graph,
    context=CascadeContext,
    roles=("first", "then"),
    canonical=canonical,
    decided_by=("votes", "agreement"),
)
