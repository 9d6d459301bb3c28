"""Runs one block after another on engines that may die, be cold, or not be there yet."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from orkester.agents.routing import RoutingPolicy
from orkester.errors import EngineError, EngineLost
from orkester.evals.records.block import Block, Phase, PrefixCache
from orkester.evals.records.call_store import CallStore
from orkester.evals.running.runner import BlockPlan, BlockRunner
from orkester.evals.task import Example
from orkester.graphs import Team
from orkester.optim.run.events import BlockRerun, Observer, Preparing
from orkester.serving.chat import ChatModel
from orkester.serving.energy import IdlePower
from orkester.serving.lease import Lease, Overrides
from orkester.serving.pool import Pool

from .engine_start import starting
from .interrupts import Interrupted

#: How often a block is started again because an engine died in it, before its team is given up.
MAX_RERUNS = 2


@dataclass(kw_only=True)
class BlockDriver:
    """Runs one block after another on engines that may have to be started, or may die.

    Attributes:
        runner: runs blocks.
        pool: leases models; engines start when first needed.
        observer: receives the events.
        cold: whether a team must not profit from the prompts of those before it.
        clock: monotonic seconds.
    """

    runner: BlockRunner
    pool: Pool
    observer: Observer
    cold: bool
    clock: Callable[[], float] = time.monotonic
    _idle: IdlePower = field(init=False)  # measured where the meter's joules hold some
    _stopping: bool = field(default=False, init=False)
    _in_block: bool = field(default=False, init=False)
    _emptied: tuple[tuple[str, Phase], PrefixCache] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._idle = IdlePower(self.runner.meter)

    def stop(self) -> bool:
        """Finish the block under way, then raise ``Interrupted``; whether there is one, or only engines that start."""
        self._stopping = True
        return self._in_block

    async def run(
        self,
        team: Team,
        examples: Sequence[Example],
        phase: Phase,
        index: int,
        *,
        trial: int | None = None,
        policies: Mapping[str, RoutingPolicy] | None = None,
        store: CallStore | None = None,
        progress: Callable[[int], None],
    ) -> Block:
        """A block, from the call store alone if that has all its calls.

        Args:
            team, examples, phase, index, trial: which block.
            policies: the routing policies with options, and those that were fitted, by name.
            store: calls made before; None where none may be used.
            progress: called with the number of examples done.

        Raises:
            EngineLost: its engine died each time.
            Interrupted: after ``stop``.
        """
        for reruns in range(MAX_RERUNS + 1):
            self._leave_if_asked()
            plan = BlockPlan(
                team=team,
                examples=examples,
                phase=phase,
                index=index,
                trial=trial,
                reruns=reruns,
                policies=policies or {},
            )
            judges = _Judges(driver=self)
            if store is not None and (known := await self.runner.screen(plan, store, judges)) is not None:
                return known
            self._leave_if_asked()  # meanwhile; engines may take minutes to start
            lease = await self._lease(team.models, team.engine)
            block, lost = await self._try(plan, lease, store, progress)
            if block is not None:
                return block
            self._emptied = None  # the block's own prompts are in the caches of those that are left
            self.observer(BlockRerun(team=team, block=index, reason=f"the engine of {', '.join(lost)} died"))
        raise EngineLost(
            f"the engine of {', '.join(lost)} died {MAX_RERUNS + 1} times in block {index} of {team.id}"
            f"{self.pool.log_tail(lost[0], team.engine)}"
        )

    async def _try(
        self, plan: BlockPlan, lease: Lease, store: CallStore | None, progress: Callable[[int], None]
    ) -> tuple[Block | None, Sequence[str]]:
        """The block, unless an engine was lost in it: then those that were."""
        try:
            prefix_cache = await self._prefix_caches(plan, lease)
        except EngineError:
            if lost := await self.pool.lost_engines(lease):
                return None, lost
            raise
        resident = self.pool.resident_engines()
        if not self._idle.is_measured(resident):
            self.observer(Preparing(line=f"measuring idle power with {len(resident)} engines resident"))
        judges = _Judges(driver=self, lease=lease)
        try:
            block = await self.runner.run(
                plan,
                lease.models,
                engines=lease.facts,
                metrics=lease.metrics,
                idle_w=await self._idle.measure(resident),
                progress=progress,
                store=store,
                judges=judges,
            )
        except _LostInBlockError as error:
            return None, error.lost
        if not judges.asked and (lost_now := await self._lost(block, lease)):
            return None, lost_now
        return replace(block, prefix_cache=prefix_cache), ()

    async def _lost(self, block: Block, lease: Lease) -> Sequence[str]:
        """The models whose engines were lost in a block."""
        return await self.pool.lost_engines(lease, energy_j=block.spent_j) if _may_have_lost_an_engine(block) else ()

    async def _prefix_caches(self, plan: BlockPlan, lease: Lease) -> PrefixCache:
        """Before a team's first block in a phase, see that it does not profit from the prompts of those before it."""
        if not self.cold:
            return "warm"
        measuring = (plan.team.id, plan.phase)
        if self._emptied is None or self._emptied[0] != measuring:
            state: PrefixCache = "cold" if all((await lease.reset_prefix_caches()).values()) else "kept"
            self._emptied = (measuring, state)
            return state
        return self._emptied[1]

    async def _lease(self, models: Sequence[str], options: Overrides) -> Lease:
        self._in_block = False
        # Of a team that does not fit into memory no engine is started; the lease says why.
        fits = self.pool.fits([(models, options)])
        missing = self.pool.not_running(models, options) if fits else ()
        waking = self.pool.asleep(missing, options)
        async with starting(self.observer, missing, waking=waking, options=options, clock=self.clock):
            lease = await self.pool.lease(models, options)
        self._in_block = True  # until the next lease: what is measured now is worth waiting for
        return lease

    def _leave_if_asked(self) -> None:
        if self._stopping:
            raise Interrupted("stopped after the block that was under way")


class _LostInBlockError(Exception):
    """Engines of the team were lost in the block, so that it is not worth scoring."""

    def __init__(self, lost: Sequence[str]) -> None:
        super().__init__(f"the engine of {', '.join(lost)} was lost")
        self.lost = lost


@dataclass(kw_only=True)
class _Judges:
    """Makes the models that the scorer asks ready, when the block is measured.

    Attributes:
        driver: The driver, which leases the models.
        lease: The lease of the block; None when nothing was run.
        asked: Whether models were asked for. Then the lease of the block is over.
    """

    driver: BlockDriver
    lease: Lease | None = None
    asked: bool = False
    _own: Lease | None = None

    async def __call__(self, block: Block) -> Mapping[str, ChatModel]:
        """See ``Scoring.scored``.

        Raises:
            _LostInBlockError: The block is not worth scoring.
            EngineError: The engine of a model cannot be kept running. No team is to blame.
        """
        driver = self.driver
        if self.lease is not None and not self.asked and (lost := await driver._lost(block, self.lease)):
            raise _LostInBlockError(lost)
        self.asked = True
        try:
            if self._own is not None:  # one of them did not answer
                await driver.pool.lost_engines(self._own)
            self._own = await driver._lease(driver.runner.task.scorer_models, {})
        except EngineLost as error:
            raise EngineError(f"the scorer {driver.runner.task.scorer.name} cannot go on: {error}") from error
        return self._own.models_without_preamble


def _may_have_lost_an_engine(block: Block) -> bool:
    """Whether something failed that a sound engine does not answer with: anything but a complaint about the request."""
    calls = (call.failure for example in block.examples for call in example.calls if not call.reused)
    failures = [*calls, *(example.failure for example in block.examples if not example.composed)]
    return any(failure is not None and not failure.startswith("http 4") for failure in failures)
