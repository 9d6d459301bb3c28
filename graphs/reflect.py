"""An actor answers, a critic says what is wrong, and the actor answers again.

Iterative refinement with feedback (Madaan et al., "Self-Refine", arXiv:2303.17651, section 2) where the critic may be
another model, as the evaluator of Reflexion is (Shinn et al., "Reflexion: Language Agents with Verbal Reinforcement
Learning", arXiv:2303.11366, section 3). The critic sees the actor's whole last reply; the actor sees that reply with
what the critic says about it. It ends after ``rounds`` critiques, or earlier when the critic agrees: when its reply
begins with ``APPROVED``, or gives the same answer as the actor. The critic is greedy.

::

    graph TD;
        __start__ --> actor;
        actor -.-> __end__;
        actor -.-> critic;
        critic -.-> __end__;
        critic -.-> actor;
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Annotated, Any, Final

from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from typing_extensions import TypedDict  # before Python 3.12 pydantic makes no JSON schema of typing's

from ._canonical import temperature_of
from ._context import TeamContext
from ._knobs import Between, OneOfModels
from ._topology import Topology
from ._votes import Answer, Question

#: The first word of a critic that agrees; agents/roles/reflect.yaml asks for it.
APPROVED: Final = "approved"


class ReflectState(TypedDict, total=False):
    """State of the graph: whole replies of both agents, and the answer in the actor's last one."""

    question: Any
    drafts: Annotated[list[str], operator.add]
    critiques: Annotated[list[str], operator.add]
    answer: str


@dataclass(frozen=True, kw_only=True)
class ReflectContext(TeamContext):
    """Knobs: most critiques, the actor's model, the critic's model, and the actor's temperature."""

    rounds: Annotated[int, Between(1, 4)] = 1
    model: Annotated[str, OneOfModels()] = "small"
    critic: Annotated[str, OneOfModels()] = "small"
    temperature: Annotated[float, Between(0.0, 1.2)] = 0.7


async def actor(state: ReflectState, runtime: Runtime[ReflectContext]) -> ReflectState:
    """Answer, with the last reply and its critique in view after the first round."""
    context = runtime.context
    agent = context.agent("actor", context.model, temperature=context.temperature)
    pairs = zip(state.get("drafts", []), state.get("critiques", []), strict=True)
    criticised = [f"{draft}\n\nCritic: {critique}" for draft, critique in pairs]
    reply = await agent(state["question"], drafts=criticised, sample=len(criticised))
    return {"drafts": [reply.text], "answer": context.read(reply.text)}


async def critic(state: ReflectState, runtime: Runtime[ReflectContext]) -> ReflectState:
    """Say what is wrong with the last reply, or that it is right."""
    context = runtime.context
    agent = context.agent("critic", context.critic)
    reply = await agent(state["question"], drafts=state["drafts"], sample=len(state["drafts"]) - 1)
    return {"critiques": [reply.text]}


async def check(state: ReflectState, runtime: Runtime[ReflectContext]) -> str:
    """A critique, until there are ``rounds`` of them."""
    return "critic" if len(state["drafts"]) <= runtime.context.rounds else END


async def revise(state: ReflectState, runtime: Runtime[ReflectContext]) -> str:
    """Another answer, unless the critic agrees."""
    context, critique = runtime.context, state["critiques"][-1]
    first_word = critique.casefold().split()[:1]
    approved = [word.strip(".,:;!*\"'") for word in first_word] == [APPROVED]
    answered = bool(critique and state["answer"])  # two replies without an answer do not agree
    same = answered and context.key(context.read(critique)) == context.key(state["answer"])
    return END if approved or same else "actor"


graph = (
    StateGraph(ReflectState, ReflectContext, input_schema=Question, output_schema=Answer)
    .add_node("actor", actor)
    .add_node("critic", critic)
    .add_edge(START, "actor")
    .add_conditional_edges("actor", check, ["critic", END])
    .add_conditional_edges("critic", revise, ["actor", END])
    .compile(name="reflect")
)
topology = Topology(
    name="reflect", graph=graph, context=ReflectContext, roles=("actor", "critic"), canonical=temperature_of("actor")
)
