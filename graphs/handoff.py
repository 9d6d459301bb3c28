"""An agent answers, or hands the question over to another one with a note; that one may hand it back.

Agents that pass the question on to whoever can answer it (Wu et al., "AutoGen", arXiv:2308.08155, section 3, where the
next speaker is chosen in the conversation). A line that begins with ``HANDOFF:`` is a note for the other agent; a reply
without one is the answer. After ``rounds`` handoffs, the agent whose turn it is has to answer. At most ``rounds`` + 1
calls.

::

    graph TD;
        __start__ --> receiver;
        receiver -.-> __end__;
        receiver -.-> specialist;
        specialist -.-> __end__;
        specialist -.-> receiver;
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
from ._replies import asked, with_hint
from ._topology import Topology
from ._votes import Answer, Question

_HANDOFF: Final = "HANDOFF"
_LAST: Final = "You cannot hand the question over any more. Answer now."


class HandoffState(TypedDict, total=False):
    """State of the graph: the notes of the agents, and the answer; None while the question is handed over."""

    question: Any
    notes: Annotated[list[str], operator.add]
    answer: str | None


@dataclass(frozen=True, kw_only=True)
class HandoffContext(TeamContext):
    """Knobs: most handoffs, the models of both agents, and their temperature."""

    rounds: Annotated[int, Between(1, 4)] = 1
    model: Annotated[str, OneOfModels()] = "small"
    specialist: Annotated[str, OneOfModels()] = "large"
    temperature: Annotated[float, Between(0.0, 1.2)] = 0.0


async def receiver(state: HandoffState, runtime: Runtime[HandoffContext]) -> HandoffState:
    """Answer first, or hand over."""
    return await _turn("receiver", runtime.context.model, state, runtime.context)


async def specialist(state: HandoffState, runtime: Runtime[HandoffContext]) -> HandoffState:
    """Answer, or hand back."""
    return await _turn("specialist", runtime.context.specialist, state, runtime.context)


async def _turn(role: str, model: str, state: HandoffState, context: HandoffContext) -> HandoffState:
    notes = state.get("notes", [])
    last = len(notes) == context.rounds
    agent = context.agent(role, model, temperature=context.temperature)
    reply = await agent(state["question"], drafts=with_hint(notes, _LAST) if last else notes, sample=len(notes))
    if reply.text.strip().strip(".:*").casefold() == _HANDOFF.casefold():
        said, handed = "", True
    else:
        texts, rest = asked(reply.text, _HANDOFF)
        said, handed = "\n".join(texts) or rest, bool(texts) or rest != reply.text.strip()
    if handed and not last:
        return {"notes": [said or "no note"], "answer": None}
    return {"answer": context.read(said if handed else reply.text)}


async def after_receiver(state: HandoffState) -> str:
    """The specialist when the question was handed over."""
    return END if state["answer"] is not None else "specialist"


async def after_specialist(state: HandoffState) -> str:
    """The receiver when the question was handed back."""
    return END if state["answer"] is not None else "receiver"


graph = (
    StateGraph(HandoffState, HandoffContext, input_schema=Question, output_schema=Answer)
    .add_node("receiver", receiver)
    .add_node("specialist", specialist)
    .add_edge(START, "receiver")
    .add_conditional_edges("receiver", after_receiver, ["specialist", END])
    .add_conditional_edges("specialist", after_specialist, ["receiver", END])
    .compile(name="handoff")
)
topology = Topology(
    name="handoff",
    graph=graph,
    context=HandoffContext,
    roles=("receiver", "specialist"),
    canonical=temperature_of("receiver", "specialist"),
)
