"""What a running study announces of itself."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from support import quick_folder, write_study

import orkester
from orkester.errors import EngineLost
from orkester.optim.run.budget import Account, Budget, account
from orkester.optim.run.events import BlockProgress, BudgetSpent, Event, Forecast
from orkester.optim.session.progress import Progress
from orkester.testing.blocks import TEAM, block


@dataclass
class ScriptedClock:
    """Stands still until it is moved."""

    now_s: float = 100.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Bench:
    """Progress with everything that it announces."""

    study: orkester.Study
    clock: ScriptedClock = field(default_factory=ScriptedClock)
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        budget = Budget.of(self.study.file.budget)
        self.progress = Progress(study=self.study, budget=budget, observer=self.events.append, clock=self.clock)

    def remaining_s(self) -> list[float | None]:
        return [event.remaining_s for event in self.events if isinstance(event, BlockProgress)]


@pytest.fixture(scope="module")
def study() -> Iterator[orkester.Study]:
    with quick_folder() as folder:
        yield orkester.load_study(write_study(folder))


def three_teams() -> Account:
    teams = ("a", "b", "c")
    return account([block(team=team) for team in teams], teams)


def test_the_time_that_is_left_follows_from_the_blocks_before(study: orkester.Study) -> None:
    bench = Bench(study)
    with bench.progress.block(TEAM, "search", 0, of=3, examples=4, to_come=12) as progress:
        progress(1)  # nothing has ended yet, so there is no pace
        bench.clock.now_s += 8
    with bench.progress.block(TEAM, "search", 1, of=3, examples=4, to_come=8) as progress:
        progress(0)
        progress(3)
    assert bench.remaining_s() == [None, 16.0, 10.0]  # 2 s an example


def test_a_block_that_fails_says_nothing_of_the_pace(study: orkester.Study) -> None:
    bench = Bench(study)

    def run_until_lost() -> None:
        with bench.progress.block(TEAM, "search", 0, of=3, examples=4, to_come=12):
            bench.clock.now_s += 60
            raise EngineLost("the engine died")

    with pytest.raises(EngineLost):
        run_until_lost()
    with bench.progress.block(TEAM, "search", 0, of=3, examples=4, to_come=12) as progress:
        progress(1)
    assert bench.remaining_s() == [None]


async def test_the_first_forecast_follows_from_the_space_and_later_ones_from_the_teams(study: orkester.Study) -> None:
    bench = Bench(study)
    await bench.progress.begin(Account())
    bench.progress.team_ended(three_teams())
    first, second = (event for event in bench.events if isinstance(event, Forecast))
    assert (first.measured, second.measured) == (0, 3)


async def test_nothing_is_forecast_where_no_team_is_to_come(study: orkester.Study) -> None:
    bench = Bench(study)
    teams = tuple(f"team {i}" for i in range(6))  # all that the budget has
    await bench.progress.begin(account([block(team=team) for team in teams], teams))
    assert bench.events == []


def test_what_is_spent_is_of_the_limit_that_comes_first(study: orkester.Study) -> None:
    bench = Bench(study)
    bench.progress.spent(three_teams())
    assert bench.events == [BudgetSpent(name="trials", spent=3, limit=6)]
