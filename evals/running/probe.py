"""Predicts which calls a team makes, without an engine: its graph runs on fake models.

The graph is run twice on a placeholder question: once with models that always give the same answer, and once with
models that never give the same answer twice. Most branches of a graph depend on whether the agents agree, and these
are the two extremes. Routing policies choose the first of their choices in one run and the last in the other. Each
answer takes one virtual second, so the calls that start at the same time form a stage.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from orkester.agents.routing import Route, RoutingRequest
from orkester.graphs import Team
from orkester.serving.chat import ChatModel, Message, Reply

from ..task import Task
from .attempt import Attempt, attempt, settings_of
from .calls import Keys, engine_fingerprint
from .replay import run_in_virtual_time

#: The answer of models that agree. It has only digits, so it is an answer to scorers of numbers and of text.
_AGREED_ANSWER: Final = "271828182845"
_QUESTION: Final = "A question that stands for any?"
#: A graph that needs more calls or more virtual seconds probably ends on the content of an answer. Then its calls
#: cannot be predicted.
_MAX_CALLS: Final = 1000
_MAX_S: Final = 1000.0


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedCall:
    """A call that a team makes for every example.

    Attributes:
        agent: The name of the role.
        model: The name of the model in the study.
        temperature: The sampling temperature; 0 is greedy.
        max_tokens: The most tokens of the answer.
        sample: The number of the draw, among several draws with the same prompt.
        key: The identity of the call: planned calls with the same key are the same call for every example, in every
            team. 32 hexadecimal digits. It is not the key of a ``Call``, which depends on the example.
    """

    agent: str
    model: str
    temperature: float
    max_tokens: int
    sample: int
    key: str


#: Calls that start at the same time, in the order of agents and samples.
Stage: TypeAlias = tuple[PlannedCall, ...]


@dataclass(frozen=True, kw_only=True)
class Signature:
    """The calls that a team makes for an example, when its agents agree and when they do not.

    Attributes:
        team: The id of the team.
        agreeing: The stages when all calls get the same answer.
        differing: The stages when no two calls get the same answer.
        reason: Why the graph did not end. Its calls are then not known, and the stages are those before it stopped.
            Empty when the graph ended.
    """

    team: str
    agreeing: tuple[Stage, ...]
    differing: tuple[Stage, ...]
    reason: str = ""

    @property
    def calls(self) -> float | None:
        """The expected number of calls for an example: the mean of both cases. None when it is not known."""
        return self.expected_sum(lambda _: 1.0)

    @property
    def planned(self) -> tuple[PlannedCall, ...]:
        """All calls that the team makes in either case; a call of both cases twice."""
        return tuple(call for stages in self._cases for stage in stages for call in stage)

    @property
    def keys(self) -> frozenset[str]:
        """The keys of all calls that the team makes in either case."""
        return frozenset(call.key for call in self.planned)

    def new_calls(self, known: Container[str]) -> float | None:
        """The expected number of calls for an example that were not made before.

        Args:
            known: The keys in the signatures of the teams that were run on the example.

        Returns:
            The mean of both cases; None when it is not known.
        """
        return self.expected_sum(lambda call: 0.0 if call.key in known else 1.0)

    def expected_sum(self, value_of: Callable[[PlannedCall], float | None]) -> float | None:
        """The expected sum of a value over the calls for an example.

        Args:
            value_of: Returns the value of one call, for example its joules; None when it is not known.

        Returns:
            The mean of both cases; None when the value of a call is not known.
        """
        return self._mean([_sum([value_of(call) for stage in stages for call in stage]) for stages in self._cases])

    def critical_path(self, value_of: Callable[[PlannedCall], float | None]) -> float | None:
        """The expected duration of an example: stages run one after another, the calls of a stage in parallel.

        Args:
            value_of: Returns the seconds of one call; None when they are not known.

        Returns:
            Seconds, the mean of both cases; None when the seconds of a call are not known.
        """
        return self._mean(
            [_sum([_longest([value_of(call) for call in stage]) for stage in stages]) for stages in self._cases]
        )

    @property
    def _cases(self) -> tuple[tuple[Stage, ...], tuple[Stage, ...]]:
        return self.agreeing, self.differing

    def _mean(self, values: Sequence[float | None]) -> float | None:
        total = _sum(values)
        return None if self.reason or total is None else total / len(values)


def probe(team: Team, task: Task) -> Signature:
    """Find out which calls a team makes. This takes a few milliseconds, and needs no engine and no event loop.

    Args:
        team: The team.
        task: The settings that the task gives every team.

    Returns:
        The signature. When the graph raises an error, the signature has the ``reason``.
    """
    return probe_all([team], task)[0]


def probe_all(teams: Sequence[Team], task: Task) -> list[Signature]:
    """Find out which calls several teams make, in one event loop. See ``probe``.

    Args:
        teams: The teams.
        task: The settings that the task gives every team.

    Returns:
        A signature for each team, in order.
    """

    async def main() -> list[Signature]:
        return [await _probe(team, task) for team in teams]

    return run_in_virtual_time(main)


async def _probe(team: Team, task: Task) -> Signature:
    names = team.models
    # The engines' facts are not known yet. Engines with the same options count as the same engine.
    fingerprints = dict.fromkeys(names, engine_fingerprint(team.engine))
    cases: list[tuple[Stage, ...]] = []
    reasons: list[str] = []
    for agreeing in (True, False):
        planned = _PlannedCalls(keys=Keys(fingerprints, seed=0, example=""), agreeing=agreeing, start_s=_now())
        models: Mapping[str, ChatModel] = {name: _FakeModel(name, planned) for name in names}
        try:
            policies = dict.fromkeys(team.policies, _FixedChoice(0 if agreeing else -1))
            settings = settings_of(task, policies)
            outcome = await attempt(team, _QUESTION, models, settings, deadline_s=_MAX_S, clock=_now)
        except Exception as error:  # an error of the study; the user gets it when the team is run
            outcome = Attempt(answer=None, failure=f"error {type(error).__name__}: {error}", duration_s=0.0)
        cases.append(planned.stages())
        if outcome.failure is not None:
            answers = "all answers are equal" if agreeing else "all answers differ"
            reasons.append(f"the graph of {team.topology} does not end when {answers}: {outcome.failure}")
    return Signature(team=team.id, agreeing=cases[0], differing=cases[1], reason="; ".join(reasons))


def _now() -> float:
    return asyncio.get_running_loop().time()


@dataclass
class _PlannedCalls:
    """The calls of one case, while the graph runs.

    Attributes:
        keys: Gives each call its key.
        agreeing: Whether all calls get the same answer.
        start_s: The time at which the graph started, in seconds of the loop's clock.
        calls: The calls, each with the time of its start.
        replies: The replies of the calls that have ended, by key.
    """

    keys: Keys
    agreeing: bool
    start_s: float
    calls: list[tuple[float, PlannedCall]] = field(default_factory=list)
    replies: dict[str, str] = field(default_factory=dict)

    def key(self, model: str, messages: Sequence[Message], **settings: Any) -> str:
        """The key of a call. When the messages quote replies, the key depends on the calls that were answered before.

        The text of the replies is left out: fake replies may be equal where real ones would differ.
        """
        text = original = json.dumps(messages, default=str)
        for reply in set(self.replies.values()):
            text = text.replace(reply, "")
        quotes = text != original
        key = self.keys.key(model, [{"content": text}] if quotes else messages, **settings)
        assert key is not None
        return _digest([key, *sorted(self.replies)]) if quotes else key

    def stages(self) -> tuple[Stage, ...]:
        """The calls, grouped by the second of their start."""
        calls_by_second: dict[int, list[PlannedCall]] = {}
        for start_s, call in self.calls:
            calls_by_second.setdefault(round(start_s - self.start_s), []).append(call)
        return tuple(
            tuple(sorted(calls, key=lambda call: (call.agent, call.model, call.sample, call.key)))
            for _, calls in sorted(calls_by_second.items())
        )


@dataclass(frozen=True)
class _FixedChoice:
    """A routing policy that always takes the choice at the same position."""

    position: int

    def route(self, request: RoutingRequest) -> Route:
        return Route(choice=request.choices[self.position], reason="the same position for every question")


@dataclass(frozen=True)
class _FakeModel:
    """A model that answers after one virtual second."""

    name: str
    planned: _PlannedCalls

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
        planned = self.planned
        if len(planned.calls) >= _MAX_CALLS:
            raise RuntimeError(f"more than {_MAX_CALLS} calls")
        key = planned.key(
            self.name,
            messages,
            temperature=temperature,
            max_tokens=max_tokens,
            sample=sample,
            seed=seed,
            response_format=response_format,
        )
        call = PlannedCall(
            agent=agent,
            model=self.name,
            temperature=float(temperature),
            max_tokens=max_tokens,
            sample=sample,
            key=key,
        )
        planned.calls.append((_now(), call))
        await asyncio.sleep(1.0)
        text = _AGREED_ANSWER if planned.agreeing else str(10**11 + int(key[:9], 16))
        planned.replies[key] = text
        return Reply(text=text, input_tokens=None, output_tokens=None, cached_tokens=None, latency_s=1.0)


def _digest(parts: Sequence[str]) -> str:
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()


def _sum(parts: Sequence[float | None]) -> float | None:
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None


def _longest(parts: Sequence[float | None]) -> float | None:
    known = [part for part in parts if part is not None]
    return max(known, default=0.0) if len(known) == len(parts) else None
