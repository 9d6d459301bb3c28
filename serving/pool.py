"""The pool: it starts, leases, puts to sleep, wakes, restarts and stops the engines of a study on this machine."""

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
from .engines._child import log_tail
from .engines._probe import greedy_answer
from .lease import EngineEvent, EventKind, Instance, Lease, Overrides, ServedModel
from .ledger import Capacity, MemoryLedger

#: An engine that has died this many times is not started again.
MAX_DEATHS = 3
#: The pool asks an engine this before its first sleep and after each wake. The answers must be equal, because an engine
#: must wake with the same weights (vLLM's issue 29341 is about engines that answer nonsense after a wake).
GOLDEN_PROMPT = "What is 12 + 34? And what is the capital of Sweden?"
_GOLDEN_TOKENS = 12
_GOLDEN_TIMEOUT_S = 60.0
_MEMORY_REMEDY = (
    "Lower engine_options.slots or context_tokens, stop other programs that use the memory, or choose a smaller model"
)

_Key: TypeAlias = tuple[str, tuple[tuple[str, object], ...]]


def _utc_now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def ignore_event(event: EngineEvent) -> None:
    """Do nothing: the default for a pool whose events are not needed."""
    del event


class Pool:
    """The engines of a study, by model name and options.

    An engine starts when it is first leased; engines start one after the other. Use the pool in ``async with``: leaving
    the block stops all engines.

    Engines keep running as long as there is enough memory. When memory is short, the engines that were leased longest
    ago are put to sleep. An engine is stopped instead if it cannot sleep, or if the host has not enough memory for it
    asleep.

    Args:
        served: The models that the pool can serve, by name.
        options: The options for starting engines.
        log_dir: The folder for the engines' logs.
        meter: The energy meter. The pool passes it the processes of each engine under the name ``engine:MODEL``.
        deadline_s: The time limit of one call.
        capacity: The memory that the engines may use together; None for no limit.
        on_event: A function that is called with each engine event.
        clock: The clock, in monotonic seconds.
        now: A function that returns the time, UTC in ISO 8601.
    """

    def __init__(
        self,
        served: Mapping[str, ServedModel],
        *,
        options: EngineOptions,
        log_dir: Path,
        meter: Meter,
        deadline_s: float,
        capacity: Capacity | None = None,
        on_event: Callable[[EngineEvent], None] = ignore_event,
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
        self._ledger: MemoryLedger[Instance] = MemoryLedger(capacity or Capacity())
        self._gates: dict[str, Gate] = {}
        self._lease_count = 0
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> Pool:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        # If one engine cannot be stopped, the stack still stops all others.
        async with AsyncExitStack() as stack:
            for instance in self._instances.values():
                stack.push_async_callback(self._stop, instance)

    # -- state and memory ---------------------------------------------------------------------------------------------

    def fits(self, configurations: Iterable[tuple[Collection[str], Overrides]]) -> bool:
        """Check whether all engines of several teams fit into memory together.

        Args:
            configurations: For each team, the names of its models and its engine options.

        Returns:
            True if they fit.

        Raises:
            EngineError: The memory that an engine needs cannot be computed.
        """
        distinct = {
            self._key(name, overrides): (name, overrides) for names, overrides in configurations for name in names
        }
        footprints = [self._instance(name, overrides).footprint for name, overrides in distinct.values()]
        return not self._ledger.shortage(footprints)

    def not_running(self, names: Collection[str], overrides: Overrides | None = None) -> tuple[str, ...]:
        """Find the engines that a lease would have to start or wake.

        Args:
            names: The names of the models.
            overrides: The engine options that differ from the study's options.

        Returns:
            Names of the models whose engines do not run.
        """
        instances = [self._instance(name, overrides or {}) for name in names]
        return tuple(each.name for each in instances if each.state != "running" or not each.engine.alive())

    def asleep(self, names: Collection[str], overrides: Overrides | None = None) -> tuple[str, ...]:
        """Find the engines that a lease would wake.

        Args:
            names: The names of the models.
            overrides: The engine options that differ from the study's options.

        Returns:
            Names of the models whose engines sleep.
        """
        instances = [self._instance(name, overrides or {}) for name in names]
        return tuple(each.name for each in instances if each.state == "asleep" and each.engine.alive())

    def resident_engines(self) -> frozenset[str]:
        """List the engines that hold memory now.

        Returns:
            A text for each engine: its model, options and state. Two equal sets mean that the same engines are in
            memory, in the same states.
        """
        return frozenset(
            f"{each.name} {sorted(each.overrides.items())} {each.state}"
            for each in self._instances.values()
            if each.state != "stopped"
        )

    def check_memory(self) -> None:
        """Check that every model alone fits into memory, before any engine is started.

        Raises:
            EngineError: A model does not fit. The message says how much memory it needs, what for, and what to do.
        """
        for name in self._served:
            if shortage := self._ledger.shortage([self._instance(name, {}).footprint]):
                raise EngineError(f"{name} does not fit into memory: {shortage}. {_MEMORY_REMEDY}")

    # -- leases -------------------------------------------------------------------------------------------------------

    async def lease(self, names: Collection[str], overrides: Overrides | None = None) -> Lease:
        """Make models ready to answer: start their engines, or wake them if they sleep.

        Args:
            names: The names of the models.
            overrides: The engine options that differ from the study's options.

        Returns:
            A lease, which is valid until the next call.

        Raises:
            EngineError: An engine did not start.
            EngineLost: An engine died too often or did not start again, or the engines do not fit into memory together.
        """
        async with self._lock:
            instances = [self._instance(name, overrides or {}) for name in names]
            if shortage := self._ledger.shortage([each.footprint for each in instances]):
                raise EngineLost(f"{' and '.join(names)} do not fit into memory together: {shortage}. {_MEMORY_REMEDY}")
            self._lease_count += 1
            for instance in instances:
                instance.last_lease = self._lease_count
                await self._make_ready(instance, instances)
                self._watch(instance)
        return Lease(
            {each.name: each.client for each in instances if each.client is not None},
            {each.name: dict(each.endpoint.facts) for each in instances if each.endpoint is not None},
            instances,
        )

    async def lost_engines(self, lease: Lease, *, energy_j: float | None = None) -> tuple[str, ...]:
        """Check the engines of a lease after calls have failed. Engines that no longer answer are ended.

        Args:
            lease: The lease whose engines are checked.
            energy_j: The joules of the work that is lost with the engines. They go into the record of the first lost
                engine. None if they are not known.

        Returns:
            The names of the models whose engines died or no longer answer.

        Raises:
            EngineError: An endpoint that someone else runs does not answer. The failed calls then say nothing about
                the team.
        """
        lost_models = []
        async with self._lock:
            for instance in lease.instances:
                if not instance.engine.alive():
                    await self._record_death(instance, "its process ended", energy_j)
                elif instance.endpoint is not None and not instance.endpoint.pids:
                    await instance.engine.start(
                        instance.served.model, instance.served.weights, instance.options, instance.log
                    )
                    continue
                elif not await instance.engine.healthy():
                    await self._record_death(instance, "it did not answer", energy_j)
                else:
                    continue
                energy_j = None if energy_j is None else 0.0  # each joule is recorded once
                lost_models.append(instance.name)
        return tuple(lost_models)

    def log_tail(self, name: str, overrides: Overrides | None = None) -> str:
        """Format the end of an engine's log, for a message.

        Args:
            name: The model's name.
            overrides: The engine options that differ from the study's options.

        Returns:
            The last lines of the log, and its path.
        """
        return log_tail(self._instance(name, overrides or {}).log)

    # -- one engine ---------------------------------------------------------------------------------------------------

    async def _make_ready(self, instance: Instance, needed: Sequence[Instance]) -> None:
        """Make an engine ready to answer."""
        if instance.state != "stopped" and not instance.engine.alive():
            await self._record_death(instance, "its process ended")
        if instance.state == "running":
            return
        if instance.deaths >= MAX_DEATHS:
            raise EngineLost(
                f"the engine of {instance.name} died {instance.deaths} times and is not started again"
                f"{log_tail(instance.log)}"
            )
        await self._make_room(instance, needed)
        if instance.state == "asleep" and await self._wake(instance):
            return
        await self._start(instance)

    async def _make_room(self, instance: Instance, needed: Sequence[Instance]) -> None:
        """Put other engines to sleep, and then stop them, until this engine fits into memory.

        The engines that were leased longest ago come first. The engines in ``needed`` keep running.
        """

        def fits() -> bool:
            return self._ledger.has_room_for([instance.footprint], without=[instance])

        others = sorted(
            (each for each in self._instances.values() if each not in needed and each.state != "stopped"),
            key=lambda each: each.last_lease,
        )
        for other in others:
            if not fits() and other.state == "running":
                if self._ledger.can_sleep(other):
                    await self._sleep(other)
                else:
                    await self._stop(other, "to make room")
        for other in others:
            if not fits() and other.state == "asleep":
                await self._stop(other, "to make room")

    async def _start(self, instance: Instance) -> None:
        stopwatch = Stopwatch(self.meter, self._clock)
        try:
            endpoint = await instance.engine.start(
                instance.served.model, instance.served.weights, instance.options, instance.log
            )
        except EngineError as error:
            if instance.deaths:
                raise EngineLost(f"the engine of {instance.name} died and did not start again: {error}") from error
            if instance.starts:  # the engine was stopped to make room
                raise EngineLost(f"the engine of {instance.name} did not start again: {error}") from error
            if instance.overrides:  # the engine refuses options that the search tries: a result about the team
                raise EngineLost(str(error)) from error
            raise
        changes = instance.served.model.request
        if changes:  # they change the answers, so they are part of what identifies the engine
            endpoint = replace(endpoint, facts={**endpoint.facts, "request": changes.as_json()})
        instance.state = "running"
        instance.starts += 1
        instance.endpoint = endpoint
        self._watch(instance)  # so that the meter counts the energy of the start
        self._ledger.hold(instance, instance.footprint)
        self._emit("started", instance, stopwatch)
        # There is one gate for each address, because an owner's limits apply to all models at the address together.
        gate = self._gates.setdefault(endpoint.base_url, Gate(endpoint.requests_per_s, endpoint.concurrency))
        instance.client = ChatClient(
            instance.name,
            endpoint,
            preamble=instance.served.preamble,
            stop=instance.served.model.stop,
            changes=changes,
            deadline_s=self._deadline_s,
            gate=gate,
            clock=self._clock,
        )
        instance.client.prepare()

    async def _sleep(self, instance: Instance) -> None:
        stopwatch = Stopwatch(self.meter, self._clock)
        try:
            if instance.golden_answer is None:
                instance.golden_answer = await self._ask_golden_prompt(instance)
            await instance.engine.sleep()
        except EngineError as error:
            await self._stop(instance, f"it could not be put to sleep: {error}")
            return
        instance.state = "asleep"
        self._ledger.hold(instance, instance.footprint, asleep=True)
        self._emit("slept", instance, stopwatch)

    async def _wake(self, instance: Instance) -> bool:
        """Wake an engine. False if it was stopped instead, because it did not wake or its answers changed."""
        stopwatch = Stopwatch(self.meter, self._clock)
        try:
            await instance.engine.wake()
            answer = await self._ask_golden_prompt(instance)
        except EngineError as error:
            await self._stop(instance, f"it did not wake: {error}")
            return False
        if answer != instance.golden_answer:
            reason = f"after its sleep it answered {answer!r} instead of {instance.golden_answer!r}"
            self._emit("restarted", instance, stopwatch, reason)
            await self._stop(instance, reason)
            return False
        instance.state = "running"
        self._ledger.hold(instance, instance.footprint)
        self._emit("woken", instance, stopwatch)
        return True

    async def _ask_golden_prompt(self, instance: Instance) -> str:
        assert instance.endpoint is not None
        return await greedy_answer(
            instance.endpoint.base_url,
            instance.endpoint.model,
            GOLDEN_PROMPT,
            max_tokens=_GOLDEN_TOKENS,
            timeout_s=_GOLDEN_TIMEOUT_S,
        )

    async def _record_death(self, instance: Instance, reason: str, energy_j: float | None = None) -> None:
        if instance.state == "stopped":
            return
        instance.deaths += 1
        self._emit("died", instance, None, reason, energy_j)
        await self._end(instance)

    async def _stop(self, instance: Instance, reason: str = "") -> None:
        stopwatch, was_running = Stopwatch(self.meter, self._clock), instance.state != "stopped"
        await self._end(instance)
        if was_running:
            self._emit("stopped", instance, stopwatch, reason)

    async def _end(self, instance: Instance) -> None:
        """Stop the process in any state, and reset the instance to the state before its start."""
        client, instance.client = instance.client, None
        instance.state, instance.endpoint, instance.golden_answer = "stopped", None, None
        self._ledger.release(instance)
        try:
            if client is not None:
                await client.close()
        finally:
            await instance.engine.stop()

    def _watch(self, instance: Instance) -> None:
        """Make the meter count this engine's processes under the model's name."""
        assert instance.endpoint is not None
        self.meter.watch(f"engine:{instance.name}", instance.endpoint.pids)

    def _emit(
        self,
        kind: EventKind,
        instance: Instance,
        stopwatch: Stopwatch | None,
        reason: str = "",
        energy_j: float | None = None,
    ) -> None:
        self._on_event(
            EngineEvent(
                kind=kind,
                model=instance.name,
                options=dict(instance.overrides),
                seconds=stopwatch.seconds if stopwatch else 0.0,
                at=self._now(),
                reason=reason,
                energy_j=stopwatch.energy_j if stopwatch else energy_j,
            )
        )

    def _instance(self, name: str, overrides: Overrides) -> Instance:
        key = self._key(name, overrides)
        if key not in self._instances:
            served, engine = self._served[name], self._served[name].make_engine()
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
        label = "-".join([name, *(f"{option}={value}" for option, value in sorted(overrides.items()))])
        file_name = "".join(c if c.isalnum() or c in "-._=" else "_" for c in label)
        return self._log_dir / f"{file_name}.log"
