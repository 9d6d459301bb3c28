"""Starts, leases, puts to sleep, wakes, restarts and stops the engines of a study on this host."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias

from orkester.errors import EngineError, EngineLost

from .client import ChatClient, Gate
from .energy import Meter, Stopwatch
from .engines import EngineOptions
from .engines._child import last_words
from .engines._probe import greedy
from .lease import EngineEvent, EventKind, Instance, Lease, Overrides, Served
from .ledger import Capacity, Ledger

#: An engine that has died so often is given up.
MAX_DEATHS = 3
#: Asked before an engine sleeps and after it woke: sleep must bring the same weights back (vLLM's issue 29341 is about
#: engines that answer nonsense after a wake).
GOLDEN_PROMPT = "What is 12 + 34? And what is the capital of Sweden?"
_GOLDEN_TOKENS = 12
_GOLDEN_TIMEOUT_S = 60.0
_TOO_MUCH = "Lower engine_options.slots or context_tokens, stop what else uses the memory, or choose a smaller model"

_Key: TypeAlias = tuple[str, tuple[tuple[str, object], ...]]


def _utc_now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def ignore(event: EngineEvent) -> None:
    """For a pool that nobody listens to."""
    del event


class Pool:
    """Engines by model name and options, started serially when first leased. Enter it; leaving stops them all.

    Engines stay while memory lasts. When it does not, those leased longest ago sleep, or are stopped where they cannot
    sleep or the host's memory does not hold them asleep.

    Args:
        served: by model name.
        options: how engines are started.
        log_dir: takes a log per engine.
        meter: is told the engines' processes, as ``engine:NAME``.
        deadline_s: of one call.
        capacity: memory that the engines may use together.
        on_event: told what befalls engines.
        clock: monotonic seconds.
        now: UTC, ISO 8601.
    """

    def __init__(
        self,
        served: Mapping[str, Served],
        *,
        options: EngineOptions,
        log_dir: Path,
        meter: Meter,
        deadline_s: float,
        capacity: Capacity | None = None,
        on_event: Callable[[EngineEvent], None] = ignore,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], str] = _utc_now,
    ) -> None:
        self.meter = meter
        self._served = served
        self._options = options
        self._log_dir = log_dir
        self._deadline_s = deadline_s
        self._on_event = on_event
        self._clock = clock
        self._now = now
        self._instances: dict[_Key, Instance] = {}
        self._ledger: Ledger[Instance] = Ledger(capacity or Capacity())
        self._gates: dict[str, Gate] = {}
        self._leases = 0
        self._busy = asyncio.Lock()

    async def __aenter__(self) -> Pool:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        # The stack goes on when one of them cannot be closed or stopped: no engine is left behind for another's fault.
        async with AsyncExitStack() as stack:
            for instance in self._instances.values():
                stack.push_async_callback(self._stop, instance)

    # -- what there is ------------------------------------------------------------------------------------------------

    def fits(self, configurations: Iterable[tuple[Collection[str], Overrides]]) -> bool:
        """Whether all engines of these teams can be resident together.

        Raises:
            EngineError: what one needs cannot be said.
        """
        wanted = {
            self._key(name, overrides): (name, overrides) for names, overrides in configurations for name in names
        }
        footprints = [self._instance(name, overrides).footprint for name, overrides in wanted.values()]
        return not self._ledger.lacking(footprints)

    def missing(self, names: Collection[str], overrides: Overrides | None = None) -> tuple[str, ...]:
        """Those that a lease would have to start or wake."""
        instances = [self._instance(name, overrides or {}) for name in names]
        return tuple(each.name for each in instances if each.state != "running" or not each.engine.alive())

    def asleep(self, names: Collection[str], overrides: Overrides | None = None) -> tuple[str, ...]:
        """Those of the missing that it would wake."""
        instances = [self._instance(name, overrides or {}) for name in names]
        return tuple(each.name for each in instances if each.state == "asleep" and each.engine.alive())

    def resident(self) -> frozenset[str]:
        """What tells apart the engines that hold memory now, and whether they sleep."""
        return frozenset(
            f"{each.name} {sorted(each.overrides.items())} {each.state}"
            for each in self._instances.values()
            if each.state != "stopped"
        )

    def check(self) -> None:
        """See that every model fits into memory by itself, before anything is started.

        Raises:
            EngineError: one does not; the message says how much it needs, by what, and what to do.
        """
        for name in self._served:
            if lacking := self._ledger.lacking([self._instance(name, {}).footprint]):
                raise EngineError(f"{name} does not fit: {lacking}. {_TOO_MUCH}")

    # -- leases -------------------------------------------------------------------------------------------------------

    async def lease(self, names: Collection[str], overrides: Overrides | None = None) -> Lease:
        """Models ready to answer; engines that do not run are started, those that sleep woken, dead ones started again.

        Args:
            names: of the models.
            overrides: engine options that differ from the study's.

        Raises:
            EngineError: one did not start.
            EngineLost: one died too often or did not come back, or they do not fit into memory together.
        """
        async with self._busy:
            instances = [self._instance(name, overrides or {}) for name in names]
            if lacking := self._ledger.lacking([each.footprint for each in instances]):
                raise EngineLost(f"{' and '.join(names)} do not fit into memory together: {lacking}. {_TOO_MUCH}")
            self._leases += 1
            for instance in instances:
                instance.last_lease = self._leases
                await self._have(instance, instances)
                self._watch(instance)
        return Lease(
            {each.name: each.client for each in instances if each.client is not None},
            {each.name: dict(each.endpoint.facts) for each in instances if each.endpoint is not None},
            instances,
        )

    async def lost(self, lease: Lease, *, energy_j: float | None = None) -> tuple[str, ...]:
        """Those whose engine died, or does not answer any more and was ended; asked after calls have failed.

        Args:
            lease: whose engines.
            energy_j: joules of what is lost with them, for the first one's record; None when not known.

        Raises:
            EngineError: an endpoint that someone else runs does not answer. What was measured meanwhile says nothing
                about the team.
        """
        found = []
        async with self._busy:
            for instance in lease.instances:
                if not instance.engine.alive():
                    await self._bury(instance, "its process ended", energy_j)
                elif instance.endpoint is not None and not instance.endpoint.pids:
                    await instance.engine.start(
                        instance.served.model, instance.served.weights, instance.options, instance.log
                    )
                    continue
                elif not await instance.engine.healthy():
                    await self._bury(instance, "it did not answer", energy_j)
                else:
                    continue
                energy_j = None if energy_j is None else 0.0  # it was lost once
                found.append(instance.name)
        return tuple(found)

    def last_words(self, name: str, overrides: Overrides | None = None) -> str:
        """The end of an engine's log, for a message."""
        return last_words(self._instance(name, overrides or {}).log)

    # -- one engine ---------------------------------------------------------------------------------------------------

    async def _have(self, instance: Instance, needed: Sequence[Instance]) -> None:
        """Bring an engine to where it answers."""
        if instance.state != "stopped" and not instance.engine.alive():
            await self._bury(instance, "its process ended")
        if instance.state == "running":
            return
        if instance.deaths >= MAX_DEATHS:
            raise EngineLost(
                f"the engine of {instance.name} died {instance.deaths} times and is given up{last_words(instance.log)}"
            )
        await self._make_room(instance, needed)
        if instance.state == "asleep" and await self._wake(instance):
            return
        await self._start(instance)

    async def _make_room(self, instance: Instance, needed: Sequence[Instance]) -> None:
        """Put others to sleep, then stop them, until it fits; those leased longest ago first, none of those needed."""

        def fits() -> bool:
            return self._ledger.room_for([instance.footprint], without=[instance])

        others = sorted(
            (each for each in self._instances.values() if each not in needed and each.state != "stopped"),
            key=lambda each: each.last_lease,
        )
        for other in others:
            if not fits() and other.state == "running":
                if self._ledger.could_sleep(other):
                    await self._sleep(other)
                else:
                    await self._stop(other, "to make room")
        for other in others:
            if not fits() and other.state == "asleep":
                await self._stop(other, "to make room")

    async def _start(self, instance: Instance) -> None:
        begun = Stopwatch(self.meter, self._clock)
        try:
            endpoint = await instance.engine.start(
                instance.served.model, instance.served.weights, instance.options, instance.log
            )
        except EngineError as error:
            if instance.deaths:
                raise EngineLost(f"after its death, {error}") from error
            if instance.starts:  # stopped to make room, and now it does not come back
                raise EngineLost(f"it started before, but now {error}") from error
            if instance.overrides:  # the search tries what this engine does not take: a result about the team
                raise EngineLost(str(error)) from error
            raise
        instance.state = "running"
        instance.starts += 1
        instance.endpoint = endpoint
        self._watch(instance)  # with what it used to start
        self._ledger.hold(instance, instance.footprint)
        self._tell("started", instance, begun)
        # One gate an address: its owner's limits hold for all models behind it together.
        gate = self._gates.setdefault(endpoint.base_url, Gate(endpoint.requests_per_s, endpoint.concurrency))
        instance.client = ChatClient(
            instance.name,
            endpoint,
            preamble=instance.served.preamble,
            stop=instance.served.model.stop,
            deadline_s=self._deadline_s,
            gate=gate,
            clock=self._clock,
        )
        instance.client.prepare()

    async def _sleep(self, instance: Instance) -> None:
        begun = Stopwatch(self.meter, self._clock)
        try:
            if instance.golden is None:
                instance.golden = await self._golden(instance)
            await instance.engine.sleep()
        except EngineError as error:
            await self._stop(instance, f"it would not sleep: {error}")
            return
        instance.state = "asleep"
        self._ledger.hold(instance, instance.footprint, asleep=True)
        self._tell("slept", instance, begun)

    async def _wake(self, instance: Instance) -> bool:
        """Wake it; False when it had to be stopped, since it did not wake or is not what it was."""
        begun = Stopwatch(self.meter, self._clock)
        try:
            await instance.engine.wake()
            answer = await self._golden(instance)
        except EngineError as error:
            await self._stop(instance, f"it did not wake: {error}")
            return False
        if answer != instance.golden:
            reason = f"after its sleep it said {answer!r} instead of {instance.golden!r}"
            self._tell("restarted", instance, begun, reason)
            await self._stop(instance, reason)
            return False
        instance.state = "running"
        self._ledger.hold(instance, instance.footprint)
        self._tell("woken", instance, begun)
        return True

    async def _golden(self, instance: Instance) -> str:
        assert instance.endpoint is not None
        return await greedy(
            instance.endpoint.base_url,
            instance.endpoint.model,
            GOLDEN_PROMPT,
            max_tokens=_GOLDEN_TOKENS,
            timeout_s=_GOLDEN_TIMEOUT_S,
        )

    async def _bury(self, instance: Instance, reason: str, energy_j: float | None = None) -> None:
        if instance.state == "stopped":
            return
        instance.deaths += 1
        self._tell("died", instance, None, reason, energy_j)
        await self._end(instance)

    async def _stop(self, instance: Instance, reason: str = "") -> None:
        begun, ran = Stopwatch(self.meter, self._clock), instance.state != "stopped"
        await self._end(instance)
        if ran:
            self._tell("stopped", instance, begun, reason)

    async def _end(self, instance: Instance) -> None:
        """Stop the process and forget what was known of it, whatever state it is in."""
        client, instance.client = instance.client, None
        instance.state, instance.endpoint, instance.golden = "stopped", None, None
        self._ledger.release(instance)
        try:
            if client is not None:
                await client.close()
        finally:
            await instance.engine.stop()

    def _watch(self, instance: Instance) -> None:
        """Have the meter count this engine's processes as the model's."""
        assert instance.endpoint is not None
        self.meter.watch(f"engine:{instance.name}", instance.endpoint.pids)

    def _tell(
        self,
        kind: EventKind,
        instance: Instance,
        begun: Stopwatch | None,
        reason: str = "",
        energy_j: float | None = None,
    ) -> None:
        self._on_event(
            EngineEvent(
                kind=kind,
                model=instance.name,
                options=dict(instance.overrides),
                seconds=begun.seconds if begun else 0.0,
                at=self._now(),
                reason=reason,
                energy_j=begun.energy_j if begun else energy_j,
            )
        )

    def _instance(self, name: str, overrides: Overrides) -> Instance:
        key = self._key(name, overrides)
        if key not in self._instances:
            served, engine = self._served[name], self._served[name].make()
            options = replace(self._options, **dict[str, Any](overrides))
            self._instances[key] = Instance(
                name=name,
                served=served,
                overrides=dict(overrides),
                options=options,
                engine=engine,
                log=self._log(name, overrides),
                footprint=engine.footprint(served.model, served.weights, options),
            )
        return self._instances[key]

    @staticmethod
    def _key(name: str, overrides: Overrides) -> _Key:
        return name, tuple(sorted(overrides.items()))

    def _log(self, name: str, overrides: Overrides) -> Path:
        said = "-".join([name, *(f"{option}={value}" for option, value in sorted(overrides.items()))])
        safe = "".join(c if c.isalnum() or c in "-._=" else "_" for c in said)
        return self._log_dir / f"{safe}.log"
