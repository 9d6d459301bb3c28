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
_NAME: Final = r"(?:(?:final )?(?:verdict|answer|judg(?:e?ment)|decision|result)\s*(?:is\b|:|=|-)\s*)?"
_WORDS: Final[Mapping[str, bool]] = {"correct": True, "incorrect": False, "wrong": False, "not correct": False}
_WORD: Final = rf"(?P<word>{'|'.join(sorted(_WORDS, key=len, reverse=True))})"
#: A verdict in a line of its own; one with which the reply begins; and one that a sentence states of the answer.
_LINE_VERDICT: Final = re.compile(rf"^{_NAME}{_WORD}$")
_FIRST_VERDICT: Final = re.compile(rf"{_NAME}{_WORD}\s*(?:[.!;,]\s|[–—]|$|because\b|since\b|as\b)")
_SAID_VERDICT: Final = re.compile(
    rf"\b(?:answer|response|it|this|that)(?:'s| is| was) (?:(?:therefore|thus|also|indeed|factually) )?{_WORD}"
    r"(?=[.,;!]|$| because\b| since\b)"
)
#: Words after which a sentence may mean the opposite of what it says, or half of it.
_DOUBT: Final = re.compile(
    r"\b(?:never|hardly|neither|nor|partial(?:ly)?|partly|half|almost|nearly|but|however|cannot|can't|doesn't|don't|isn't"
    r"|wasn't|aren't|would|could|should|may|might|if|whether|far|no|not|unless)\b"
)
_LETTERS: Final = r"(?:(?:answer|response|option)\s+)?(?P<letter>a|b|tie)"
_LINE_LETTER: Final = re.compile(rf"^{_NAME}{_LETTERS}$")
_FIRST_LETTER: Final = re.compile(rf"{_NAME}{_LETTERS}\s*(?:[.!;]\s|[–—]|because\b|since\b)")
_BETTER_LETTER: Final = re.compile(
    r"\b(?:answer |response )?(?P<letter>a|b) (?:is|was|seems|would be) (?:(?:clearly|much|slightly|the|a|far) )*"
    r"(?P<how>better|worse|stronger|weaker)\b"
)
_EQUAL: Final = re.compile(r"\b(?:a tie|tied|equal|equally|same quality)\b")
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
    """Whether a judge calls an answer correct.

    It is the last line that is nothing but a verdict; otherwise the verdict with which the reply begins; otherwise what
    sentences say of the answer, if they agree and no word such as *not* or *partially* makes them doubtful.

    Args:
        text: The reply.

    Returns:
        None when the reply is not clear.
    """
    lines = _lines(text)
    for line in reversed(lines):
        if found := _LINE_VERDICT.match(line):
            return _WORDS[found["word"]]
    if lines and (found := _FIRST_VERDICT.match(lines[0])):
        return _WORDS[found["word"]]
    whole = " ".join(lines)
    said = {_WORDS[found["word"]] for found in _SAID_VERDICT.finditer(whole)}
    doubts = _DOUBT.search(whole.replace("not correct", "incorrect"))
    return said.pop() if len(said) == 1 and doubts is None else None


def preference(text: str) -> str | None:
    """Which answer a judge prefers: ``A``, ``B`` or ``tie``.

    It is the last line that is nothing but a letter; otherwise the letter with which the reply begins; otherwise the
    answer that sentences call better, or a tie that they state.

    Args:
        text: The reply.

    Returns:
        None when the reply is not clear.
    """
    lines = _lines(text)
    found = next(filter(None, (_LINE_LETTER.match(line) for line in reversed(lines))), None)
    found = found or (_FIRST_LETTER.match(lines[0]) if lines else None)
    if found:
        return {"a": "A", "b": "B", "tie": "tie"}[found["letter"]]
    whole = " ".join(lines)
    better = {
        found["letter"].upper() if found["how"] in {"better", "stronger"} else {"a": "B", "b": "A"}[found["letter"]]
        for found in _BETTER_LETTER.finditer(whole)
    }
    if re.search(r"\b(?:not|neither|nor|no|isn't)\b", whole):
        return None
    if not better and _EQUAL.search(whole):
        return "tie"
    return better.pop() if len(better) == 1 else None


def _lines(text: str) -> list[str]:
    """The lines of a reply without marks of emphasis, in small letters."""
    plain = re.sub(r"[*_`\"“”#>()\[\]{}]", "", text.replace("’", "'")).casefold()
    plain = re.sub(r"\b(is|was|are)n't\b", r"\1 not", plain)
    return [stripped for line in plain.splitlines() if (stripped := " ".join(line.split()).strip(" .!:-"))]


scorer = Judge
