"""From model calls to teams: the rules of the topologies over arrays.

The rules are those of graphs/: a vote's tie goes to the lowest sample (graphs/_votes.py), a cascade escalates to a
greedy call below the agreement (graphs/cascade.py), a debate elects among its last round (graphs/debate.py). The calls
of a superstep go out together, so an example takes the longest call of each superstep, one after the other.
tests/benchmarks/test_search_tables.py compares with the graphs themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from orkester.agents.packs import known_roles
from orkester.graphs import KnobValue
from orkester.optim.study.space import Grid, Space

from .table import Floats, Ids, Table

#: A cell without a call.
NONE = -1


@dataclass(frozen=True, kw_only=True, eq=False)
class Calls:
    """Model calls, each with an id: its place in the arrays.

    Attributes:
        models: names.
        temperatures: that were asked at.
        examples: ids.
        base: (model, temperature, sample, example) → the call that asks the question alone; -1 where there is none.
        later: (model, temperature, agents, round, seat, example) → a debater's call after the opening, with others'
            drafts; -1 where there is none. ``agents``, ``round`` and ``seat`` are themselves the indices.
        model: by id, an index into ``models``, as in the next ones.
        vote: two answers to the same example are the same vote where this is equal.
        score: 0 to 1.
        latency_s, energy_j: seconds and joules.
        input_tokens, output_tokens: as counted; -1 where they were not.
    """

    models: tuple[str, ...]
    temperatures: tuple[float, ...]
    examples: tuple[str, ...]
    base: Ids
    later: Ids
    model: NDArray[np.int16]
    vote: Ids
    score: Floats
    latency_s: Floats
    energy_j: Floats
    input_tokens: Ids
    output_tokens: Ids


@dataclass(frozen=True, eq=False)
class _Part:
    """Some teams of one topology that have as many calls: rows of the topology, and arrays of (row, example)."""

    rows: NDArray[np.intp]
    score: NDArray[Any]
    latency_s: NDArray[Any]
    energy_j: NDArray[Any]
    calls: NDArray[Any]
    ids: Ids  # (row, call, example), NONE where there is no call


_Knobs: TypeAlias = Mapping[str, NDArray[Any]]


def compose(name: str, space: Space, calls: Calls, *, searched: int) -> Table:
    """Every team of the space on every example.

    Args:
        name: of the table.
        space: of the topologies single, vote, cascade and debate, whose values are all among the calls'.
        calls: what was asked.
        searched: so many examples, the first, are for the search.

    Raises:
        ValueError: a team needs a call that there is not.
    """
    if space.engine:
        raise ValueError("a table has no engine options: each of their values is another engine, so another table")
    teams = tuple(space.teams())
    shape = (len(teams), len(calls.examples))
    score, latency_s, energy_j = (np.empty(shape, np.float32) for _ in range(3))
    made = np.empty(shape, np.uint16)
    widths = np.zeros(shape, np.int64)
    parts: list[_Part] = []
    begin, first = 0, 0
    stands = np.array([space.team_at(place) is not None for place in range(space.settings)])
    for topology, grids in space.grids.items():
        settings = _columns(grids, calls)
        last = first + len(next(iter(settings.values())))
        knobs = {name: column[stands[first:last]] for name, column in settings.items()}
        count, first = int(stands[first:last].sum()), last
        for part in _RULES[topology](knobs, calls):
            rows = part.rows + begin
            score[rows], latency_s[rows], energy_j[rows] = part.score, part.latency_s, part.energy_j
            made[rows] = part.calls
            widths[rows] = (part.ids != NONE).sum(axis=1)
            parts.append(_Part(rows, part.score, part.latency_s, part.energy_j, part.calls, part.ids))
        begin += count
    starts = np.concatenate([[0], np.cumsum(widths.ravel())])
    ids = np.empty(starts[-1], np.int32)
    firsts = starts[:-1].reshape(shape)
    for part in parts:
        each = part.ids.transpose(0, 2, 1)
        there = each != NONE
        ids[(firsts[part.rows][:, :, None] + there.cumsum(axis=2) - 1)[there]] = each[there]
    return Table(
        name=name,
        space=space,
        teams=teams,
        examples=calls.examples,
        searched=searched,
        score=score,
        latency_s=latency_s,
        energy_j=energy_j,
        calls=made,
        models=calls.models,
        call_model=calls.model,
        call_latency_s=calls.latency_s,
        call_energy_j=calls.energy_j,
        call_input_tokens=calls.input_tokens,
        call_output_tokens=calls.output_tokens,
        starts=starts,
        ids=ids,
    )


def asked(calls: Calls, texts: Sequence[str], example: int, question: str) -> dict[tuple[str, float, str, int], int]:
    """By model, temperature, the user's message and sample, as a topology asks: the call that answers it.

    Args:
        calls: of which those on one example.
        texts: the answers, by call id.
        example: which.
        question: its text.
    """
    found: dict[tuple[str, float, str, int], int] = {}
    debater = known_roles()["debater"]
    for m, t, sample in zip(*np.nonzero(calls.base[..., example] != NONE), strict=True):
        key = calls.models[m], calls.temperatures[t], question, int(sample)
        found[key] = int(calls.base[m, t, sample, example])
    for m, t, agents, round_, seat in zip(*np.nonzero(calls.later[..., example] != NONE), strict=True):
        before = calls.later[m, t, agents, round_ - 1, :, example] if round_ > 1 else calls.base[m, t, :, example]
        drafts = [texts[before[other]] for other in range(agents) if other != seat]
        content = debater.content(question, drafts=drafts)
        key = calls.models[m], calls.temperatures[t], content, int(round_ * agents + seat)
        found[key] = int(calls.later[m, t, agents, round_, seat, example])
    return found


def majority(votes: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Of votes (…, voter, example): whose answer is elected, and how many gave it; see ``graphs/_votes.majority``."""
    agreeing = np.stack([(votes == votes[..., i : i + 1, :]).sum(axis=-2) for i in range(votes.shape[-2])], axis=-2)
    # argmax takes the first of equals: the lowest sample among the largest groups.
    return agreeing.argmax(axis=-2), agreeing.max(axis=-2)


def _columns(grids: Mapping[str, Grid], calls: Calls) -> _Knobs:
    """A row for every setting of a topology, in the space's order: knob values, models and temperatures as indices."""
    places = np.indices([len(grid.values) for grid in grids.values()]).reshape(len(grids), -1)
    return {
        name: np.asarray([_place(name, value, calls) for value in grid.values])[places[i]]
        for i, (name, grid) in enumerate(grids.items())
    }


def _place(knob: str, value: KnobValue, calls: Calls) -> KnobValue:
    if isinstance(value, str):
        if value not in calls.models:
            raise ValueError(f"{knob} = {value} was not recorded; there are {', '.join(calls.models)}")
        return calls.models.index(value)
    return _at(float(value), calls) if knob == "temperature" else value


def _at(temperature: float, calls: Calls) -> int:
    near = int(np.abs(np.asarray(calls.temperatures) - temperature).argmin())
    if abs(calls.temperatures[near] - temperature) > 1e-6:
        raise ValueError(f"temperature {temperature:g} was not recorded; there are {calls.temperatures}")
    return near


def _there(ids: Ids, what: str) -> Ids:
    if np.any(ids == NONE):
        raise ValueError(f"{what}: {int((ids == NONE).sum())} calls that are needed were not recorded")
    return ids


def _picked(values: NDArray[Any], ids: Ids, voter: NDArray[np.intp]) -> NDArray[Any]:
    """A value of the elected voter's call, by (row, example)."""
    return values[np.take_along_axis(ids, voter[:, None, :], axis=1)[:, 0]]


def _single(knobs: _Knobs, calls: Calls) -> Iterator[_Part]:
    ids = _there(calls.base[knobs["model"], knobs["temperature"], :1], "single")
    only = ids[:, 0]
    yield _Part(
        np.arange(len(ids)),
        calls.score[only],
        calls.latency_s[only],
        calls.energy_j[only],
        np.ones_like(only),
        ids,
    )


def _vote(knobs: _Knobs, calls: Calls) -> Iterator[_Part]:
    for agents in np.unique(knobs["agents"]):
        rows = np.flatnonzero(knobs["agents"] == agents)
        ids = _samples(calls, knobs["model"][rows], knobs["temperature"][rows], int(agents), "vote")
        elected, _ = majority(calls.vote[ids])
        yield _Part(
            rows,
            _picked(calls.score, ids, elected),
            calls.latency_s[ids].max(axis=1),
            calls.energy_j[ids].sum(axis=1, dtype=np.float64),
            np.full((len(rows), ids.shape[2]), agents),
            ids,
        )


def _cascade(knobs: _Knobs, calls: Calls) -> Iterator[_Part]:
    greedy = _at(0.0, calls)
    for votes in np.unique(knobs["votes"]):
        rows = np.flatnonzero(knobs["votes"] == votes)
        ids = _samples(calls, knobs["first"][rows], knobs["temperature"][rows], int(votes), "cascade")
        elected, agreeing = majority(calls.vote[ids])
        escalated = agreeing / int(votes) < knobs["agreement"][rows][:, None]
        then = _there(calls.base[knobs["then"][rows], greedy, 0], "cascade")
        # At temperature 0 the first model's first vote may be that very call.
        new = escalated & ~(ids == then[:, None, :]).any(axis=1)
        yield _Part(
            rows,
            np.where(escalated, calls.score[then], _picked(calls.score, ids, elected)),
            calls.latency_s[ids].max(axis=1) + np.where(escalated, calls.latency_s[then], 0),
            calls.energy_j[ids].sum(axis=1, dtype=np.float64) + np.where(escalated, calls.energy_j[then], 0),
            votes + escalated,
            np.concatenate([ids, np.where(new, then, NONE)[:, None, :]], axis=1),
        )


def _debate(knobs: _Knobs, calls: Calls) -> Iterator[_Part]:
    shapes = np.column_stack([knobs["agents"], knobs["rounds"]])
    for agents, rounds in np.unique(shapes, axis=0):
        rows = np.flatnonzero((shapes == (agents, rounds)).all(axis=1))
        models, temperatures = knobs["model"][rows], knobs["temperature"][rows]
        spoken = [_samples(calls, models, temperatures, int(agents), "debate")]
        for following in range(1, int(rounds) + 1):
            if agents >= calls.later.shape[2] or following >= calls.later.shape[3]:
                raise ValueError(f"debate: no {agents} agents in round {following} were recorded")
            spoken.append(_there(calls.later[models, temperatures, int(agents), following, : int(agents)], "debate"))
        elected, _ = majority(calls.vote[spoken[-1]])
        ids = np.concatenate(spoken, axis=1)
        yield _Part(
            rows,
            _picked(calls.score, spoken[-1], elected),
            sum(calls.latency_s[one].max(axis=1) for one in spoken),
            calls.energy_j[ids].sum(axis=1, dtype=np.float64),
            np.full((len(rows), ids.shape[2]), agents * (rounds + 1)),
            ids,
        )


def _samples(calls: Calls, models: NDArray[Any], temperatures: NDArray[Any], count: int, what: str) -> Ids:
    """The first so many answers to the question alone: (row, sample, example)."""
    if count > calls.base.shape[2]:
        raise ValueError(f"{what}: {count} samples are needed, but {calls.base.shape[2]} were recorded")
    return _there(calls.base[models, temperatures, :count], what)


_RULES: Mapping[str, Callable[[_Knobs, Calls], Iterator[_Part]]] = {
    "single": _single,
    "vote": _vote,
    "cascade": _cascade,
    "debate": _debate,
}
