"""Scores the answers of a block after its measurement window is closed, so that no team pays for it."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from orkester.errors import CallFailed, EngineError, OrkesterError
from orkester.serving.chat import ChatModel
from orkester.serving.energy import Sampler, Stopwatch

from ..records.block import Block, ExampleResult, ScoringCost
from ..scorers import Answered, AnyScorer, DeferredScorer, Score, Scorer
from ..task import Example

#: Makes the models of a scorer ready to answer: called with the block, whose scores are not numbers yet.
Judges: TypeAlias = Callable[[Block], Awaitable[Mapping[str, ChatModel]]]
#: How often the models of a scorer are asked for the same answer, before the run ends.
_TRIES: Final = 3


async def no_models(block: Block) -> Mapping[str, ChatModel]:
    """The models of a scorer that asks none."""
    del block
    return {}


@dataclass(kw_only=True)
class Scoring:
    """Scores blocks. A ``DeferredScorer`` is asked once for each example and answer.

    Attributes:
        scorer: The scorer of the task.
        meter: The meter, which is read before and after a ``DeferredScorer`` works.
        at_once: How many answers are scored at the same time, unless the scorer says it.
        clock: Monotonic seconds.
    """

    scorer: AnyScorer
    meter: Sampler
    at_once: int
    clock: Callable[[], float] = time.monotonic
    _known: dict[tuple[str, str], Score] = field(default_factory=dict, init=False)

    def remember(self, blocks: Iterable[Block]) -> None:
        """Take the scores of blocks that were scored before, so that no answer is scored twice.

        Args:
            blocks: Blocks of the same run.
        """
        if isinstance(self.scorer, DeferredScorer):
            for result in (result for block in blocks for result in block.examples):
                if result.answer:
                    score = Score(value=result.score, detail=result.score_detail or {})
                    self._known[result.id, result.answer] = score

    async def scored(self, block: Block, examples: Sequence[Example], judges: Judges = no_models) -> Block:
        """Score the answers of a block.

        Args:
            block: The block, whose scores are not numbers yet.
            examples: The examples of the block, in the same order.
            judges: Makes the models of the scorer ready; it is called only when they are needed, and again after one
                of them did not answer.

        Returns:
            The block with its scores, and with what the scoring has cost. Examples without an answer score 0.

        Raises:
            OrkesterError: The scorer does not work, or a model that it asks does not answer.
        """
        pairs = list(zip(block.examples, examples, strict=True))
        if isinstance(self.scorer, Scorer):
            return replace(block, examples=tuple(_scored(self.scorer, *pair) for pair in pairs))
        answers = {
            (result.id, result.answer): Answered(
                question=example.question, answer=result.answer, expected=example.expected
            )
            for result, example in pairs
            if result.answer
        }
        new = {key: answered for key, answered in answers.items() if key not in self._known}
        cost = await self._score(self.scorer, new, block, judges)
        return replace(
            block,
            examples=tuple(self._with_score(result) for result, _ in pairs),
            scoring=replace(cost, known=len(answers) - len(new)),
        )

    async def _score(
        self, scorer: DeferredScorer, new: Mapping[tuple[str, str], Answered], block: Block, judges: Judges
    ) -> ScoringCost:
        """Ask the scorer, and once more for the answers that it could not score because a model did not answer."""
        places = asyncio.Semaphore(scorer.at_once or self.at_once)
        cost = ScoringCost(wall_s=0.0, scored=0, known=0, energy_j=0.0)

        async def score(answered: Answered, models: Mapping[str, ChatModel]) -> Score:
            try:
                async with places:
                    found = await scorer.evaluate(answered, models)
            except OrkesterError:
                raise
            except Exception as error:
                raise OrkesterError(
                    f"the scorer {scorer.name} failed on the answer {answered.answer[:80]!r}: {error!r}"
                ) from error
            if math.isnan(found.value) or not 0 <= found.value <= 1:
                raise OrkesterError(f"the scorer {scorer.name} must give a number from 0 to 1, but gave {found.value}")
            return found

        left, failure = dict(new), None
        for _ in range(_TRIES):
            if not left:
                return cost
            models = await judges(block) if scorer.models else {}
            stopwatch = Stopwatch(self.meter, self.clock)
            found = await asyncio.gather(
                *(score(answered, models) for answered in left.values()), return_exceptions=True
            )
            for key, outcome in zip(tuple(left), found, strict=True):
                if isinstance(outcome, Score):
                    del left[key]
                    self._known[key] = replace(outcome, replies=())
                elif isinstance(outcome, CallFailed):
                    failure = outcome
                else:
                    raise outcome
            cost = _sum(cost, [each for each in found if isinstance(each, Score)], stopwatch)
        if not left:
            return cost
        raise EngineError(
            f"the scorer {scorer.name} cannot go on: {', '.join(scorer.models)} did not answer: {failure}. Run the "
            "same command again: it goes on from the last block on disk"
        ) from failure

    def _with_score(self, result: ExampleResult) -> ExampleResult:
        if not result.answer:
            return replace(result, score=0.0)
        score = self._known[result.id, result.answer]
        return replace(result, score=score.value, score_detail=dict(score.detail))


def _scored(scorer: Scorer, result: ExampleResult, example: Example) -> ExampleResult:
    return replace(result, score=scorer.score(result.answer, example.expected) if result.answer else 0.0)


def _sum(cost: ScoringCost, scores: Sequence[Score], stopwatch: Stopwatch) -> ScoringCost:
    """What scoring has cost with these scores, which were made since the stopwatch was started."""
    replies = [reply for score in scores for reply in score.replies]
    joules = stopwatch.energy_j
    return ScoringCost(
        wall_s=cost.wall_s + stopwatch.seconds,
        scored=cost.scored + len(scores),
        known=cost.known,
        calls=cost.calls + sum(reply.attempts for reply in replies),
        input_tokens=_total(cost.input_tokens, *(reply.input_tokens for reply in replies)),
        output_tokens=_total(cost.output_tokens, *(reply.output_tokens for reply in replies)),
        energy_j=None if cost.energy_j is None or joules is None else cost.energy_j + joules,
    )


def _total(*counts: int | None) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None
