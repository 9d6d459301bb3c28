"""The node that several topologies share: an agent drafts an answer on its own."""

from __future__ import annotations

from typing import Any

from langgraph.runtime import Runtime

from ._votes import Draft, Turn, VoteState


async def voter(state: Turn, runtime: Runtime[Any]) -> VoteState:
    """Draft an answer. The context has the knobs ``model`` and ``temperature``."""
    context = runtime.context
    agent = context.agent("voter", context.model, temperature=context.temperature)
    reply = await agent(state["question"], sample=state["sample"])
    return {"drafts": [Draft(state["sample"], context.read(reply.text))]}
