"""What is told while engines are brought up."""

import asyncio

import pytest

from orkester.errors import EngineError
from orkester.optim.run.events import EnginesReady, EnginesStarting, Event, StillStarting
from orkester.optim.session.engine_start import AGAIN_S, starting
from orkester.testing.scripted import turns


class Clock:
    """Seconds that pass as they are slept."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.turn = asyncio.Event()

    def __call__(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        await self.turn.wait()
        self.turn.clear()
        self.now_s += seconds

    async def tick(self) -> None:
        await turns(3)
        self.turn.set()
        await turns(3)


async def test_a_long_start_is_told_of_again_and_again_and_then_its_end() -> None:
    said: list[Event] = []
    clock = Clock()
    options = {"prefix_caching": False}
    async with starting(
        said.append, ("small", "large"), waking=("large",), options=options, clock=clock, sleep=clock.sleep
    ):
        await clock.tick()
        await clock.tick()
    await clock.tick()
    models = ("small", "large")
    assert said == [
        EnginesStarting(models=models, waking=("large",), options=options),
        StillStarting(models=models, seconds=AGAIN_S),
        StillStarting(models=models, seconds=2 * AGAIN_S),
        EnginesReady(models=models, seconds=2 * AGAIN_S),
    ]


async def test_nothing_is_told_where_nothing_is_started() -> None:
    said: list[Event] = []
    async with starting(said.append, ()):
        await turns(3)
    assert said == []


async def test_a_start_that_fails_is_not_told_to_be_ready_and_nothing_goes_on() -> None:
    said: list[Event] = []
    clock = Clock()
    before = asyncio.all_tasks()

    async def failing() -> None:
        async with starting(said.append, ("small",), clock=clock, sleep=clock.sleep):
            await turns(3)
            raise EngineError("no")

    with pytest.raises(EngineError):
        await failing()
    await turns(3)
    assert said == [EnginesStarting(models=("small",))]
    assert asyncio.all_tasks() == before
