"""Baselines that need no call: what guesses score, computed from the right answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from ..objectives import Estimate, share_estimate
from ..records.block import Phase
from ..scorers import AnyScorer, DeferredScorer, accepted
from ..stats.rows import Rows
from ..task import Example

#: How many of the most frequent right answers are tried as the constant answer.
_TRIED: Final = 3
#: The most different right answers that make a task a choice among them, and how often each occurs on average.
_MOST_CHOICES, _LEAST_COUNT = 10, 5


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A way to guess, and its scores.

    Attributes:
        name: For people, for example ``constant answer 'yes'``.
        scores: The score of each example by phase, from 0 to 1, in the order in which teams see the examples.
    """

    name: str
    scores: Mapping[Phase, Sequence[float]]

    def value(self, phase: Phase, n: int | None = None) -> float:
        """The mean score of the first ``n`` examples of a phase, or of all."""
        return float(np.mean(self.scores[phase][:n]))

    def estimate(self, phase: Phase) -> Estimate:
        """The quality in a phase, with its interval."""
        return share_estimate(self.scores[phase])

    def rows(self, phase: Phase) -> Rows:
        """The scores as the rows of a team."""
        return Rows(columns={"score": np.asarray(self.scores[phase], dtype=np.float64)})

    def as_json(self) -> dict[str, Any]:
        """For the manifest of a run: scores are one text for each phase, since a list would be slow to read."""
        return {
            "name": self.name,
            "scores": {phase: " ".join(f"{score:.6g}" for score in scores) for phase, scores in self.scores.items()},
        }


def baseline_of(data: Mapping[str, Any]) -> Baseline:
    """The baseline that ``as_json`` wrote."""
    scores = {phase: tuple(float(score) for score in text.split()) for phase, text in data["scores"].items()}
    return Baseline(name=str(data["name"]), scores=scores)


def baselines(scorer: AnyScorer, examples: Mapping[Phase, Sequence[Example]]) -> Sequence[Baseline]:
    """What guesses would score.

    The constant answer is the right answer that scores best on the examples of the search, of the most frequent ones.
    If at most ten different right answers occur five times or more on average, a uniform guess among them is the
    second baseline; its scores are expected values.

    Args:
        scorer: The scorer of the task.
        examples: The examples on which teams are measured, by phase; those of the search choose the constant answer.

    Returns:
        The baselines; the constant answer first. There are none for a ``DeferredScorer``, which would have to be asked.

    Raises:
        OrkesterError: The scorer does not work.
    """
    if isinstance(scorer, DeferredScorer):
        return ()
    searched = examples["search"]
    golds = [right[0] for each in searched if each.expected is not None and (right := accepted(each.expected))]
    keys = [scorer.key(gold) for gold in golds]
    answers = dict(zip(reversed(keys), reversed(golds), strict=True))  # the first way in which each is written
    counts = Counter(keys)
    if not counts:
        return ()
    known: dict[tuple[str, str], float] = {}

    def scores(answer: str, of: Iterable[Example]) -> list[float]:
        found = []
        for example in of:
            pair = (answer, repr(example.expected))
            if pair not in known:
                known[pair] = float(scorer.score(answer, example.expected))
            found.append(known[pair])
        return found

    tried = [answers[key] for key, _ in counts.most_common(_TRIED)]
    constant = max(tried, key=lambda answer: sum(scores(answer, searched)))
    made = [
        Baseline(
            name=f"constant answer {_quoted(constant)}",
            scores={phase: tuple(scores(constant, of)) for phase, of in examples.items()},
        )
    ]
    if 1 < len(counts) <= _MOST_CHOICES and len(golds) >= _LEAST_COUNT * len(counts):
        choices = [answers[key] for key in sorted(counts)]
        made.append(
            Baseline(
                name=f"uniform guess among {len(choices)} answers",
                scores={
                    phase: tuple(np.mean([scores(choice, of) for choice in choices], axis=0).tolist())
                    for phase, of in examples.items()
                },
            )
        )
    return made


def _quoted(answer: str) -> str:
    text = " ".join(answer.split())
    return f"{text[:37]!r}…" if len(text) > 40 else repr(text)
