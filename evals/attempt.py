"""One example by one team: tried, with whatever comes of it as its result."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from orkester.errors import CallFailed, OrkesterError
from orkester.graphs import Team, TeamSettings
from orkester.serving.chat import ChatModel

from .block import ExampleResult
from .calls import Notebook
from .task import Example, Task


def settings_of(task: Task) -> TeamSettings:
    """What a task tells every team."""
    return TeamSettings(
        instruction=task.instruction,
        max_tokens=task.max_tokens,
        read=task.read,
        key=task.scorer.key,
        roles=task.roles,
    )


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """What came of an example.

    Attributes:
        answer: the team's; None when it failed.
        failure: None, or the kind of failure.
        took_s: from submission to answer or failure, by the clock that was given.
    """

    answer: str | None
    failure: str | None
    took_s: float


async def attempt(
    team: Team,
    question: Any,
    models: Mapping[str, ChatModel],
    settings: TeamSettings,
    *,
    deadline_s: float,
    clock: Callable[[], float],
) -> Attempt:
    """Have a team answer, whatever comes of it.

    Args:
        team, question, models, settings: see ``Team.answer``.
        deadline_s: without an answer by then it has failed.
        clock: monotonic seconds.

    Raises:
        OrkesterError: something other than a model call is wrong: the study, not the answer.
    """
    answer: str | None = None
    failure: str | None = None
    start = clock()
    try:
        async with asyncio.timeout(deadline_s):
            answer = await team.answer(question, models, settings)
    except TimeoutError:
        failure = "deadline"
    except CallFailed as error:
        failure = error.kind
    except OrkesterError:
        raise
    except Exception as error:  # a graph that breaks is a failed example; the study goes on
        failure = f"error {type(error).__name__}"
    return Attempt(answer=answer, failure=failure, took_s=clock() - start)


def result_of(
    example: Example, tried: Attempt, notebook: Notebook, task: Task, *, deadline_s: float, composed: bool = False
) -> ExampleResult:
    """An attempt with its score.

    Args:
        example, tried, notebook: what was asked, what came of it, and the calls.
        task: scores.
        deadline_s: the latency of one that failed.
        composed: see ``ExampleResult``.

    Raises:
        OrkesterError: the scorer is broken.
    """
    return ExampleResult(
        id=example.id,
        answer=tried.answer,
        score=0.0 if tried.answer is None else task.scorer.score(tried.answer, example.expected),
        latency_s=tried.took_s if tried.failure is None else deadline_s,
        failure=tried.failure,
        calls=notebook.in_order(),
        composed=composed,
    )
