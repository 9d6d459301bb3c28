"""Counts the replies that do not end with a whole answer: they reached the limit of tokens, or are only a thought."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from ..records.block import Block, Call

#: From this share on, an agent's cut replies are reported. A few are no sign of a wrong limit.
NOTABLE_SHARE: Final = 0.05
#: With few examples, a single cut reply may be a large share, so there must be at least so many.
NOTABLE_COUNT: Final = 2


@dataclass(frozen=True, kw_only=True)
class CutAnswers:
    """The replies of one agent on one model, and how many of them do not end with a whole answer.

    Attributes:
        agent: The name of the role.
        model: The name of the model.
        replies: The number of calls that succeeded.
        cut: How many of them ended at the limit of tokens (``finish_reason: length``).
        cut_thoughts: How many of the cut replies are a thought without an answer.
        only_thoughts: How many replies are a thought without an answer although they were not cut.
        longest: The most output tokens of a cut reply; None when the server counted none of them.
    """

    agent: str
    model: str
    replies: int
    cut: int
    cut_thoughts: int
    only_thoughts: int
    longest: int | None = None

    @property
    def share(self) -> float:
        """The share of the replies that were cut, or are only a thought."""
        return (self.cut + self.only_thoughts) / self.replies if self.replies else 0.0

    @property
    def is_notable(self) -> bool:
        """Whether there are so many of them that the user must know."""
        return self.cut + self.only_thoughts >= NOTABLE_COUNT and self.share > NOTABLE_SHARE

    def __add__(self, other: CutAnswers) -> CutAnswers:
        """The sum of the counts. The names of the agent and the model are those of the first."""
        return CutAnswers(
            agent=self.agent,
            model=self.model,
            replies=self.replies + other.replies,
            cut=self.cut + other.cut,
            cut_thoughts=self.cut_thoughts + other.cut_thoughts,
            only_thoughts=self.only_thoughts + other.only_thoughts,
            longest=max(filter(None, (self.longest, other.longest)), default=None),
        )


def cut_answers(blocks: Iterable[Block]) -> Sequence[CutAnswers]:
    """Count the cut replies of each agent on each model.

    Args:
        blocks: The blocks of one team.

    Returns:
        One entry for each agent and model with a cut reply, in the order of their first calls.
    """
    calls: dict[tuple[str, str], list[Call]] = defaultdict(list)
    for block in blocks:
        for example in block.examples:
            for call in example.calls:
                if call.failure is None:
                    calls[call.agent, call.model].append(call)
    counted = [_counted(agent, model, replies) for (agent, model), replies in calls.items()]
    return tuple(each for each in counted if each.cut or each.only_thoughts)


def _counted(agent: str, model: str, replies: Sequence[Call]) -> CutAnswers:
    cut = [call for call in replies if call.finish_reason == "length"]
    cut_thoughts = sum(call.thought == "unanswered" for call in cut)
    return CutAnswers(
        agent=agent,
        model=model,
        replies=len(replies),
        cut=len(cut),
        cut_thoughts=cut_thoughts,
        only_thoughts=sum(call.thought == "unanswered" for call in replies) - cut_thoughts,
        longest=max((call.output_tokens for call in cut if call.output_tokens is not None), default=None),
    )
