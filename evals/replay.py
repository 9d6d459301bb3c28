"""A team's graph run on recorded calls, in virtual time: how long it takes when each call takes what it took.

The graph is the real one, so whatever it does between calls (votes, branches, rounds) is done; only the waiting is not.
What a graph does in threads or over connections of its own takes the time that it takes.
"""

from __future__ import annotations

import asyncio
import selectors
import threading
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, TypeVar, TypeVarTuple, Unpack

from orkester.graphs import Team, TeamSettings
from orkester.serving.chat import ChatModel

from .attempt import Attempt, attempt

_T = TypeVar("_T")
_Args = TypeVarTuple("_Args")


class _Jumping(selectors.DefaultSelector):
    """Waits for nothing but real work; otherwise the time it was to wait has passed at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.at_work = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        # The loop's own pipe, by which threads wake it, is always registered.
        real = self.at_work > 0 or len(self.get_map()) > 1
        if timeout is not None and (timeout <= 0 or not real):
            ready = super().select(0)
            if not ready:
                self.now_s += max(0.0, timeout)
            return ready
        begun = time.monotonic()
        ready = super().select(timeout)
        passed_s = time.monotonic() - begun
        self.now_s += passed_s if ready or timeout is None else timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer when nothing else is to be done.

    While a thread of an executor is at work, or a connection is open, its clock is a real one: that is work which takes
    time. What wakes the loop from a thread of its own making is not seen; its timers may be overtaken.
    """

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._jumping.now_s

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[_Args]], _T], *args: *_Args
    ) -> asyncio.Future[_T]:
        """See ``asyncio.loop.run_in_executor``."""
        future = super().run_in_executor(executor, func, *args)
        self._jumping.at_work += 1
        future.add_done_callback(self._came_back)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """See ``asyncio.loop.shutdown_default_executor``; there is no time limit, which the clock would jump to."""
        del timeout
        self._jumping.at_work += 1
        try:
            await super().shutdown_default_executor()
        finally:
            self._jumping.at_work -= 1

    def _came_back(self, _: object) -> None:
        self._jumping.at_work -= 1


def in_virtual_time(main: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
    """Run a coroutine in a virtual loop; wait for it, in a thread of its own where this one runs a loop already."""

    def run() -> _T:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            return runner.run(main())

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return run()
    ended: list[_T] = []
    broken: list[BaseException] = []

    def guarded() -> None:
        try:
            ended.append(run())
        except BaseException as error:  # raised where it is waited for
            broken.append(error)

    thread = threading.Thread(target=guarded, name="orkester-virtual-time")
    thread.start()
    thread.join()
    if broken:
        raise broken[0]
    return ended[0]


@dataclass(frozen=True, kw_only=True)
class Rerun:
    """An example to be run again.

    Attributes:
        team, question, settings: see ``Team.answer``.
        models: makes the team's models, told when the example is submitted by the loop's clock.
        deadline_s: in virtual seconds.
    """

    team: Team
    question: Any
    settings: TeamSettings
    models: Callable[[float], Mapping[str, ChatModel]]
    deadline_s: float


def replay(reruns: Sequence[Rerun]) -> list[Attempt]:
    """Run examples one after another in virtual time: a millisecond or two of real time each.

    Raises:
        OrkesterError: something other than a model call is wrong.
    """

    async def all_of_them() -> list[Attempt]:
        clock = asyncio.get_running_loop().time
        return [
            await attempt(
                each.team,
                each.question,
                each.models(clock()),
                each.settings,
                deadline_s=each.deadline_s,
                clock=clock,
            )
            for each in reruns
        ]

    return in_virtual_time(all_of_them)
