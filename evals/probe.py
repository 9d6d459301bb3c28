"""Which calls a team makes, found out without an engine: its graph runs on models that answer at once, or nearly so.

The graph is run twice on a question that stands for any: once with models that all answer alike, once with models none
of which answers like another. Most branches of a team depend on whether agents agree, and these are the ends. Each
answer takes one virtual second, so calls that begin together are a stage.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from orkester.graphs import Team
from orkester.serving.chat import ChatModel, Message, Reply

from .attempt import Attempt, attempt, settings_of
from .calls import Keys, engine_fingerprint
from .replay import in_virtual_time
from .task import Task

#: What agreeing models say, digits alone: scorers that read numbers find one, and so do those that read text.
_AGREED: Final = "271828182845"
_QUESTION: Final = "A question that stands for any?"
#: A graph that calls more often, or takes longer, ends when an answer means something: nobody knows what it makes.
_MOST_CALLS: Final = 1000
_MOST_S: Final = 1000.0


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedCall:
    """A call that a team makes for any example.

    Attributes:
        agent: the role's name.
        model: the model's name in the study.
        temperature: 0 is greedy.
        sample: which of several draws with the same prompt.
        key: calls with the same key are the same call for every example, whatever team makes them. 32 hexadecimal
            digits, not those of a ``Call``: there is no example here.
    """

    agent: str
    model: str
    temperature: float
    sample: int
    key: str


#: Calls that begin together, in the order of agents and samples.
Stage: TypeAlias = tuple[PlannedCall, ...]


@dataclass(frozen=True, kw_only=True)
class Signature:
    """The calls that a team makes for an example, at both ends of agreement.

    Attributes:
        team: the team's id.
        agreeing: by stages, when all models answer alike.
        differing: the same, when no two calls get the same answer.
        reason: why the graph did not come to its end; its stages are then those that it came to, and nothing is known
            of its calls. Empty otherwise.
    """

    team: str
    agreeing: tuple[Stage, ...]
    differing: tuple[Stage, ...]
    reason: str = ""

    @property
    def calls(self) -> float | None:
        """Expected calls for an example: the mean of both ways; None when not known."""
        return self.expected(lambda _: 1.0)

    @property
    def keys(self) -> frozenset[str]:
        """Of all calls that it may make."""
        return frozenset(call.key for way in self._ways for stage in way for call in stage)

    def new_calls(self, known: Container[str]) -> float | None:
        """Expected calls for an example that are not known, so that they must be made; None when nobody can tell.

        Args:
            known: keys of the signatures of teams that were run on the example.
        """
        return self.expected(lambda call: 0.0 if call.key in known else 1.0)

    def expected(self, of: Callable[[PlannedCall], float | None]) -> float | None:
        """What an example's calls add up to, joules for one: the mean of both ways.

        Args:
            of: one call's; None when not known, and then the sum is not.
        """
        return self._mean([_sum([of(call) for stage in way for call in stage]) for way in self._ways])

    def critical(self, of: Callable[[PlannedCall], float | None]) -> float | None:
        """What an example takes when stages follow each other and calls of a stage go side by side: the mean of both.

        Args:
            of: one call's seconds; None when not known, and then the sum is not.
        """
        return self._mean([_sum([_longest([of(call) for call in stage]) for stage in way]) for way in self._ways])

    @property
    def _ways(self) -> tuple[tuple[Stage, ...], tuple[Stage, ...]]:
        return self.agreeing, self.differing

    def _mean(self, ways: Sequence[float | None]) -> float | None:
        total = _sum(ways)
        return None if self.reason or total is None else total / len(ways)


def probe(team: Team, task: Task) -> Signature:
    """Find out which calls a team makes. Takes a few milliseconds; needs no engine, and no loop.

    A graph that breaks gives a signature without calls, not an error.
    """
    return probe_all([team], task)[0]


def probe_all(teams: Sequence[Team], task: Task) -> list[Signature]:
    """``probe`` for several teams, in one loop."""

    async def main() -> list[Signature]:
        return [await _probe(team, task) for team in teams]

    return in_virtual_time(main)


async def _probe(team: Team, task: Task) -> Signature:
    names = team.models
    # The same options are the same engine; what it is, is not known yet.
    fingerprints = dict.fromkeys(names, engine_fingerprint(team.engine))
    ways: list[tuple[Stage, ...]] = []
    reasons: list[str] = []
    for agreeing in (True, False):
        tally = _Tally(keys=Keys(fingerprints, seed=0, example=""), agreeing=agreeing, begun_s=_now())
        models: Mapping[str, ChatModel] = {name: _Quick(name, tally) for name in names}
        try:
            tried = await attempt(team, _QUESTION, models, settings_of(task), deadline_s=_MOST_S, clock=_now)
        except Exception as error:  # of the study, not of an answer: it is said where the team is run
            tried = Attempt(answer=None, failure=f"error {type(error).__name__}: {error}", took_s=0.0)
        ways.append(tally.stages())
        if tried.failure is not None:
            how = "alike" if agreeing else "each otherwise"
            reasons.append(f"{team.topology} does not come to an end when models answer {how}: {tried.failure}")
    return Signature(team=team.id, agreeing=ways[0], differing=ways[1], reason="; ".join(reasons))


def _now() -> float:
    return asyncio.get_running_loop().time()


@dataclass
class _Tally:
    """The calls of one way."""

    keys: Keys
    agreeing: bool
    begun_s: float
    made: list[tuple[float, PlannedCall]] = field(default_factory=list)
    ended: dict[str, str] = field(default_factory=dict)

    def key(self, model: str, messages: Sequence[Message], **settings: Any) -> str:
        """What a call is. One that quotes replies is what it is by the calls that were answered before it.

        Replies themselves are left out: they are made up, and alike where real ones would not be.
        """
        text = written = json.dumps(messages, default=str)
        for reply in set(self.ended.values()):
            text = text.replace(reply, "")
        quotes = text != written
        found = self.keys.key(model, [{"content": text}] if quotes else messages, **settings)
        assert found is not None
        return _digest([found, *sorted(self.ended)]) if quotes else found

    def stages(self) -> tuple[Stage, ...]:
        """The calls by their start."""
        found: dict[int, list[PlannedCall]] = {}
        for start_s, call in self.made:
            found.setdefault(round(start_s - self.begun_s), []).append(call)
        return tuple(
            tuple(sorted(found[at], key=lambda call: (call.agent, call.model, call.sample, call.key)))
            for at in sorted(found)
        )


@dataclass(frozen=True)
class _Quick:
    """Answers after one virtual second."""

    name: str
    tally: _Tally

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
        tally = self.tally
        if len(tally.made) >= _MOST_CALLS:
            raise RuntimeError(f"more than {_MOST_CALLS} calls")
        key = tally.key(
            self.name,
            messages,
            temperature=temperature,
            max_tokens=max_tokens,
            sample=sample,
            seed=seed,
            response_format=response_format,
        )
        call = PlannedCall(agent=agent, model=self.name, temperature=float(temperature), sample=sample, key=key)
        tally.made.append((_now(), call))
        await asyncio.sleep(1.0)
        text = _AGREED if tally.agreeing else str(10**11 + int(key[:9], 16))
        tally.ended[key] = text
        return Reply(text=text, input_tokens=None, output_tokens=None, cached_tokens=None, latency_s=1.0)


def _digest(parts: Sequence[str]) -> str:
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()


def _sum(parts: Sequence[float | None]) -> float | None:
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None


def _longest(parts: Sequence[float | None]) -> float | None:
    known = [part for part in parts if part is not None]
    return max(known, default=0.0) if len(known) == len(parts) else None
