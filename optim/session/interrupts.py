"""Ctrl-C, and the request to terminate, while a study runs."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TypeVar

from orkester.optim.run.events import Observer, Stopping

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_T = TypeVar("_T")


class Interrupted(KeyboardInterrupt):
    """The user asked for the end; everything finished is on disk."""


class Interrupts:
    """The first finishes the block under way, the second ends it at once; where no block is, the first does.

    Enter it before the engines, so that no interrupt breaks into their end: that takes seconds, and who breaks into
    it leaves engines behind. Outside the main thread, where no signal comes, it does nothing.

    Args:
        stop: asks for the end after the block under way; says whether there is one.
        observer: receives an event for each interrupt.
    """

    def __init__(self, stop: Callable[[], bool], observer: Observer) -> None:
        self._stop = stop
        self._observer = observer
        self._task: asyncio.Task[object] | None = None
        self._asked = False
        self._why = ""

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                asyncio.get_running_loop().add_signal_handler(number, self._interrupt)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                asyncio.get_running_loop().remove_signal_handler(number)

    async def run(self, work: Awaitable[_T]) -> _T:
        """Wait for the work, which interrupts may end.

        Raises:
            Interrupted: one ended it at once.
        """
        task = self._task = asyncio.current_task()
        try:
            return await work
        except asyncio.CancelledError as error:
            if not self._why or task is None:
                raise
            task.uncancel()
            raise Interrupted(self._why) from error
        finally:
            self._task = None

    def _interrupt(self) -> None:
        if self._task is None or self._why:
            return  # engines are being stopped, which does not take long
        in_block = self._stop()
        if self._asked or not in_block:
            lost = "the block under way is lost, everything before it" if in_block else "everything measured"
            self._why = f"stopped at once; {lost} is on disk"
            self._task.cancel()
        self._asked = True
        self._observer(Stopping(at_once=bool(self._why)))
