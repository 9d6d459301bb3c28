"""What a search will cost, said before it starts and again once something has been measured.

Before, calls alone can be known: each topology's graph is run a few times with models that answer at once, and the
calls are counted. After a few teams everything is a prediction from what they have cost.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from orkester.evals.attempt import settings_of
from orkester.evals.stats.intervals import CONFIDENCE, student_t
from orkester.evals.task import Example, Task
from orkester.graphs import Between, KnobValue, OneOfModels, Team, TeamSettings, topology
from orkester.optim.study.space import Grid, Space
from orkester.serving.chat import Message, Reply

from .budget import LIMITS, Account, Budget, Spent
from .events import Forecast

#: Teams that a prediction needs at least; with fewer the interval says nothing.
LEAST_TEAMS: Final = 3
#: Most teams of a topology that are tried.
_TRIES: Final = 16
#: A graph that calls more often, or takes longer, is not counted: what ends its loop is an answer that means something.
_MOST_CALLS: Final = 1000
_MOST_S: Final = 2.0


def worth_telling(teams: int) -> bool:
    """Whether a new forecast says more than the last: after 3 teams, 10, 30, 100, …"""
    return teams >= LEAST_TEAMS and str(teams).rstrip("0") in {"1", "3"}


async def calls_per_example(
    space: Space, task: Task, examples: Sequence[Example], *, seed: int
) -> tuple[int, int] | None:
    """The fewest and the most calls that teams of a space make for an example when nothing fails.

    Each topology's graph is run at the ends of its knobs, once with models that all agree and once with models that
    never do, so both ways of a branch on agreement are seen. Where there are more ends than ``_TRIES``, some are drawn.

    Args:
        space: the teams.
        task: what agents are told, and how answers are read.
        examples: of the search; the first one's question is asked.
        seed: for drawing.

    Returns:
        None where some topology's calls cannot be counted: its graph always failed, or did not end.
    """
    settings = settings_of(task)
    question = examples[0].question
    different = _different(examples)
    found: list[int] = []
    for name, grids in space.grids.items():
        teams = _ends(name, grids, random.Random(seed))
        tallies = [await _run(team, question, settings, way) for team in teams for way in (("-",), different)]
        # One that broke has sent its calls all the same, as it would in the search; but one must have come to its end.
        if any(tally.endless for tally in tallies) or not any(tally.ended and tally.calls for tally in tallies):
            return None
        found += [tally.calls for tally in tallies]
    return min(found), max(found)


def to_come(budget: Budget, account: Account, *, space: int) -> tuple[str, float]:
    """Which limit ends the search at its pace so far, and how many teams there are until then.

    Args:
        budget: when it ends.
        account: what it has cost so far.
        space: teams there are to choose from; where they end first, that is ``trials`` as well.
    """
    known = len(account.teams)
    name, more = "trials", float(max(0, budget.teams_of(space) - known))
    for use in budget.uses(account.spent) if known else ():
        pace = use.spent / known
        if use.name != "trials" and pace > 0 and (until := max(0.0, use.limit - use.spent) / pace) < more:
            name, more = use.name, until
    return name, more


def forecast(
    budget: Budget,
    account: Account,
    *,
    space: int,
    examples: int,
    calls: tuple[int, int] | None,
    metered: bool,
) -> Forecast:
    """What the search will have cost in the end.

    From ``LEAST_TEAMS`` measured teams on, ranges are 95 % prediction intervals for the sum over the teams to come, as
    though they were drawn like those so far (mean and standard deviation, Student's t). A search that learns does not
    draw them so: it is a guess, and says from how many teams.

    Args:
        budget: when it ends.
        account: what it has cost so far.
        space: teams there are to choose from.
        examples: a team.
        calls: fewest and most calls an example, see ``calls_per_example``.
        metered: whether there will be joules.
    """
    teams = budget.teams_of(space)
    known = list(account.teams.values())
    left = max(0, teams - len(known))
    wanted = [name for name in LIMITS if name != "trials" and (metered or name != "joules")]
    if len(known) < LEAST_TEAMS:
        ranges = {}
        if calls is not None:
            spent = account.spent.llm_calls
            ranges["llm_calls"] = (float(spent + left * examples * calls[0]), float(spent + left * examples * calls[1]))
        sure = ranges.get("llm_calls", (0.0, 0.0))[0] >= budget.limits.get("llm_calls", math.inf)
        return Forecast(
            teams=teams,
            examples=examples,
            ranges=_within(ranges, budget),
            limits=budget.limits,
            later=tuple(name for name in wanted if name not in ranges and teams >= LEAST_TEAMS),
            ends_by="llm_calls" if sure else "trials",
        )
    ends_by, more = to_come(budget, account, space=space)
    ranges = {name: found for name in wanted if (found := _predicted(name, account.spent, known, more)) is not None}
    return Forecast(
        teams=len(known) + math.ceil(more),
        examples=examples,
        ranges=_within(ranges, budget),
        limits=budget.limits,
        measured=len(known),
        ends_by=ends_by,
    )


def _within(ranges: Mapping[str, tuple[float, float]], budget: Budget) -> dict[str, tuple[float, float]]:
    limits = budget.limits
    return {
        name: (min(low, limits.get(name, low)), min(high, limits.get(name, high)))
        for name, (low, high) in ranges.items()
    }


def _predicted(name: str, spent: Spent, known: Sequence[Spent], more: float) -> tuple[float, float] | None:
    amounts = [amount for team in known if (amount := team.amount(name)) is not None]
    so_far = spent.amount(name)
    if so_far is None or len(amounts) < LEAST_TEAMS:
        return None
    n = len(amounts)
    mean = math.fsum(amounts) / n
    spread = math.sqrt(math.fsum((amount - mean) ** 2 for amount in amounts) / (n - 1))
    # Of a sum of ``more`` draws around a mean that is itself known from n draws only.
    error = student_t(0.5 + CONFIDENCE / 2, n - 1) * spread * math.sqrt(more + more * more / n)
    return so_far + max(0.0, more * mean - error), so_far + more * mean + error


# -- counting calls ---------------------------------------------------------------------------------------------------


def _ends(name: str, grids: Mapping[str, Grid], rng: random.Random) -> list[Team]:
    """Teams at the ends of the knobs: all of them, or the lowest, the highest and some that are drawn."""
    knobs = topology(name).knobs
    values: dict[str, Sequence[KnobValue]] = {}
    for knob, grid in grids.items():
        if isinstance(knobs[knob].range, OneOfModels):
            values[knob] = grid.values[:1]  # how often a model is asked is not for the model to say
        elif isinstance(knobs[knob].range, Between):
            values[knob] = tuple(dict.fromkeys((grid.values[0], grid.values[-1])))
        else:
            values[knob] = grid.values
    if math.prod(len(each) for each in values.values()) <= _TRIES:
        chosen = list(itertools.product(*values.values()))
    else:
        chosen = [tuple(each[0] for each in values.values()), tuple(each[-1] for each in values.values())]
        chosen += [tuple(rng.choice(each) for each in values.values()) for _ in range(_TRIES - len(chosen))]
    return [Team(name, dict(zip(values, each, strict=True))) for each in dict.fromkeys(chosen)]


def _different(examples: Sequence[Example]) -> tuple[str, ...]:
    """Answers that a scorer tells apart: those that are right for different examples, numbers where they are alike."""
    right = [example.expected[0] if isinstance(example.expected, list) else example.expected for example in examples]
    texts = tuple(dict.fromkeys(str(each) for each in right))[:_TRIES]
    return texts if len(texts) > 1 else tuple(str(number) for number in range(1, _TRIES + 1))


class _TooMany(Exception):
    """More calls than a graph that ends would make."""


@dataclass
class _Tally:
    """Calls of one run of a graph, and what they are answered with, in turn."""

    answers: Sequence[str]
    calls: int = field(default=0, init=False)
    ended: bool = field(default=False, init=False)
    endless: bool = field(default=False, init=False)

    def next(self) -> str:
        if self.calls >= _MOST_CALLS:
            self.endless = True
            raise _TooMany
        self.calls += 1
        return self.answers[(self.calls - 1) % len(self.answers)]


async def _run(team: Team, question: Any, settings: TeamSettings, answers: Sequence[str]) -> _Tally:
    """Let a team answer one example with models that cost nothing."""
    tally = _Tally(answers)
    try:
        async with asyncio.timeout(_MOST_S):
            await team.answer(question, {name: _Counting(name, tally) for name in team.models}, settings)
        tally.ended = True
    except TimeoutError:
        tally.endless = True
    except Exception:
        pass  # whatever a graph makes of answers that mean nothing
    return tally


@dataclass(frozen=True)
class _Counting:
    """A model that answers at once and is counted."""

    name: str
    tally: _Tally

    async def chat(self, messages: Sequence[Message], **settings: object) -> Reply:
        del messages, settings
        return Reply(text=self.tally.next(), input_tokens=None, output_tokens=None, cached_tokens=None, latency_s=0.0)
