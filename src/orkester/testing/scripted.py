"""Models whose answers come from a function, for tests of graphs and agents."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orkester.serving.chat import Message, Reply


@dataclass(frozen=True, kw_only=True)
class ChatCall:
    """One call as the model received it. The fields are the arguments of ``ChatModel.chat``."""

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
        """The content of the last message, which is the user's."""
        return self.messages[-1]["content"]


Answer = Callable[[ChatCall], str | Reply | Awaitable[str | Reply]]


@dataclass
class ScriptedModel:
    """A ``ChatModel`` whose answers come from a function.

    Attributes:
        name: The name of the model.
        answer: Returns the answer to a call: a text, a ``Reply``, or an awaitable of one of these.
        started: The calls, in the order of their start. Several models may share this list.
        ended: The calls, in the order of their end. Several models may share this list.
    """

    name: str
    answer: Answer
    started: list[ChatCall] = field(default_factory=list)
    ended: list[ChatCall] = field(default_factory=list)

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
        call = ChatCall(
            model=self.name,
            messages=messages,
            agent=agent,
            temperature=temperature,
            max_tokens=max_tokens,
            sample=sample,
            seed=seed,
            response_format=response_format,
        )
        self.started.append(call)
        answer = self.answer(call)
        if inspect.isawaitable(answer):
            answer = await answer
        self.ended.append(call)
        return answer if isinstance(answer, Reply) else reply(answer)


def reply(text: str, **facts: Any) -> Reply:
    """Make a reply with token counts.

    Args:
        text: The text of the reply.
        facts: Fields of ``Reply`` with other values.
    """
    defaults: dict[str, Any] = {"input_tokens": 7, "output_tokens": 2, "cached_tokens": 0, "latency_s": 0.0}
    return Reply(text=text, **{**defaults, **facts})


def scripted_models(answer: Answer, *names: str) -> tuple[Mapping[str, ScriptedModel], list[ChatCall]]:
    """Make several models with the same answers.

    Args:
        answer: Returns the answer to a call; see ``ScriptedModel``.
        names: The names of the models; ``small`` and ``large`` when there are none.

    Returns:
        The models by name, and the list to which all their calls are added.
    """
    calls: list[ChatCall] = []
    return {name: ScriptedModel(name, answer, calls) for name in names or ("small", "large")}, calls


async def turns(count: int) -> None:
    """Let all other tasks of the event loop run, several times.

    Args:
        count: The number of times.
    """
    for _ in range(count):
        await asyncio.sleep(0)
