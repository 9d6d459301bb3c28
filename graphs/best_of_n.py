"""Several agents answer the same question independently; a verifier marks the answers, and the best one wins.

Best-of-n with a verifier (Cobbe et al., "Training Verifiers to Solve Math Word Problems", arXiv:2110.14168, section
4), where the verifier is a model that is asked for a mark. It marks each different draft once, greedily, and sees
nothing but the question and the draft. Among equal marks, the draft of the voter with the lowest number wins. When all
drafts are the same vote, nothing is marked.

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

from ._canonical import temperature_of
from ._topology import Topology
from ._verify import VerifyContext, VerifyState, in_order, marks_of, verified
from ._votes import Answer


@dataclass(frozen=True, kw_only=True)
class BestOfNContext(VerifyContext):
    """Knobs: how many agents draft, their model, the verifier's model, and the temperature of the drafts."""


async def choose(state: VerifyState) -> Answer:
    """Take the draft with the highest mark."""
    drafts = [draft for draft in in_order(state["drafts"]) if draft.answer]
    if not drafts:
        return {"answer": "", "agreement": 1 / len(state["drafts"])}
    marks = marks_of(state)
    best = max(drafts, key=lambda draft: marks[draft.answer])  # the first of equals
    same = sum(draft.answer == best.answer for draft in drafts)
    return {"answer": best.answer, "agreement": same / len(state["drafts"])}


graph = verified(choose, BestOfNContext, name="best_of_n")
topology = Topology(
    name="best_of_n",
    graph=graph,
    context=BestOfNContext,
    roles=("voter", "verifier"),
    canonical=temperature_of("voter"),
)
