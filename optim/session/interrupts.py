"""Handling of SIGINT (Ctrl-C) and SIGTERM while a study runs."""

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
    """The user stopped the study; all finished blocks are on disk."""


class Interrupts:
    """Handles interrupts: the first one stops the study after the current block, the second one stops it at once.

    If no block is in progress, the first interrupt stops the study at once. Enter this context before the engines
    start: then no interrupt can break into their shutdown, which takes seconds and must complete. Outside the main
    thread, where Python delivers no signals, this class does nothing.

    Args:
        stop: A function that requests the end after the current block, and returns whether there is one.
        observer: A function that is called with an event for each interrupt.
    """

    def __init__(self, stop: Callable[[], bool], observer: Observer) -> None:
        self._stop = stop
        self._observer = observer
        self._task: asyncio.Task[object] | None = None
        self._requested = False
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
        """Wait for the work, which interrupts can stop.

        Raises:
            Interrupted: An interrupt stopped the work at once.
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
            return  # the engines are stopping, which takes a few seconds
        in_block = self._stop()
        if self._requested or not in_block:
            kept = "the block under way is lost, everything before it" if in_block else "everything measured"
            self._why = f"stopped at once; {kept} is on disk"
            self._task.cancel()
        self._requested = True
        self._observer(Stopping(at_once=bool(self._why)))
