"""A chain of roles: an analyst prepares the question, a solver answers it, and a reviewer has the last word.

Work divided by phases (Hong et al., "MetaGPT", arXiv:2308.00352, section 3; Qian et al., "ChatDev", arXiv:2307.07924),
for questions instead of software. Each role sees the question and what the role before it said. A chain of two ends
with the solver. The analyst and the reviewer are greedy.

::

    graph TD;
        __start__ --> analyst;
        analyst --> solver;
        solver -.-> __end__;
        solver -.-> reviewer;
        reviewer --> __end__;
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from typing_extensions import TypedDict  # before Python 3.12 pydantic makes no JSON schema of typing's

from orkester.agents import Role

from ._canonical import Form, temperature_of
from ._context import TeamContext
from ._knobs import Between, OneOfModels
from ._topology import Topology
from ._votes import Answer, Question

_WITH_REVIEW = 3


class PipelineState(TypedDict, total=False):
    """State of the graph: what the analyst and the solver said, and the answer."""

    question: Any
    notes: str
    draft: str
    answer: str


@dataclass(frozen=True, kw_only=True)
class PipelineContext(TeamContext):
    """Knobs: how long the chain is, the models of its roles, and the solver's temperature."""

    agents: Annotated[int, Between(2, 3)] = 2
    analyst: Annotated[str, OneOfModels()] = "small"
    model: Annotated[str, OneOfModels()] = "small"
    reviewer: Annotated[str, OneOfModels()] = "small"
    temperature: Annotated[float, Between(0.0, 1.2)] = 0.0


async def analyst(state: PipelineState, runtime: Runtime[PipelineContext]) -> PipelineState:
    """Say what is asked and how to find it."""
    context = runtime.context
    reply = await context.agent("analyst", context.analyst)(state["question"])
    return {"notes": reply.text}


async def solver(state: PipelineState, runtime: Runtime[PipelineContext]) -> PipelineState:
    """Answer, with the analyst's notes in view."""
    context = runtime.context
    agent = context.agent("solver", context.model, temperature=context.temperature)
    reply = await agent(state["question"], drafts=_said(state["notes"]))
    return {"draft": reply.text, "answer": context.read(reply.text)}


async def review(state: PipelineState, runtime: Runtime[PipelineContext]) -> str:
    """A reviewer, in a chain of three."""
    del state
    return "reviewer" if runtime.context.agents == _WITH_REVIEW else END


async def reviewer(state: PipelineState, runtime: Runtime[PipelineContext]) -> Answer:
    """Correct the solver's answer, or repeat it."""
    context = runtime.context
    reply = await context.agent("reviewer", context.reviewer)(state["question"], drafts=_said(state["draft"]))
    return {"answer": context.read(reply.text)}


def _said(text: str) -> list[str]:
    return [text] if text else []


graph = (
    StateGraph(PipelineState, PipelineContext, input_schema=Question, output_schema=Answer)
    .add_node("analyst", analyst)
    .add_node("solver", solver)
    .add_node("reviewer", reviewer)
    .add_edge(START, "analyst")
    .add_edge("analyst", "solver")
    .add_conditional_edges("solver", review, ["reviewer", END])
    .add_edge("reviewer", END)
    .compile(name="pipeline")
)


def canonical(form: Form, roles: Mapping[str, Role]) -> Form:
    """A chain of two has no reviewer."""
    form = temperature_of("solver")(form, roles)
    return form.without("reviewer") if form.knobs["agents"] < _WITH_REVIEW else form


topology = Topology(
    name="pipeline",
    graph=graph,
    context=PipelineContext,
    roles=("analyst", "solver", "reviewer"),
    canonical=canonical,
    decided_by=("agents",),
)
