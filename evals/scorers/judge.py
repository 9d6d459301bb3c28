"""The scorer ``judge``: a model of the study decides whether an answer is right, or which of two answers is better."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final

from orkester.errors import CallFailed

from ._base import accepted
from ._deferred import Answered, Score
from ._text import exact_text
from .contains import Contains

if TYPE_CHECKING:
    from orkester.serving.chat import ChatModel, Message, Reply

_CRITERIA: Final = (
    "An answer is correct when it says the same as the expected answer. Its wording, its length and what it adds do "
    "not matter."
)
_BETTER: Final = "The better answer is more correct, and then more helpful and clearer. Its length does not matter."
_VERDICT: Final = (
    "You decide whether an answer to a question is correct. {criteria} Reply with one word: correct or incorrect."
)
_PAIR: Final = "You compare two answers to a question. {criteria} Reply with one word: A, B or tie."
_WORD: Final = re.compile(
    r"\b(?:(?P<wrong>(?:not|isn['’]t)\s+(?:\w+\s+)?correct|incorrect|wrong)|(?P<right>correct(?!\s+\w+\s+(?:is|was|are|would|should)\b)))\b",
    re.IGNORECASE,
)
#: A is a letter, and no article, unless a word follows that says nothing of an answer.
_A: Final = r"(?<=nswer )A|A(?!\s+(?!is|was|wins|beats|has|gives|and|or)[a-z])"
_LETTER: Final = re.compile(rf"\b(?:(?P<tie>(?i:tie|tied|equal|equally|both))|(?P<letter>B|{_A}))\b")
_MARKS: Final = " \t\r\n*_\"'`#>([{.:-"
#: Failures of requests that are about what was asked, for example because it is too long for the model.
_REFUSED: Final = frozenset({"http 400", "http 413", "http 422"})


@dataclass(frozen=True)
class Judge:
    """Asks a model of the study, with temperature 0, about each answer.

    Without ``pairs``, it says whether the answer is correct, given the question and the expected answer. With
    ``pairs``, it compares the answer with the expected one, in both orders, since models prefer a position (Zheng et
    al. 2023, arXiv:2306.05685, section 3.3): the score is the share of the two comparisons that the answer wins, and a
    tie is half a win.

    Attributes:
        model: The name of the judging model, which is one of the study's models.
        criteria: What makes an answer correct, or better; None for a text of this scorer, which is about the expected
            answer. With criteria, examples need no expected answer, except for pairs.
        pairs: Whether the answer is compared with the expected answer.
        max_tokens: The most tokens of a verdict, with its thought.
    """

    model: str
    criteria: str | None = None
    pairs: bool = False
    max_tokens: int = 512

    name: ClassVar[str] = "judge"
    version: ClassVar[str] = "1"
    at_once: ClassVar[int | None] = None
    takes_objects: ClassVar[bool] = False
    _gold: Contains = field(default_factory=Contains, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise ValueError(f"max_tokens is 1 or more, but got {self.max_tokens}")

    @property
    def models(self) -> Sequence[str]:
        """The judging model."""
        return (self.model,)

    @property
    def calls_per_answer(self) -> int:
        """1, or 2 for a pair."""
        return 2 if self.pairs else 1

    @property
    def needs_expected(self) -> bool:
        """Whether answers are compared with an expected one. Otherwise the criteria are enough."""
        return self.pairs or self.criteria is None

    def fault(self, expected: Any) -> str:
        """See ``DeferredScorer``; any text can be judged."""
        del expected
        return ""

    async def evaluate(self, answered: Answered, models: Mapping[str, ChatModel]) -> Score:
        """The verdict: 1 for correct. A verdict that cannot be read counts as incorrect, and is counted."""
        try:
            judge = models[self.model]
            return await (self._compared(judge, answered) if self.pairs else self._judged(judge, answered))
        except CallFailed as error:
            if error.kind not in _REFUSED:
                raise
            return Score(value=0.0, detail={"judge": self.model, "verdict": None, "error": str(error)})

    def key(self, answer: str) -> str:
        """The form in which ``exact`` compares answers."""
        return exact_text(answer)

    async def _judged(self, judge: ChatModel, answered: Answered) -> Score:
        ask = f"Answer: {answered.answer}\n\nIs this answer correct or incorrect?"
        if answered.expected is not None:
            expected = "\nor: ".join(accepted(answered.expected))
            ask = f"Expected answer: {expected}\n\n{ask}"
        reply = await self._ask(judge, _VERDICT, _CRITERIA, answered.question, ask)
        right = verdict(reply.text)
        detail: dict[str, Any] = {"judge": self.model, "verdict": _NAMES[right]}
        if right is None:
            detail["reply"] = reply.text[-200:]
        if answered.expected is not None:
            detail["has_expected"] = self._gold.score(answered.answer, answered.expected) == 1
        return Score(value=float(right is True), detail=detail, replies=(reply,))

    async def _compared(self, judge: ChatModel, answered: Answered) -> Score:
        expected = accepted(answered.expected)[0]
        orders = ((answered.answer, expected), (expected, answered.answer))

        async def compare(first: str, second: str) -> Reply:
            ask = f"Answer A: {first}\n\nAnswer B: {second}\n\nWhich answer is better: A, B or tie?"
            return await self._ask(judge, _PAIR, _BETTER, answered.question, ask)

        replies = await asyncio.gather(*(compare(*order) for order in orders))
        winners = [preference(reply.text) for reply in replies]
        shares = [{own: 1.0, "tie": 0.5}.get(winner or "", 0.0) for own, winner in zip("AB", winners, strict=True)]
        detail: dict[str, Any] = {"judge": self.model, "first": winners[0], "second": winners[1]}
        if None in winners:
            detail["reply"] = replies[winners.index(None)].text[-200:]
        return Score(value=sum(shares) / 2, detail=detail, replies=tuple(replies))

    async def _ask(self, judge: ChatModel, system: str, criteria: str, question: Any, ask: str) -> Reply:
        text = system.format(criteria=(self.criteria or criteria).strip())
        content: Any = f"Question: {question}\n\n{ask}"
        if not isinstance(question, str):  # with pictures
            content = [{"type": "text", "text": "Question:"}, *question, {"type": "text", "text": ask}]
        messages: list[Message] = [{"role": "system", "content": text}, {"role": "user", "content": content}]
        return await judge.chat(messages, agent="judge", temperature=0.0, max_tokens=self.max_tokens, seed=0)


_NAMES: Final[Mapping[bool | None, str | None]] = {True: "correct", False: "incorrect", None: None}


def verdict(text: str) -> bool | None:
    """Whether a judge calls an answer correct: by the first word of its reply, or else by all that it says.

    Args:
        text: The reply.

    Returns:
        None when the reply says neither or both.
    """
    found = list(_WORD.finditer(text))
    if not found:
        return None
    first = found[0]
    leads = not text[: first.start()].strip(_MARKS).removeprefix("Verdict").strip(_MARKS)
    says = {each["right"] is not None for each in found}
    return first["right"] is not None if leads else says.pop() if len(says) == 1 else None


def preference(text: str) -> str | None:
    """Which answer a judge prefers: ``A``, ``B`` or ``tie``, by the first word of its reply, or else by all it says.

    Args:
        text: The reply.

    Returns:
        None when the reply names none, or several.
    """
    if (alone := text.strip(_MARKS + ")]}").upper()) in {"A", "B"}:
        return alone
    found = list(_LETTER.finditer(text))
    says = ["tie" if each["tie"] else each["letter"] for each in found]
    leads = found and not text[: found[0].start()].strip(_MARKS)
    return says[0] if leads or len(set(says)) == 1 else None


scorer = Judge
