"""The routing policy ``learnt``: it predicts from the words of a question which model answers it best."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from ._base import Route, RoutingRecord, RoutingRequest, text_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: The number of parts for cross-fitting.
FOLDS = 5


@dataclass(frozen=True)
class Learnt:
    """Chooses the model with the largest probability of a right answer.

    One logistic regression on hashed words and pairs of words is fitted for each model. It learns from the answers that
    the model has given alone in the search. Routers of this kind are compared by Hu et al., "RouterBench"
    (arXiv:2403.12031), and Ong et al., "RouteLLM" (arXiv:2406.18665).

    A question that it was fitted on is decided by a regression that was fitted without it (cross-fitting with five
    parts), so its results in the search are not better than on new questions.

    Attributes:
        examples: The largest number of the search's examples that it learns from.
        models: The weights of each model: those of the parts, then those of all questions, of shape (6, places), and
            the biases, of shape (6,). Empty before it is fitted: then it chooses the first of the choices by name.
        seen: The questions that it was fitted on, as hashes.
    """

    examples: int = 96
    models: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = field(
        default_factory=lambda: MappingProxyType({}), repr=False
    )
    seen: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if not isinstance(self.examples, int) or isinstance(self.examples, bool) or self.examples < FOLDS:
            raise ValueError(f"examples must be a whole number of {FOLDS} or more, but is {self.examples!r}")

    def fitted(self, records: Sequence[RoutingRecord]) -> Learnt:
        """Fit a regression for each model; see ``LearningPolicy``."""
        import numpy as np  # late: it is not needed to list policies

        from . import _logistic

        models = {}
        for name in sorted({record.choice for record in records}):
            own = [record for record in records if record.choice == name]
            texts = _logistic.vectors([text_of(record.question) for record in own])
            scores = np.array([record.score for record in own], dtype=np.float64)
            folds = np.array([_fold(text_of(record.question)) for record in own])
            fits = []
            for fold in range(FOLDS + 1):
                kept = folds != fold
                kept = kept if kept.any() else np.ones(len(own), dtype=bool)
                fits.append(_logistic.fit(texts[kept], scores[kept]))
            models[name] = np.array([weights for weights, _ in fits]), np.array([bias for _, bias in fits])
        seen = frozenset(_hash(text_of(record.question)) for record in records)
        return Learnt(examples=self.examples, models=MappingProxyType(models), seen=seen)

    def probability(self, question: object, model: str) -> float | None:
        """The probability that a model answers a question rightly.

        Args:
            question: Text, or OpenAI content parts.
            model: The name of the model.

        Returns:
            The probability; None for a model that it has no records of.
        """
        if model not in self.models:
            return None
        import numpy as np

        from . import _logistic

        text = text_of(question)
        fold = _fold(text) if _hash(text) in self.seen else FOLDS
        weights, biases = self.models[model]
        score = _logistic.features(text) @ weights[fold] + biases[fold]
        return float(_logistic.sigmoid(np.asarray(score)))

    def route(self, request: RoutingRequest) -> Route:
        """The choice with the largest probability, or the first by name of several; see ``RoutingPolicy``."""
        choices = sorted(request.choices)
        known = {name: value for name in choices if (value := self.probability(request.question, name)) is not None}
        if not known:
            return Route(choice=choices[0], reason="nothing was learnt yet, so the first by name is chosen")
        best = max(known, key=lambda name: known[name])
        return Route(
            choice=best, reason=", ".join(f"{name} is right with probability {known[name]:.2f}" for name in known)
        )


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _fold(text: str) -> int:
    return int(_hash(text), 16) % FOLDS


routing = Learnt
