"""Several agents answer the same question independently; a verifier marks the answers, and the marks are added up.

A vote in which each draft counts as much as a verifier trusts it (Li et al., "Making Large Language Models Better
Reasoners with Step-Aware Verifier", arXiv:2206.02336, section 3.2), where the verifier is a model that is asked for a
mark. It marks each different draft once, greedily. The answer with the largest sum of marks wins; among equal sums, it
is the one with more votes, then the one whose voter has the lowest number. When all drafts are
the same vote, nothing is marked.

::

    graph TD;
        __start__ -.-> voter;
        gather -.-> choose;
        gather -.-> verifier;
        verifier --> choose;
        voter --> gather;
        choose --> __end__;
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from langgraph.runtime import Runtime

from ._canonical import temperature_of
from ._knobs import Between
from ._topology import Topology
from ._verify import VerifyContext, VerifyState, in_order, marks_of, verified
from ._votes import Answer


@dataclass(frozen=True, kw_only=True)
class WeightedVoteContext(VerifyContext):
    """Knobs: how many agents draft, their model, the verifier's model, and the temperature of the drafts."""

    agents: Annotated[int, Between(3, 9)] = 4  # of two drafts, the one with the better mark wins, as in best_of_n


async def choose(state: VerifyState, runtime: Runtime[WeightedVoteContext]) -> Answer:
    """Elect the answer with the largest sum of marks."""
    key = runtime.context.key
    drafts = [draft for draft in in_order(state["drafts"]) if draft.answer]
    if not drafts:
        return {"answer": "", "agreement": 1 / len(state["drafts"])}
    marks = marks_of(state)
    votes: dict[str, list[str]] = {}
    for draft in drafts:
        votes.setdefault(key(draft.answer), []).append(draft.answer)
    texts = max(votes.values(), key=lambda same: (sum(marks[text] for text in same), len(same)))
    return {"answer": texts[0], "agreement": len(texts) / len(state["drafts"])}


graph = verified(choose, WeightedVoteContext, name="weighted_vote")
topology = Topology(
    name="weighted_vote",
    graph=graph,
    context=WeightedVoteContext,
    roles=("voter", "verifier"),
    canonical=temperature_of("voter"),
)
