"""A routing policy decides which of two models answers a question.

Routing a question before any model has answered it ("predictive routing": Ong et al., "RouteLLM", arXiv:2406.18665,
section 3; Hu et al., "RouterBench", arXiv:2403.12031). A policy is a file of agents/routing/: ``rule`` looks for a
pattern in the question, ``learnt`` predicts from the records of the search which model is right.

::

    graph TD;
        __start__ --> solo;
        solo --> __end__;
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime

from orkester.agents import Role

from ._canonical import Form, temperature_of
from ._context import TeamContext
from ._knobs import Between, OneOfModels, OneOfPolicies
from ._topology import Topology
from ._votes import Answer, Question, VoteState


@dataclass(frozen=True, kw_only=True)
class RouterContext(TeamContext):
    """Knobs: both models, the policy that chooses between them, and the temperature of the one that answers."""

    first: Annotated[str, OneOfModels()] = "small"
    second: Annotated[str, OneOfModels()] = "large"
    routing: Annotated[str, OneOfPolicies()] = "rule"
    temperature: Annotated[float, Between(0.0, 1.2)] = 0.0


async def solo(state: Question, runtime: Runtime[RouterContext]) -> Answer:
    """Choose the model, and ask it once."""
    context = runtime.context
    model = context.route(context.routing, state["question"], [context.first, context.second])
    reply = await context.agent("solo", model, temperature=context.temperature)(state["question"])
    return {"answer": context.read(reply.text), "agreement": 1.0}


graph = (
    StateGraph(VoteState, RouterContext, input_schema=Question, output_schema=Answer)
    .add_node("solo", solo)
    .add_edge(START, "solo")
    .add_edge("solo", END)
    .compile(name="router")
)


def canonical(form: Form, roles: Mapping[str, Role]) -> Form:
    """Between two equal models there is nothing to choose; the order of the models does not matter to ``learnt``."""
    form = temperature_of("solo")(form, roles)
    first, second = form.knobs["first"], form.knobs["second"]
    if first == second:
        knobs = form.without("second", "routing").knobs
        return Form("single", {"model" if name == "first" else name: value for name, value in knobs.items()})
    if form.knobs["routing"] == "learnt" and second < first:
        return Form(form.topology, {**form.knobs, "first": second, "second": first})
    return form


topology = Topology(
    name="router",
    graph=graph,
    context=RouterContext,
    roles=("solo",),
    canonical=canonical,
    decided_by=("first", "second", "routing"),
)
