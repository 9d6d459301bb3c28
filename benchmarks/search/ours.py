"""Orkester's own search, replayed on a table: the product's ``Search`` and sampler, with a table for the engines.

What a block would cost is predicted as in a real run, by running each team's graph on models that cost nothing; what it
does cost are the calls of the table that were not made before.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from orkester.evals.running.probe import Signature, probe
from orkester.evals.scorers import scorer
from orkester.evals.task import Task
from orkester.graphs import Team
from orkester.optim.goals.goal import Goal
from orkester.optim.search.models.composition import Composition
from orkester.optim.search.racing import Race
from orkester.optim.search.samplers import Setting
from orkester.optim.search.samplers.ehvi import Ehvi
from orkester.optim.search.search import Search, Taken

from .baselines import EXAMPLES
from .measures import Reported
from .table import Table

BLOCK = 8
#: What graphs are run on to see which calls they make: that does not depend on the questions.
TASK = Task(
    name="table",
    shots=(),
    search=(),
    confirm=(),
    scorer=scorer("exact", folder=Path()),
    instruction="",
    max_tokens=8,
    extract=None,
    data_sha256="",
)
OBJECTIVES: dict[str, Any] = {"quality": "maximize", "latency_p50_s": "minimize", "energy_j": "minimize"}


def run(table: Table, seed: int, max_calls: int) -> Iterator[Reported]:
    """The product's default."""
    return replay(table, seed, max_calls)


def without_reuse(table: Table, seed: int, max_calls: int) -> Iterator[Reported]:
    """Every call is sent."""
    return replay(table, seed, max_calls, reuse=False)


def without_profiles(table: Table, seed: int, max_calls: int) -> Iterator[Reported]:
    """No profiles: latency and energy of a team are not known before its first block."""
    return replay(table, seed, max_calls, profiles=False)


def without_racing(table: Table, seed: int, max_calls: int) -> Iterator[Reported]:
    """No team is stopped."""
    return replay(table, seed, max_calls, racing=False)


def replay(
    table: Table,
    seed: int,
    max_calls: int,
    *,
    reuse: bool = True,
    profiles: bool = True,
    racing: bool = True,
) -> Iterator[Reported]:
    """After every paid block, the calls so far and the teams that are taken for the front."""
    goal = Goal(objectives=OBJECTIVES, constraints={})
    examples = min(EXAMPLES, table.searched)
    race = Race(objectives=goal.objectives, constraints={}, examples=examples, block=BLOCK, by_block=True)
    composition = Composition(signature)
    search = Search(
        goal=goal,
        examples=examples,
        block=BLOCK,
        race=race if racing else None,
        composition=composition,
        reuse=reuse,
        profiles=profiles,
    )
    sampler = Ehvi(Setting(space=table.space, goal=goal, seed=seed))
    paid, calls, told = np.zeros(len(table.call_model), dtype=bool), 0, -1
    while calls < max_calls:
        turns = search.choose(sampler, 1, calls_left=max_calls - calls)
        if not turns:
            break
        for turn in turns:
            calls += _run(table, turn.team, search, paid, reuse=reuse)
        if calls > told:
            told = calls
            front = sampler.believed_front(search.standing(calls_left=max_calls - calls))
            yield calls, [table.number(team) for team in front]


def _run(table: Table, team: Team, search: Search, paid: Any, *, reuse: bool) -> int:
    """A team's next block; how many calls were sent for it."""
    number, first = table.number(team), search.evidence.seen(team)
    part = slice(first, min(first + BLOCK, search.examples))
    ids = table.keys_of(number, part)
    sent = ids[~paid[ids]] if reuse else ids
    paid[ids] = True
    joules = table.energy_j[number, part].astype(float)
    taken = Taken(
        calls_per_example=float(table.calls[number, part].mean()),
        fresh=len(sent) / len(ids),
        sent=[
            (("", table.models[table.call_model[i]]), float(table.call_latency_s[i]), float(table.call_energy_j[i]))
            for i in sent
        ],
    )
    rows = {
        "score": table.score[number, part].astype(float),
        "latency_s": table.latency_s[number, part].astype(float),
        "energy_j": np.full(len(joules), joules.mean()),  # as a meter sees it
    }
    search.learn(team, rows, taken)
    return len(sent)


@functools.cache
def signature(team: Team) -> Signature:
    """Which calls a team makes."""
    return probe(team, TASK)
