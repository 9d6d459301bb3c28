"""Models that answer by a function, for tests of what asks them. They keep ``ChatModel`` and nothing else."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orkester.serving.chat import Message, Reply


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One call as the model got it."""

    model: str
    messages: Sequence[Message]
    agent: str
    temperature: float
    max_tokens: int
    sample: int
    seed: int | None
    response_format: Mapping[str, Any] | None = None

    @property
    def content(self) -> Any:
        """What the user's message says."""
        return self.messages[-1]["content"]


Answer = Callable[[Asked], str | Reply | Awaitable[str | Reply]]


@dataclass
class Scripted:
    """A model that answers what ``answer`` says. ``asked`` and ``answered`` may be shared by several."""

    name: str
    answer: Answer
    asked: list[Asked] = field(default_factory=list)
    answered: list[Asked] = field(default_factory=list)

    async def chat(
        self,
        messages: Sequence[Message],
        *,
        agent: str,
        temperature: float,
        max_tokens: int,
        sample: int = 0,
        seed: int | None = None,
        response_format: Mapping[str, Any] | None = None,
    ) -> Reply:
        call = Asked(
            model=self.name,
            messages=messages,
            agent=agent,
            temperature=temperature,
            max_tokens=max_tokens,
            sample=sample,
            seed=seed,
            response_format=response_format,
        )
        self.asked.append(call)
        said = self.answer(call)
        if inspect.isawaitable(said):
            said = await said
        self.answered.append(call)
        return said if isinstance(said, Reply) else reply(said)


def reply(text: str, **facts: Any) -> Reply:
    """A reply with token counts, unless told otherwise."""
    known: dict[str, Any] = {"input_tokens": 7, "output_tokens": 2, "cached_tokens": 0, "latency_s": 0.0}
    return Reply(text=text, **{**known, **facts})


def orchestra(answer: Answer, *names: str) -> tuple[Mapping[str, Scripted], list[Asked]]:
    """Models by name that answer alike, and the list that all their calls end up in."""
    asked: list[Asked] = []
    return {name: Scripted(name, answer, asked) for name in names or ("small", "large")}, asked


async def turns(count: int) -> None:
    """Let everything else on the loop go first, ``count`` times."""
    for _ in range(count):
        await asyncio.sleep(0)
