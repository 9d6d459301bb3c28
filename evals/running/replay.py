"""Runs the graph of a team on recorded calls in virtual time, to find its latency if every call had been made.

Each call takes as long as the recorded call took, but nothing waits: an event loop with a virtual clock skips the
waiting. The graph is the real one, so all its work between the calls (votes, branches, rounds) is done. Work of a graph
in threads or over its own connections takes its real time.
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


class _SkippingSelector(selectors.DefaultSelector):
    """A selector that waits only for real work, and otherwise adds the waiting time to its clock at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.busy_threads = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        # One file is always registered: the loop's own pipe, by which threads wake the loop.
        has_real_work = self.busy_threads > 0 or len(self.get_map()) > 1
        if timeout is not None and (timeout <= 0 or not has_real_work):
            ready = super().select(0)
            if not ready:
                self.now_s += max(0.0, timeout)
            return ready
        start_s = time.monotonic()
        ready = super().select(timeout)
        passed_s = time.monotonic() - start_s
        self.now_s += passed_s if ready or timeout is None else timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer when there is nothing else to do.

    While a thread of an executor works, or a connection is open, the clock runs in real time, because such work takes
    real time. The loop does not know of threads that a graph starts without an executor: the clock may jump while they
    work.
    """

    def __init__(self) -> None:
        self._selector_clock = _SkippingSelector()
        super().__init__(self._selector_clock)

    def time(self) -> float:
        """Virtual seconds since the loop was created."""
        return self._selector_clock.now_s

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[_Args]], _T], *args: *_Args
    ) -> asyncio.Future[_T]:
        """See ``asyncio.loop.run_in_executor``."""
        future = super().run_in_executor(executor, func, *args)
        self._selector_clock.busy_threads += 1
        future.add_done_callback(self._thread_done)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """See ``asyncio.loop.shutdown_default_executor``. ``timeout`` is ignored: the clock would jump to it."""
        del timeout
        self._selector_clock.busy_threads += 1
        try:
            await super().shutdown_default_executor()
        finally:
            self._selector_clock.busy_threads -= 1

    def _thread_done(self, _: object) -> None:
        self._selector_clock.busy_threads -= 1


def run_in_virtual_time(main: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
    """Run a coroutine in a ``VirtualLoop`` and wait for its end.

    When this thread already runs an event loop, the coroutine runs in a new thread.

    Args:
        main: Makes the coroutine.

    Returns:
        The result of the coroutine. Its error is raised.
    """

    def run() -> _T:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            return runner.run(main())

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return run()
    results: list[_T] = []
    errors: list[BaseException] = []

    def run_and_keep_error() -> None:
        try:
            results.append(run())
        except BaseException as error:  # the waiting thread raises it
            errors.append(error)

    thread = threading.Thread(target=run_and_keep_error, name="orkester-virtual-time")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


@dataclass(frozen=True, kw_only=True)
class Rerun:
    """An example to run again in virtual time.

    Attributes:
        team: The team that answers.
        question, settings: See ``Team.answer``.
        models: Makes the models of the team. Its argument is the time of submission, in seconds of the loop's clock.
        deadline_s: Virtual seconds; an attempt that takes longer fails.
    """

    team: Team
    question: Any
    settings: TeamSettings
    models: Callable[[float], Mapping[str, ChatModel]]
    deadline_s: float


def replay(reruns: Sequence[Rerun]) -> list[Attempt]:
    """Run examples in virtual time, one after another. Each takes one or two milliseconds of real time.

    Args:
        reruns: The examples.

    Returns:
        An attempt for each example, in order, with virtual seconds.

    Raises:
        OrkesterError: Something other than a model call failed.
    """

    async def attempts() -> list[Attempt]:
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

    return run_in_virtual_time(attempts)
