"""Tells while engines are being brought up, which may take minutes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager

from orkester.optim.run.events import EnginesReady, EnginesStarting, Observer, StillStarting

#: Seconds between one word of it and the next.
AGAIN_S = 30.0


@asynccontextmanager
async def starting(
    observer: Observer,
    models: Sequence[str],
    *,
    waking: Collection[str] = (),
    options: Mapping[str, object] | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> AsyncIterator[None]:
    """Around what starts engines: says that it begins, that it goes on, and that it is over; nothing without models.

    Args:
        observer: receives the events.
        models: whose engines are brought up.
        waking: those of them that sleep.
        options: the engine options that are searched, as these engines have them.
        clock: monotonic seconds.
        sleep: waits for seconds.
    """
    if not models:
        yield
        return
    begun = clock()

    async def remind() -> None:
        while True:
            await sleep(AGAIN_S)
            observer(StillStarting(models=tuple(models), seconds=clock() - begun))

    observer(EnginesStarting(models=tuple(models), waking=tuple(waking), options=dict(options or {})))
    reminding = asyncio.create_task(remind())
    try:
        yield
    finally:
        reminding.cancel()
    observer(EnginesReady(models=tuple(models), seconds=clock() - begun))
