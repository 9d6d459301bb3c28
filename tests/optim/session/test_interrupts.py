"""Ctrl-C and the request to terminate: what ends when."""

import asyncio
import os
import signal
import threading

import pytest

from orkester.optim.run.events import Event, Stopping
from orkester.optim.session.interrupts import Interrupted, Interrupts
from orkester.testing.scripted import turns


class Work:
    """Blocks and starts of engines, one after the other; each waits until it is told that it is over."""

    def __init__(self) -> None:
        self.in_block = False
        self.stopping = False
        self.over = asyncio.Event()
        self.said: list[Event] = []

    def stop(self) -> bool:
        self.stopping = True
        return self.in_block

    async def run(self, *, in_block: bool) -> str:
        self.in_block = in_block
        await self.over.wait()
        return "done"

    async def interrupted(self, *numbers: signal.Signals) -> None:
        """Have signals come while it runs."""
        for number in numbers:
            await turns(5)
            os.kill(os.getpid(), number)
        await turns(5)
        self.over.set()


async def interrupted(work: Work, *numbers: signal.Signals, in_block: bool) -> str:
    with Interrupts(work.stop, work.said.append) as interrupts:
        sending = asyncio.create_task(work.interrupted(*numbers))
        try:
            return await interrupts.run(work.run(in_block=in_block))
        finally:
            await sending


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_first_in_a_block_only_asks_for_the_end(number: signal.Signals) -> None:
    work = Work()
    assert await interrupted(work, number, in_block=True) == "done"
    assert work.stopping
    assert work.said == [Stopping(at_once=False)]


@pytest.mark.parametrize("numbers", [[signal.SIGINT] * 2, [signal.SIGTERM, signal.SIGINT], [signal.SIGINT] * 5])
async def test_the_second_in_a_block_ends_it_and_those_after_it_change_nothing(numbers: list[signal.Signals]) -> None:
    work = Work()
    with pytest.raises(Interrupted, match=r"^stopped at once; the block under way is lost, everything before it is on"):
        await interrupted(work, *numbers, in_block=True)
    assert work.said == [Stopping(at_once=False), Stopping(at_once=True)]


async def test_the_first_ends_it_where_no_block_is_under_way() -> None:
    work = Work()
    with pytest.raises(Interrupted, match=r"^stopped at once; everything measured is on disk$"):
        await interrupted(work, signal.SIGINT, signal.SIGINT, in_block=False)
    assert work.said == [Stopping(at_once=True)]


@pytest.mark.parametrize("in_block", [False, True])
async def test_the_end_of_engines_is_not_broken_into(in_block: bool) -> None:
    work = Work()
    with Interrupts(work.stop, work.said.append) as interrupts:
        work.over.set()
        await interrupts.run(work.run(in_block=in_block))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
            os.kill(os.getpid(), number)
            await turns(5)
    assert (work.stopping, work.said) == (False, [])


async def test_who_was_interrupted_can_wait_for_engines_to_end() -> None:
    work, ended = Work(), False

    async def study() -> None:
        nonlocal ended
        with Interrupts(work.stop, work.said.append) as interrupts:
            sending = asyncio.create_task(work.interrupted(signal.SIGINT, signal.SIGINT))
            try:
                await interrupts.run(work.run(in_block=False))
            finally:
                async with asyncio.timeout(60):  # as an engine's end has: it is not to be cancelled by what is over
                    await sending
                    await turns(5)
                ended = True

    with pytest.raises(Interrupted):
        await study()
    assert ended


async def test_someone_elses_cancellation_stays_one() -> None:
    work = Work()

    async def main() -> None:
        with Interrupts(work.stop, work.said.append) as interrupts:
            await interrupts.run(work.run(in_block=True))

    task = asyncio.create_task(main())
    await turns(5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_outside_the_main_thread_no_signal_is_caught() -> None:
    found: list[str] = []

    def elsewhere() -> None:
        work = Work()

        async def main() -> str:
            work.over.set()
            with Interrupts(work.stop, work.said.append) as interrupts:
                return await interrupts.run(work.run(in_block=True))

        found.append(asyncio.run(main()))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert found == ["done"]
