"""Answers calls from the call store, and computes the latency and joules as if these calls had been made.

The latency of an example with reused calls comes from a run of the team's graph in virtual time (see ``replay``). The
joules of a block with reused calls are the sum of three parts:

- the joules of the window, as measured;
- the joules of the reused calls, as measured when these calls were made (domain ``reused``);
- the joules that belong to no call, for the time by which the window would have been longer (domain
  ``reused:overhead``): those of idle engines and of Orkester. The watts come from the blocks that reused nothing.

Only the first part is measured in this window. The search uses the sum; confirmation reuses no calls.
"""

from __future__ import annotations

import asyncio
import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from orkester.agents.routing import RoutingPolicy
from orkester.graphs import Team
from orkester.serving.chat import ChatModel

from ..records.block import REUSED, Block, Call, ExampleResult
from ..records.call_store import CallStore
from ..task import Example, Task
from .attempt import Attempt, result_of, settings_of
from .calls import CallLog, Keys, Recall, ReplayModel
from .energy import TimedResult
from .replay import Rerun, replay

SOME_REUSED: Final = "some calls were answered from the call store"
ALL_REUSED: Final = "all calls were answered from the call store"
_OVERHEAD: Final = f"{REUSED}:overhead"


def reused_calls(result: ExampleResult) -> tuple[Call, ...]:
    """The calls of an example that were answered from the call store.

    Args:
        result: The result of the example.
    """
    return tuple(call for call in result.calls if call.reused)


def made_calls(result: ExampleResult) -> tuple[Call, ...]:
    """The calls of an example that were sent.

    Args:
        result: The result of the example.
    """
    return tuple(call for call in result.calls if not call.reused)


@dataclass(frozen=True, kw_only=True)
class Reuse:
    """Answers the examples of one team from a call store.

    Attributes:
        team: The team.
        models: The names of the models that the team needs.
        task: The settings of the task.
        policies: The routing policies with options, and those that were fitted, by name.
        fingerprints: The fingerprints of the engines, by model name.
        store: The call store.
        method: The label of the meter in use.
        seed: The study's seed.
        deadline_s: An example that takes longer has failed, in virtual time too.
    """

    team: Team
    models: Sequence[str]
    task: Task
    policies: Mapping[str, RoutingPolicy]
    fingerprints: Mapping[str, str]
    store: CallStore
    method: str
    seed: int
    deadline_s: float

    def recall(self, key: str) -> Call | None:
        """See ``CallStore.recall``."""
        return self.store.recall(key, self.method)

    async def from_store(self, examples: Sequence[Example]) -> dict[int, TimedResult]:
        """Answer the examples for which the store has all calls.

        Args:
            examples: The examples.

        Returns:
            The results of these examples, by position in ``examples``.

        Raises:
            OrkesterError: Something other than a model call failed.
        """
        if not len(self.store):
            return {}
        reruns = [self._rerun(example, self.recall) for example in examples]
        attempts = await asyncio.to_thread(replay, [rerun for rerun, _ in reruns])
        results: dict[int, TimedResult] = {}
        for position, (example, outcome, (_, call_log)) in enumerate(zip(examples, attempts, reruns, strict=True)):
            if _is_complete(outcome, call_log):
                result = result_of(example, outcome, call_log, deadline_s=self.deadline_s, composed=True)
                results[position] = TimedResult(result=result, submitted_s=0.0, duration_s=outcome.duration_s)
        return results

    async def with_composed_times(
        self, examples: Sequence[Example], measured: Sequence[TimedResult]
    ) -> list[TimedResult]:
        """Replace the times of examples with reused calls by those that they would have if every call had been made.

        Args:
            examples: The examples that were run.
            measured: Their results as measured, in the same order.

        Returns:
            The results, in the same order.

        Raises:
            OrkesterError: Something other than a model call failed.
        """
        positions = [position for position, each in enumerate(measured) if reused_calls(each.result)]
        reruns = [
            self._rerun(examples[position], self._recall_for(measured[position].result)) for position in positions
        ]
        attempts = await asyncio.to_thread(replay, [rerun for rerun, _ in reruns]) if reruns else []
        results = list(measured)
        for position, outcome, (_, call_log) in zip(positions, attempts, reruns, strict=True):
            results[position] = self._composed(measured[position], outcome, call_log)
        return results

    def _composed(self, measured: TimedResult, outcome: Attempt, call_log: CallLog) -> TimedResult:
        result = replace(measured.result, composed=True)
        if result.failure is not None:  # it failed although reused calls took no time; it would fail with them, too
            return replace(measured, result=result)
        calls, duration_s = call_log.in_order(), outcome.duration_s
        too_late = outcome.failure is not None
        if not _is_complete(outcome, call_log):
            # The graph makes other calls when the times differ. The upper limit of its time is then the measured time
            # plus the times of all reused calls, one after another.
            too_late, calls = False, result.calls
            duration_s = measured.duration_s + math.fsum(call.latency_s for call in reused_calls(result))
        replayed_keys = {call.key for call in calls}
        # Calls that were sent stay in the record, even when the replay did not need them: they used joules.
        calls += tuple(call for call in made_calls(result) if call.key not in replayed_keys)
        result = replace(result, calls=calls, latency_s=duration_s)
        if too_late or duration_s >= self.deadline_s:
            duration_s = self.deadline_s
            result = replace(result, answer=None, latency_s=duration_s, failure="deadline", failure_message=None)
        return replace(measured, result=result, duration_s=duration_s)

    def _recall_for(self, result: ExampleResult) -> Recall:
        """A lookup that also has the calls which the example made itself, including failed ones."""
        own_calls = {call.key: call for call in made_calls(result)}
        return lambda key: own_calls.get(key) or self.recall(key)

    def _rerun(self, example: Example, recall: Recall) -> tuple[Rerun, CallLog]:
        call_log = CallLog(keys=Keys(self.fingerprints, seed=self.seed, example=example.id))

        def models(origin: float) -> Mapping[str, ChatModel]:
            return {
                name: ReplayModel(name=name, call_log=call_log, recall=recall, origin=origin) for name in self.models
            }

        rerun = Rerun(
            team=self.team,
            question=example.question,
            settings=settings_of(self.task, self.policies),
            models=models,
            deadline_s=self.deadline_s,
        )
        return rerun, call_log


def _is_complete(outcome: Attempt, call_log: CallLog) -> bool:
    """Whether a replay shows what the team does.

    It does not when a call was not recorded, or when the graph raised an error: the virtual event
    loop may be the cause, so the example is run for real.
    """
    return not call_log.missed and outcome.failure in {None, "deadline"}


def wall_s(durations_s: Sequence[float], concurrency: int) -> float:
    """Compute how long several examples take together. They start in order, each when a place is free.

    Args:
        durations_s: The seconds that each example takes.
        concurrency: The number of places: how many examples run at the same time.

    Returns:
        Seconds from the first start to the last end.
    """
    free_at_s = [0.0] * concurrency
    for duration_s in durations_s:
        heapq.heapreplace(free_at_s, free_at_s[0] + duration_s)
    return max(free_at_s)


def with_reused(block: Block, durations_s: Sequence[float], store: CallStore) -> Block:
    """Add the joules and the time of reused calls to a block.

    Args:
        block: A block with the joules, wall time and marks of its window alone. Without a window, these are empty or 0.
        durations_s: The seconds that each example took, from its submission to its end.
        store: The call store that the reused calls are from.

    Returns:
        The block as if its reused calls had been made. It has no joules when the joules of a reused call are not known.
    """
    calls = [call for example in block.examples for call in example.calls]
    reused = [call for call in calls if call.reused]
    if not reused:
        return block
    mark = ALL_REUSED if len(reused) == len(calls) else SOME_REUSED
    composed_s = wall_s(durations_s, block.concurrency)
    block = replace(block, composed_wall_s=composed_s, energy_marks=(*block.energy_marks, mark))
    overhead = store.overhead(block.energy_method)
    joules = [call.energy_j for call in reused if call.energy_j is not None]
    if block.energy_j is None or overhead is None or len(joules) < len(reused):
        return replace(block, energy_j=None, energy_idle_j=None, energy_unattributed_j=None)
    extra_s = max(0.0, composed_s - block.wall_s)
    reused_j = math.fsum(joules)
    idle_j = (overhead.idle_w or 0.0) * extra_s
    unattributed_j = overhead.unattributed_w * extra_s
    idle_is_known = overhead.idle_w is not None and (block.energy_idle_j is not None or block.wall_s == 0)
    return replace(
        block,
        energy_j={**block.energy_j, REUSED: reused_j, _OVERHEAD: idle_j + unattributed_j},
        energy_error_j=block.energy_error_j + overhead.error_share * (reused_j + idle_j + unattributed_j),
        energy_idle_j=(block.energy_idle_j or 0.0) + idle_j if idle_is_known else None,
        # When the idle joules are not known for the whole block, the known part counts as unattributed.
        energy_unattributed_j=(block.energy_unattributed_j or 0.0)
        + unattributed_j
        + (0.0 if idle_is_known else (block.energy_idle_j or 0.0) + idle_j),
        attribution=block.attribution or overhead.attribution,
    )
