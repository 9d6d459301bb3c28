"""Calls that are answered from the call store: the examples with them, and what the block would have taken without.

An example with such a call has its latency from a rerun of the team's graph in virtual time (see ``replay``). A block's
joules are those of the window, as measured; those of the calls that were reused, as they were when those were made
(domain ``reused``); and what engines and Orkester use whoever asks, for the time by which the window would have been
longer (domain ``reused:overhead``): watts that were seen in the blocks that reused nothing. Only the first is measured:
teams are screened by the sum, and confirmed without it.
"""

from __future__ import annotations

import asyncio
import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from orkester.graphs import Team
from orkester.serving.chat import ChatModel

from .attempt import Attempt, result_of, settings_of
from .block import REUSED, Block, Call, ExampleResult
from .calls import Keys, Notebook, Recall, Recorded
from .energy import Timed
from .replay import Rerun, replay
from .store import CallStore
from .task import Example, Task

SOME_REUSED: Final = "some calls were answered from the call store"
ALL_REUSED: Final = "all calls were answered from the call store"
_OVERHEAD: Final = f"{REUSED}:overhead"


def reused_calls(result: ExampleResult) -> tuple[Call, ...]:
    """Those of an example that were answered from the store."""
    return tuple(call for call in result.calls if call.reused)


def made_calls(result: ExampleResult) -> tuple[Call, ...]:
    """Those of an example that were sent."""
    return tuple(call for call in result.calls if not call.reused)


@dataclass(frozen=True, kw_only=True)
class Reuse:
    """What one team's examples may take from a store.

    Attributes:
        team: whose.
        models: names of those that it needs.
        task: settings and scorer.
        fingerprints: of the engines, by model name.
        store: the calls.
        method: label of the meter in use.
        seed: of the study.
        deadline_s: an example without an answer by then has failed, in virtual time too.
    """

    team: Team
    models: Sequence[str]
    task: Task
    fingerprints: Mapping[str, str]
    store: CallStore
    method: str
    seed: int
    deadline_s: float

    def recall(self, key: str) -> Call | None:
        """See ``CallStore.recall``."""
        return self.store.recall(key, self.method)

    async def recalled(self, examples: Sequence[Example]) -> dict[int, Timed]:
        """Those examples that the store alone answers, by their places.

        Raises:
            OrkesterError: something other than a model call is wrong.
        """
        if not len(self.store):
            return {}
        reruns = [self._rerun(example, self.recall) for example in examples]
        attempts = await asyncio.to_thread(replay, [rerun for rerun, _ in reruns])
        found: dict[int, Timed] = {}
        for place, (example, tried, (_, notebook)) in enumerate(zip(examples, attempts, reruns, strict=True)):
            if _holds(tried, notebook):
                result = result_of(example, tried, notebook, self.task, deadline_s=self.deadline_s, composed=True)
                found[place] = Timed(result=result, submitted_s=0.0, taken_s=tried.took_s)
        return found

    async def composed(self, examples: Sequence[Example], live: Sequence[Timed]) -> list[Timed]:
        """Examples that were run: where calls were reused, with the time that it takes when they are made.

        Args:
            examples: what was asked.
            live: what came of it, in the same order.

        Raises:
            OrkesterError: something other than a model call is wrong.
        """
        places = [place for place, each in enumerate(live) if reused_calls(each.result)]
        reruns = [self._rerun(examples[place], self._knowing(live[place].result)) for place in places]
        attempts = await asyncio.to_thread(replay, [rerun for rerun, _ in reruns]) if reruns else []
        found = list(live)
        for place, tried, (_, notebook) in zip(places, attempts, reruns, strict=True):
            found[place] = self._with_time(live[place], tried, notebook)
        return found

    def _with_time(self, live: Timed, tried: Attempt, notebook: Notebook) -> Timed:
        result = replace(live.result, composed=True)
        if result.failure is not None:  # it failed with calls that cost no time: with them it would have, too
            return replace(live, result=result)
        calls, taken_s = notebook.in_order(), tried.took_s
        late = tried.failure is not None
        if not _holds(tried, notebook):
            # A graph that goes another way when time does: at most, one reused call after the other comes on top.
            late, calls = False, result.calls
            taken_s = live.taken_s + math.fsum(call.latency_s for call in reused_calls(result))
        noted = {call.key for call in calls}
        calls += tuple(call for call in made_calls(result) if call.key not in noted)  # their joules were spent
        result = replace(result, calls=calls, latency_s=taken_s)
        if late or taken_s >= self.deadline_s:
            taken_s = self.deadline_s
            result = replace(result, answer=None, score=0.0, latency_s=taken_s, failure="deadline")
        return replace(live, result=result, taken_s=taken_s)

    def _knowing(self, result: ExampleResult) -> Recall:
        """Recalls an example's own calls too, those that failed among them."""
        own = {call.key: call for call in made_calls(result)}
        return lambda key: own.get(key) or self.recall(key)

    def _rerun(self, example: Example, recall: Recall) -> tuple[Rerun, Notebook]:
        notebook = Notebook(keys=Keys(self.fingerprints, seed=self.seed, example=example.id))

        def models(origin: float) -> Mapping[str, ChatModel]:
            return {name: Recorded(name=name, notebook=notebook, recall=recall, origin=origin) for name in self.models}

        rerun = Rerun(
            team=self.team,
            question=example.question,
            settings=settings_of(self.task),
            models=models,
            deadline_s=self.deadline_s,
        )
        return rerun, notebook


def _holds(tried: Attempt, notebook: Notebook) -> bool:
    """Whether a rerun says what the team does. A graph that broke may have missed the loop it knows: that is tried."""
    return not notebook.missed and tried.failure in {None, "deadline"}


def wall_s(taken_s: Sequence[float], concurrency: int) -> float:
    """How long examples take together that begin in their order, each when a place is free.

    Args:
        taken_s: of each, in seconds.
        concurrency: places.
    """
    places = [0.0] * concurrency
    for each_s in taken_s:
        heapq.heapreplace(places, places[0] + each_s)
    return max(places)


def with_reused(block: Block, taken_s: Sequence[float], store: CallStore) -> Block:
    """Charge a block with the calls that it reused.

    Args:
        block: its joules, wall time and marks those of its window alone; 0, none and none without one.
        taken_s: by each example, from its submission until it was over.
        store: where the calls are from.
    """
    calls = [call for example in block.examples for call in example.calls]
    reused = [call for call in calls if call.reused]
    if not reused:
        return block
    mark = ALL_REUSED if len(reused) == len(calls) else SOME_REUSED
    composed_s = wall_s(taken_s, block.concurrency)
    block = replace(block, composed_wall_s=composed_s, energy_marks=(*block.energy_marks, mark))
    overhead = store.overhead(block.energy_method)
    joules = [call.energy_j for call in reused if call.energy_j is not None]
    if block.energy_j is None or overhead is None or len(joules) < len(reused):
        return replace(block, energy_j=None, energy_idle_j=None, energy_unattributed_j=None)
    longer_s = max(0.0, composed_s - block.wall_s)
    reused_j = math.fsum(joules)
    idle_j = (overhead.idle_w or 0.0) * longer_s
    unattributed_j = overhead.unattributed_w * longer_s
    known = overhead.idle_w is not None and (block.energy_idle_j is not None or block.wall_s == 0)
    return replace(
        block,
        energy_j={**block.energy_j, REUSED: reused_j, _OVERHEAD: idle_j + unattributed_j},
        energy_error_j=block.energy_error_j + overhead.error_share * (reused_j + idle_j + unattributed_j),
        energy_idle_j=(block.energy_idle_j or 0.0) + idle_j if known else None,
        # What is not known to be idle must not be lost.
        energy_unattributed_j=(block.energy_unattributed_j or 0.0)
        + unattributed_j
        + (0.0 if known else (block.energy_idle_j or 0.0) + idle_j),
        attribution=block.attribution or overhead.attribution,
    )
