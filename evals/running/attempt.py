"""One example answered by one team. A failure is a result, not an error."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from orkester.agents.routing import RoutingPolicy
from orkester.errors import CallFailed, OrkesterError
from orkester.graphs import Team, TeamSettings
from orkester.serving.chat import ChatModel
from orkester.serving.server_words import shortened

from ..records.block import ExampleResult
from ..task import Example, Task
from .calls import CallLog


def settings_of(task: Task, policies: Mapping[str, RoutingPolicy] | None = None) -> TeamSettings:
    """The settings that a task gives every team.

    Args:
        task: The task.
        policies: The routing policies with options, and those that were fitted, by name.
    """
    return TeamSettings(
        instruction=task.instruction,
        max_tokens=task.max_tokens,
        read=task.read,
        key=task.scorer.key,
        roles=task.roles,
        policies=policies or {},
    )


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """The result of asking a team one question.

    Attributes:
        answer: The team's answer; None when the attempt failed.
        failure: The kind of failure; None when there is an answer.
        duration_s: Seconds from the submission to the answer or the failure.
        failure_message: What the server, or the graph, said about the failure; None when there is nothing.
    """

    answer: str | None
    failure: str | None
    duration_s: float
    failure_message: str | None = None


async def attempt(
    team: Team,
    question: Any,
    models: Mapping[str, ChatModel],
    settings: TeamSettings,
    *,
    deadline_s: float,
    clock: Callable[[], float],
) -> Attempt:
    """Ask a team one question. Failed calls, deadlines and errors of the graph are results.

    Args:
        team, question, models, settings: See ``Team.answer``.
        deadline_s: An attempt that takes longer has failed.
        clock: Monotonic seconds.

    Raises:
        OrkesterError: The study itself is wrong, not an answer.
    """
    answer: str | None = None
    failure: str | None = None
    message = ""
    start = clock()
    try:
        async with asyncio.timeout(deadline_s):
            answer = await team.answer(question, models, settings)
    except TimeoutError:
        failure = "deadline"
    except CallFailed as error:
        failure, message = error.kind, error.detail
    except OrkesterError:
        raise
    except Exception as error:  # an error of the graph makes the example fail; the study goes on
        failure, message = f"error {type(error).__name__}", shortened(str(error))
    duration_s = clock() - start
    return Attempt(answer=answer, failure=failure, duration_s=duration_s, failure_message=message or None)


def result_of(
    example: Example, outcome: Attempt, call_log: CallLog, *, deadline_s: float, composed: bool = False
) -> ExampleResult:
    """The result of an example: an attempt without its score, which is not a number yet; see ``scoring``.

    Args:
        example: The example that was asked.
        outcome: The attempt.
        call_log: The calls of the attempt.
        deadline_s: The latency of an attempt that failed.
        composed: See ``ExampleResult``.
    """
    return ExampleResult(
        id=example.id,
        answer=outcome.answer,
        score=math.nan,
        latency_s=outcome.duration_s if outcome.failure is None else deadline_s,
        failure=outcome.failure,
        failure_message=outcome.failure_message,
        calls=call_log.in_order(),
        composed=composed,
    )
