"""Counting drafts."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from typing_extensions import TypedDict  # before Python 3.12 pydantic makes no JSON schema of typing's


@dataclass(frozen=True)
class Draft:
    """One agent's answer in one round."""

    sample: int
    answer: str
    round: int = 0


class VoteState(TypedDict, total=False):
    """State of a graph that gathers drafts. ``question`` goes in, ``answer`` and ``agreement`` come out."""

    question: Any
    drafts: Annotated[list[Draft], operator.add]
    answer: str
    agreement: float


class Question(TypedDict):
    """What goes into a topology: text, or OpenAI content parts."""

    question: Any


class Answer(TypedDict, total=False):
    """What comes out."""

    answer: str
    agreement: float


class Turn(TypedDict, total=False):
    """What one agent of a fan-out is sent."""

    question: Any
    sample: int
    round: int
    others: list[str]


def last_round(drafts: Sequence[Draft]) -> list[Draft]:
    """The drafts of the last round, by the numbers of their agents."""
    last = max(draft.round for draft in drafts)
    return sorted((draft for draft in drafts if draft.round == last), key=lambda draft: draft.sample)


def majority(drafts: Sequence[Draft], key: Callable[[str], str]) -> tuple[str, float]:
    """The answer most drafts gave, and the share that gave it.

    A draft without an answer, such as that of a model whose thought was cut off, is no vote. It still counts in the
    share: 2 equal answers of 3 drafts are a share of 2/3. If no draft has an answer, the answer is empty and the
    share is that of one draft: drafts without an answer do not agree.

    A tie goes to the answer whose first draft has the lowest sample number, so the same drafts always elect the same
    answer. The wording is that of the elected answer's first draft.

    Raises:
        ValueError: there are no drafts.
    """
    if not drafts:
        raise ValueError("a vote needs at least one draft")
    ordered = sorted((draft for draft in drafts if draft.answer), key=lambda draft: draft.sample)
    if not ordered:
        return "", 1 / len(drafts)
    # Counter keeps insertion order and most_common is stable: among equals the first seen wins.
    elected, votes = Counter(key(draft.answer) for draft in ordered).most_common(1)[0]
    wording = next(draft.answer for draft in ordered if key(draft.answer) == elected)
    return wording, votes / len(drafts)
