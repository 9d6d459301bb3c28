"""Forecasts of the cost of a search, before it starts and again after some teams have been measured.

Before the start, only the number of calls can be predicted: the graph of each topology is run a few times on fake
models that answer at once, and the calls are counted. After a few teams, all costs are predicted from the costs of
these teams.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from orkester.evals.running.attempt import settings_of
from orkester.evals.scorers import DeferredScorer
from orkester.evals.stats.intervals import CONFIDENCE, student_t
from orkester.evals.task import Example, Task
from orkester.graphs import Between, KnobValue, OneOfModels, Team, TeamSettings, topology
from orkester.optim.study.space import Grid, Space
from orkester.serving.chat import Message, Reply

from .budget import LIMITS, Account, Budget, Spent
from .events import Forecast

#: The smallest number of measured teams for a prediction; with fewer teams the interval is too wide to be useful.
LEAST_TEAMS: Final = 3
#: The maximum number of teams of a topology whose calls are counted.
_TRIES: Final = 16
#: A graph that needs more calls or more seconds is not counted: it probably ends on the content of an answer.
_MAX_CALLS: Final = 1000
_MAX_S: Final = 2.0


def worth_telling(teams: int) -> bool:
    """Whether a new forecast is much better than the last one: after 3 teams, 10, 30, 100, …

    Args:
        teams: The number of measured teams.
    """
    return teams >= LEAST_TEAMS and str(teams).rstrip("0") in {"1", "3"}


async def calls_per_example(
    space: Space, task: Task, examples: Sequence[Example], *, seed: int
) -> tuple[int, int] | None:
    """The lowest and highest number of calls that teams of a space make for an example when nothing fails.

    The graph of each topology is run with the extreme values of its knobs, once with models that always agree and once
    with models that never agree, so that both sides of a branch on agreement are counted. When there are more than
    ``_TRIES`` combinations of extreme values, a random part of them is used.

    The calls of a scorer that asks models are part of the highest number only: it scores no answer twice, so there may
    be teams whose answers are all known.

    Args:
        space: The teams.
        task: The task, which has the settings of all teams.
        examples: The examples of the search. The question of the first one is used.
        seed: The seed of the random choice.

    Returns:
        The lowest and the highest number; None when the calls of a topology cannot be counted, because its graph always
        failed or did not end.
    """
    settings = settings_of(task)
    question = examples[0].question
    different_answers = _different_answers(examples)
    counts: list[int] = []
    for name, grids in space.grids.items():
        teams = _extreme_teams(name, grids, random.Random(seed))
        runs = [
            await _run(team, question, settings, answers) for team in teams for answers in (("-",), different_answers)
        ]
        # A run that failed counts, too: in the search, such a run would send its calls. But one run must have ended.
        if any(run.endless for run in runs) or not any(run.ended and run.calls for run in runs):
            return None
        counts += [run.calls for run in runs]
    scoring = task.scorer.calls_per_answer if isinstance(task.scorer, DeferredScorer) else 0
    return min(counts), max(counts) + scoring


def to_come(budget: Budget, account: Account, *, space: int) -> tuple[str, float]:
    """Predict which limit ends the search, and after how many more teams, if teams go on to cost as much as so far.

    Args:
        budget: The budget of the search.
        account: What the search has cost so far.
        space: The number of teams in the space. When all of them are measured, the limit is ``trials``, too.

    Returns:
        The name of the limit, and the number of teams until it is reached.
    """
    measured = len(account.teams)
    name, more = "trials", float(max(0, budget.teams_of(space) - measured))
    for use in budget.uses(account.spent) if measured else ():
        per_team = use.spent / measured
        if use.name != "trials" and per_team > 0 and (teams := max(0.0, use.limit - use.spent) / per_team) < more:
            name, more = use.name, teams
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
    """Predict the total cost of a search.

    When at least ``LEAST_TEAMS`` teams are measured, the ranges are 95 % prediction intervals (Student's t). They
    assume that the next teams are drawn from the same distribution as the teams so far. A sampler that learns does not
    choose teams in this way, so the forecast is a guess; it contains the number of teams that it is based on.

    Args:
        budget: The budget of the search.
        account: What the search has cost so far.
        space: The number of teams in the space.
        examples: The number of examples for each team.
        calls: The lowest and highest number of calls per example; see ``calls_per_example``. None when not known.
        metered: Whether joules are measured.

    Returns:
        The forecast.
    """
    teams = budget.teams_of(space)
    costs = list(account.teams.values())
    remaining = max(0, teams - len(costs))
    names = [name for name in LIMITS if name != "trials" and (metered or name != "joules")]
    if len(costs) < LEAST_TEAMS:
        ranges = {}
        if calls is not None:
            spent = account.spent.llm_calls
            low, high = (float(spent + remaining * examples * count) for count in calls)
            ranges["llm_calls"] = (low, high)
        calls_run_out = ranges.get("llm_calls", (0.0, 0.0))[0] >= budget.limits.get("llm_calls", math.inf)
        return Forecast(
            teams=teams,
            examples=examples,
            ranges=_within(ranges, budget),
            limits=budget.limits,
            later=tuple(name for name in names if name not in ranges and teams >= LEAST_TEAMS),
            ends_by="llm_calls" if calls_run_out else "trials",
        )
    ends_by, more = to_come(budget, account, space=space)
    ranges = {name: ends for name in names if (ends := _predicted(name, account.spent, costs, more)) is not None}
    return Forecast(
        teams=len(costs) + math.ceil(more),
        examples=examples,
        ranges=_within(ranges, budget),
        limits=budget.limits,
        measured=len(costs),
        ends_by=ends_by,
    )


def _within(ranges: Mapping[str, tuple[float, float]], budget: Budget) -> dict[str, tuple[float, float]]:
    limits = budget.limits
    return {
        name: (min(low, limits.get(name, low)), min(high, limits.get(name, high)))
        for name, (low, high) in ranges.items()
    }


def _predicted(name: str, spent: Spent, costs: Sequence[Spent], more: float) -> tuple[float, float] | None:
    amounts = [amount for cost in costs if (amount := cost.amount(name)) is not None]
    so_far = spent.amount(name)
    if so_far is None or len(amounts) < LEAST_TEAMS:
        return None
    n = len(amounts)
    mean = math.fsum(amounts) / n
    spread = math.sqrt(math.fsum((amount - mean) ** 2 for amount in amounts) / (n - 1))
    # The error of a sum of ``more`` draws, when their mean is itself estimated from n draws.
    error = student_t(0.5 + CONFIDENCE / 2, n - 1) * spread * math.sqrt(more + more * more / n)
    return so_far + max(0.0, more * mean - error), so_far + more * mean + error


# -- counting calls ---------------------------------------------------------------------------------------------------


def _extreme_teams(name: str, grids: Mapping[str, Grid], rng: random.Random) -> list[Team]:
    """Teams with extreme values of the knobs: all of them, or the lowest, the highest and some random ones."""
    knobs = topology(name).knobs
    values: dict[str, Sequence[KnobValue]] = {}
    for knob, grid in grids.items():
        if isinstance(knobs[knob].range, OneOfModels):
            values[knob] = grid.values[:1]  # the number of calls does not depend on the model
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


def _different_answers(examples: Sequence[Example]) -> tuple[str, ...]:
    """Answers that the scorer can distinguish: the right answers of several examples; numbers if these are equal."""
    right = [example.expected[0] if isinstance(example.expected, list) else example.expected for example in examples]
    texts = tuple(dict.fromkeys(str(each) for each in right))[:_TRIES]
    return texts if len(texts) > 1 else tuple(str(number) for number in range(1, _TRIES + 1))


class _TooManyCallsError(Exception):
    """A graph makes more calls than ``_MAX_CALLS``, so it probably never ends."""


@dataclass
class _GraphRun:
    """One run of a graph.

    Attributes:
        answers: The answers to the calls, used in turn.
        calls: The number of calls so far.
        ended: Whether the graph has ended without an error.
        endless: Whether the graph was stopped because it made too many calls or took too long.
    """

    answers: Sequence[str]
    calls: int = field(default=0, init=False)
    ended: bool = field(default=False, init=False)
    endless: bool = field(default=False, init=False)

    def next_answer(self) -> str:
        if self.calls >= _MAX_CALLS:
            self.endless = True
            raise _TooManyCallsError
        self.calls += 1
        return self.answers[(self.calls - 1) % len(self.answers)]


async def _run(team: Team, question: Any, settings: TeamSettings, answers: Sequence[str]) -> _GraphRun:
    """Let a team answer one example with fake models."""
    run = _GraphRun(answers)
    try:
        async with asyncio.timeout(_MAX_S):
            await team.answer(question, {name: _FakeModel(name, run) for name in team.models}, settings)
        run.ended = True
    except TimeoutError:
        run.endless = True
    except Exception:
        pass  # a graph may raise any error when answers make no sense
    return run


@dataclass(frozen=True)
class _FakeModel:
    """A model that answers at once, and whose calls are counted."""

    name: str
    run: _GraphRun

    async def chat(self, messages: Sequence[Message], **settings: object) -> Reply:
        del messages, settings
        text = self.run.next_answer()
        return Reply(text=text, input_tokens=None, output_tokens=None, cached_tokens=None, latency_s=0.0)
