"""What a search will cost, before it starts and while it runs."""

import asyncio
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import write_study

import orkester
from orkester.graphs import Team, TeamSettings
from orkester.optim.run.budget import Account, Budget, Spent
from orkester.optim.run.events import Forecast
from orkester.optim.run.forecast import _extreme_teams, _run, calls_per_example, forecast, to_come, worth_telling
from orkester.optim.study.space import Grid


async def counted(folder: Path, **changes: Any) -> tuple[int, int] | None:
    study = orkester.load_study(write_study(folder, **changes))
    return await calls_per_example(study.space, study.task, study.search_examples, seed=3)


def book(*costs: Spent) -> Account:
    """An account with a team for each of these."""
    found = Account()
    for number, cost in enumerate(costs):
        found._under_way[f"t{number}"] = cost
        found.total += cost
        found.end(f"t{number}")
    return found


def said(budget: Budget, found: Account, **changes: Any) -> Forecast:
    facts: dict[str, Any] = {"space": 1000, "examples": 64, "calls": (1, 9), "metered": True}
    return forecast(budget, found, **{**facts, **changes})


# -- counting calls ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("search", "calls"),
    [
        ({"single": {"model": "any"}}, (1, 1)),
        ({"vote": {"agents": [2, 5], "temperature": [0.3, 1.0]}}, (2, 5)),
        # All agree, or none and the larger model is asked as well.
        ({"cascade": {"votes": [2, 3], "agreement": 1.0}}, (2, 4)),
        ({"debate": {"agents": [2, 4], "rounds": [1, 3]}}, (4, 16)),
        ({"single": {}, "debate": {"agents": 2, "rounds": 1}}, (1, 4)),
    ],
)
async def test_calls_are_counted_at_the_ends_of_the_knobs(
    tmp_path: Path, search: dict[str, Any], calls: tuple[int, int]
) -> None:
    assert await counted(tmp_path, search=search) == calls


async def test_calls_of_a_judge_count_at_the_upper_end(tmp_path: Path) -> None:
    judge = {"judge": {"model": "large", "criteria": "Is the answer right?"}}
    assert await counted(tmp_path, search={"single": {"model": "small"}}, task={"scorer": judge}) == (1, 2)


@pytest.mark.parametrize(
    "scorer", ["exact", "numeric", "contains", {"regex": {"pattern": "[0-9]+"}}], ids=["exact", "numeric", "in", "re"]
)
async def test_votes_that_never_agree_do_so_in_the_words_of_the_task(tmp_path: Path, scorer: Any) -> None:
    search = {"cascade": {"votes": 3, "agreement": 0.5}}
    calls = await counted(tmp_path, search=search, task={"scorer": scorer, "extract": "(\\d+)"})
    assert calls == (3, 4)


def test_of_many_ends_the_lowest_and_the_highest_are_tried_and_some_are_drawn() -> None:
    grids = {
        "first": Grid(("small", "large")),
        "then": Grid(("large",)),
        "votes": Grid((2, 3, 9)),
        "temperature": Grid((0.0, 0.5, 1.0)),
        "agreement": Grid((0.5, 1.0)),
    }
    teams = _extreme_teams("cascade", grids, random.Random(0))
    assert len(teams) == 8
    assert {team.knobs["votes"] for team in teams} == {2, 9}
    assert {team.knobs["first"] for team in teams} == {"small"}
    assert teams == _extreme_teams("cascade", grids, random.Random(0))


async def test_a_graph_that_does_not_end_is_stopped_and_said_to_be_endless() -> None:
    async def answer(question: Any, models: Any, settings: TeamSettings) -> str:
        while True:
            try:
                await models["small"].chat([], agent="a", temperature=0.0, max_tokens=1)
            except Exception:  # a graph may well hold on to what it is told
                return "-"

    tally = await _run(stub(answer), "?", TeamSettings(), ("-",))
    assert tally.endless
    assert tally.calls == 1000


async def test_a_graph_that_breaks_has_sent_its_calls_all_the_same() -> None:
    async def answer(question: Any, models: Any, settings: TeamSettings) -> str:
        reply = await models["small"].chat([], agent="a", temperature=0.0, max_tokens=1)
        return str(int(reply.text))

    broke = await _run(stub(answer), "?", TeamSettings(), ("-",))
    assert (broke.calls, broke.ended, broke.endless) == (1, False, False)
    sound = await _run(stub(answer), "?", TeamSettings(), ("7",))
    assert (sound.calls, sound.ended) == (1, True)


async def test_an_interrupt_while_counting_is_one() -> None:
    async def answer(question: Any, models: Any, settings: TeamSettings) -> str:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await _run(stub(answer), "?", TeamSettings(), ("-",))


def stub(answer: Any) -> Team:
    return SimpleNamespace(answer=answer, models=("small",))  # type: ignore[return-value]


# -- before -----------------------------------------------------------------------------------------------------------


def test_before_the_start_calls_are_a_range_and_the_rest_is_told_later() -> None:
    found = said(Budget(trials=24), Account())
    assert (found.teams, found.examples, found.measured) == (24, 64, 0)
    assert found.ranges == {"llm_calls": (1536, 13824)}
    assert found.later == ("minutes", "tokens", "joules")


def test_there_are_no_more_teams_than_the_space_has_and_no_joules_where_there_is_no_meter() -> None:
    found = said(Budget(trials=24), Account(), space=7, metered=False)
    assert found.teams == 7
    assert found.ranges["llm_calls"] == (448, 4032)
    assert "joules" not in found.later


def test_a_limit_on_calls_cuts_the_range() -> None:
    found = said(Budget(trials=24, llm_calls=5000), Account())
    assert found.ranges["llm_calls"] == (1536, 5000)
    assert found.ends_by == "trials"
    sure = said(Budget(trials=24, llm_calls=1000), Account())
    assert sure.ranges["llm_calls"] == (1000, 1000)
    assert sure.ends_by == "llm_calls"


def test_calls_that_cannot_be_counted_are_told_later_too() -> None:
    found = said(Budget(trials=24), Account(), calls=None)
    assert found.ranges == {}
    assert found.later[0] == "minutes"
    assert "llm_calls" in found.later


def test_nothing_is_promised_where_there_will_be_too_few_teams() -> None:
    assert said(Budget(trials=2), Account()).later == ()
    assert said(Budget(trials=3), Account()).later != ()


def test_what_is_spent_is_in_the_range() -> None:
    found = said(Budget(trials=10), book(Spent(llm_calls=100), Spent(llm_calls=50)))
    assert found.ranges["llm_calls"] == (150 + 8 * 64, 150 + 8 * 64 * 9)
    assert found.measured == 0


# -- while it runs ----------------------------------------------------------------------------------------------------


def team(cost: float) -> Spent:
    return Spent(
        wall_s=60 * cost,
        llm_calls=round(100 * cost),
        answered=100,
        counted=100,
        counted_tokens=round(1000 * cost),
        blocks=8,
        metered=8,
        metered_j=10 * cost,
    )


def test_teams_that_cost_alike_leave_no_doubt() -> None:
    found = said(Budget(trials=10), book(*[team(2.0)] * 4))
    assert found.measured == 4
    assert found.later == ()
    ends = {"minutes": 20, "llm_calls": 2000, "tokens": 20_000, "joules": 200}
    assert list(found.ranges) == list(ends)
    assert all(found.ranges[name] == pytest.approx((end, end)) for name, end in ends.items())


def test_the_limit_that_comes_first_ends_the_others_too() -> None:
    found = said(Budget(trials=40, minutes=20.0), book(*[team(2.0)] * 4))
    assert found.ends_by == "minutes"
    assert found.teams == 10
    assert found.ranges["llm_calls"][1] == pytest.approx(2000)
    assert found.ranges["minutes"][1] == pytest.approx(20)


def test_what_is_not_known_has_no_range() -> None:
    blind = Spent(wall_s=1.0, llm_calls=5, answered=5, blocks=1)
    found = said(Budget(trials=10), book(blind, blind, blind))
    assert set(found.ranges) == {"minutes", "llm_calls"}


def test_what_is_left_follows_from_the_pace_so_far() -> None:
    found = book(*[team(1.0)] * 2)
    assert to_come(Budget(trials=10), found, space=100) == ("trials", 8)
    assert to_come(Budget(trials=10), found, space=5) == ("trials", 3)
    assert to_come(Budget(llm_calls=500), found, space=100) == ("llm_calls", 3)
    assert to_come(Budget(llm_calls=100), found, space=100) == ("llm_calls", 0)
    assert to_come(Budget(trials=10, llm_calls=1), Account(), space=100) == ("trials", 10)


def test_the_interval_holds_as_often_as_it_says() -> None:
    rng = random.Random(5)
    held = 0
    for _ in range(400):
        costs = [rng.gammavariate(3.0, 1.0) for _ in range(40)]
        low, high = said(Budget(trials=40), book(*[team(cost) for cost in costs[:10]])).ranges["minutes"]
        held += low <= sum(costs) <= high
    assert 0.90 <= held / 400 <= 0.98


@given(
    costs=st.lists(st.floats(0.0, 9.0), min_size=3, max_size=12),
    trials=st.none() | st.integers(1, 30),
    minutes=st.none() | st.floats(0.1, 99.0),
)
def test_a_range_is_one_and_holds_what_is_spent(costs: list[float], trials: int | None, minutes: float | None) -> None:
    found = book(*[team(cost) for cost in costs])
    told = said(Budget(trials=trials, minutes=minutes), found, space=50)
    for name, (low, high) in told.ranges.items():
        spent = found.spent.amount(name)
        assert spent is not None
        assert low <= high
        assert low >= min(spent, told.limits.get(name, spent)) - 1e-9
    assert len(costs) <= told.teams <= max(50, len(costs))


def test_a_new_forecast_is_told_seldom() -> None:
    assert [n for n in range(1, 1100) if worth_telling(n)] == [3, 10, 30, 100, 300, 1000]
