"""A supervisor and its workers: the parts that ``supervisor`` and ``hybrid`` share."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

from langgraph.runtime import Runtime
from langgraph.types import Send
from typing_extensions import TypedDict  # before Python 3.12 pydantic makes no JSON schema of typing's

from ._context import TeamContext
from ._knobs import Between, OneOfModels
from ._replies import asked, with_hint
from ._votes import Answer

#: The word with which the supervisor asks for work; agents/roles/supervise.yaml says so.
_ASK: Final = "ASK"
#: What the supervisor is told when it has to answer.
_LAST: Final = "No more work can be asked for. Answer now."


@dataclass(frozen=True)
class Work:
    """What a worker was asked to do in a round, and what it said, in its last turn of the round."""

    round: int
    sample: int
    task: str
    result: str
    turn: int = 0


class SuperviseState(TypedDict, total=False):
    """State of the graph. ``question`` goes in, ``answer`` comes out."""

    question: Any
    tasks: list[str]
    round: int
    work: Annotated[list[Work], operator.add]
    answer: str


class Task(TypedDict, total=False):
    """What a worker is sent: its task, and what it said and others said before."""

    question: Any
    round: int
    sample: int
    task: str
    turn: int
    seen: list[str]


@dataclass(frozen=True, kw_only=True)
class SuperviseContext(TeamContext):
    """The knobs of both topologies."""

    agents: Annotated[int, Between(1, 6)] = 2
    rounds: Annotated[int, Between(1, 4)] = 2
    model: Annotated[str, OneOfModels()] = "small"
    supervisor: Annotated[str, OneOfModels()] = "small"
    temperature: Annotated[float, Between(0.0, 1.2)] = 0.7


async def supervisor(state: SuperviseState, runtime: Runtime[Any]) -> SuperviseState:
    """Ask for work, or answer."""
    context: SuperviseContext = runtime.context
    number = state.get("round", 0)
    results = [f"{work.task}: {work.result}" for work in last_turns(state.get("work", []))]
    last = number == context.rounds
    seen = with_hint(results, _LAST) if last else results
    reply = await context.agent("supervisor", context.supervisor)(state["question"], drafts=seen, sample=number)
    tasks, rest = asked(reply.text, _ASK)
    if tasks and not last:
        return {"tasks": list(tasks[: context.agents]), "round": number + 1}
    answer = reply.text if rest == reply.text.strip() else rest  # without lines that ask
    return {"tasks": [], "round": number + 1, "answer": context.read(answer)}


async def worker(state: Task, runtime: Runtime[Any]) -> SuperviseState:
    """Do what the supervisor asks for."""
    context: SuperviseContext = runtime.context
    turn = state.get("turn", 0)
    agent = context.agent("worker", context.model, temperature=context.temperature)
    sample = ((state["round"] - 1) * 2 + turn) * context.agents + state["sample"]
    seen = [*state.get("seen", []), f"Your part: {state['task']}"]
    reply = await agent(state["question"], drafts=seen, sample=sample)
    return {"work": [Work(state["round"], state["sample"], state["task"], reply.text, turn)]}


async def delegate(state: SuperviseState) -> str | list[Send]:
    """A worker for each task; the end when there is none."""
    return [
        Send("worker", Task(question=state["question"], round=state["round"], sample=sample, task=task))
        for sample, task in enumerate(state["tasks"])
    ] or "finish"


async def finish(state: SuperviseState) -> Answer:
    """Give the supervisor's answer."""
    return {"answer": state["answer"]}


def last_turns(done: Sequence[Work]) -> list[Work]:
    """What each worker said last in each round, in the order of rounds and workers."""
    last = {(work.round, work.sample): work for work in sorted(done, key=lambda work: work.turn)}
    return [last[key] for key in sorted(last)]
