"""A vote that asks no more agents than it needs: it stops when further answers would not change the winner.

Adaptive consistency (Aggarwal et al., "Let's Sample Step by Step", arXiv:2305.11860, section 3). With ``confidence`` 1,
it stops when no answer of the agents that are left could change the winner, so it answers exactly as ``vote`` with as
many agents. Below 1, it stops when the leader beats the second answer with at least this probability (Beta posterior
with a uniform prior). Agents are asked in waves: each wave has the fewest agents after whose answers it could stop, so
none is asked in vain and they still work at the same time.

::

    graph TD;
        __start__ -.-> voter;
        count -.-> finish;
        count -.-> voter;
        voter --> count;
        finish --> __end__;
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import Send

from orkester.agents import Role

from ._canonical import Form, temperature_of
from ._context import TeamContext
from ._knobs import Between, OneOfModels
from ._topology import Topology
from ._voter import voter
from ._votes import Answer, Draft, Question, Turn, VoteState, majority


@dataclass(frozen=True, kw_only=True)
class AdaptiveVoteContext(TeamContext):
    """Knobs: most agents, how sure of the winner the vote must be to stop, the model, and the temperature."""

    agents: Annotated[int, Between(3, 15)] = 5
    confidence: Annotated[float, Between(0.8, 1.0)] = 1.0
    model: Annotated[str, OneOfModels()] = "small"
    temperature: Annotated[float, Between(0.0, 1.2)] = 0.7


async def fan_out(state: VoteState, runtime: Runtime[AdaptiveVoteContext]) -> list[Send]:
    """The first wave."""
    return _wave(state, runtime.context)


async def count(state: VoteState) -> VoteState:
    """Wait for the wave."""
    del state
    return {}


async def again(state: VoteState, runtime: Runtime[AdaptiveVoteContext]) -> str | list[Send]:
    """Another wave, or the end."""
    return _wave(state, runtime.context) or "finish"


async def finish(state: VoteState, runtime: Runtime[AdaptiveVoteContext]) -> Answer:
    """Elect the most frequent answer."""
    answer, agreement = majority(state["drafts"], runtime.context.key)
    return {"answer": answer, "agreement": agreement}


def _wave(state: VoteState, context: AdaptiveVoteContext) -> list[Send]:
    drafts = state.get("drafts", [])
    more = votes_to_come(drafts, context.key, agents=context.agents, confidence=context.confidence)
    first = len(drafts)
    return [Send("voter", Turn(question=state["question"], sample=first + i)) for i in range(more)]


def votes_to_come(drafts: Sequence[Draft], key: Callable[[str], str], *, agents: int, confidence: float) -> int:
    """How many agents are asked next: the fewest after whose answers the vote could stop.

    Args:
        drafts: The answers so far.
        key: Returns the form in which answers are compared.
        agents: The most agents.
        confidence: See ``AdaptiveVoteContext``.

    Returns:
        0 when the vote stops.
    """
    ordered = sorted((draft for draft in drafts if draft.answer), key=lambda draft: draft.sample)
    votes = Counter(key(draft.answer) for draft in ordered)  # answers in the order of their first drafts
    left = agents - len(drafts)
    leader, *others = [name for name, _ in votes.most_common()] or [""]
    for more in range(left + 1):
        ahead = votes[leader] + more  # as if all that come next were for the leader
        if _settled(ahead, votes, leader, others, left - more) or _sure(ahead, votes, others, confidence):
            return more
    return left


def _settled(ahead: int, votes: Mapping[str, int], leader: str, others: Sequence[str], left: int) -> bool:
    """Whether no answer of those that are left could change the winner; an equal number goes to the earlier answer."""
    if left == 0:
        return True
    order = list(votes)
    place = order.index(leader) if leader in order else 0
    rivals = [votes[name] + left + (order.index(name) < place) for name in others]
    return ahead >= max([left, *rivals])


def _sure(ahead: int, votes: Mapping[str, int], others: Sequence[str], confidence: float) -> bool:
    """Whether the leader beats the second answer with the probability that is asked for."""
    return confidence < 1 and ahead > 0 and chance(ahead, votes[others[0]] if others else 0) >= confidence


def chance(first: int, second: int) -> float:
    """The probability that an answer is more frequent than another one, after so many votes for each.

    It is that of p > 1/2 for p ~ Beta(first + 1, second + 1), as a sum of binomial coefficients.
    """
    draws = first + second + 1
    share: float = sum(math.comb(draws, k) for k in range(first + 1)) / 2**draws
    return share


graph = (
    StateGraph(VoteState, AdaptiveVoteContext, input_schema=Question, output_schema=Answer)
    .add_node("voter", voter)
    .add_node("count", count)
    .add_node("finish", finish)
    .add_conditional_edges(START, fan_out, ["voter"])
    .add_edge("voter", "count")
    .add_conditional_edges("count", again, ["voter", "finish"])
    .add_edge("finish", END)
    .compile(name="adaptive_vote")
)


def canonical(form: Form, roles: Mapping[str, Role]) -> Form:
    """Only some probabilities can occur before the vote is settled; where none is high enough, it is never sure."""
    form = temperature_of("voter")(form, roles)
    agents, confidence = form.knobs["agents"], form.knobs["confidence"]
    possible = [
        chance(first, second)
        for first in range(1, agents)
        for second in range(min(first + 1, agents - first))
        # The second answer, if it was given earlier, could still win; one that nobody gave would come later.
        if first + (second == 0) <= agents - first
    ]
    return Form(form.topology, {**form.knobs, "confidence": min((p for p in possible if p >= confidence), default=1.0)})


topology = Topology(
    name="adaptive_vote",
    graph=graph,
    context=AdaptiveVoteContext,
    roles=("voter",),
    canonical=canonical,
    decided_by=("agents", "confidence"),
)
