"""Regressions that predict, for each model, whether it answers a question rightly; learnt from scored answers.

A question that they were fitted on is predicted by regressions that were fitted without it (cross-fitting).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ._base import RoutingRecord, text_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: The number of parts for cross-fitting.
FOLDS = 5


@dataclass(frozen=True)
class Regressions:
    """A logistic regression on hashed words and pairs of words for each model.

    Attributes:
        models: The weights of each model: those of the parts, then those of all questions, of shape (6, places), and
            the biases, of shape (6,).
        scales: What the weighted words of each model are multiplied by, and what is added in place of the bias, of
            shape (6, 2), so that probabilities are calibrated (Platt 1999); empty for none.
        seen: The questions that they were fitted on, as hashes.
    """

    models: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = field(
        default_factory=lambda: MappingProxyType({}), repr=False
    )
    scales: Mapping[str, NDArray[np.float64]] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    seen: frozenset[str] = frozenset()

    @classmethod
    def fit(cls, records: Sequence[RoutingRecord], *, calibrated: bool = False) -> Regressions:
        """Fit a regression for each model.

        Args:
            records: The scored answers of each model.
            calibrated: Whether the probabilities are calibrated on answers that the regressions have not seen.
        """
        import numpy as np  # late: it is not needed to list policies

        from . import _logistic

        models, scales = {}, {}
        for name in sorted({record.choice for record in records}):
            own = [record for record in records if record.choice == name]
            texts = _logistic.vectors([text_of(record.question) for record in own])
            scores = np.array([record.score for record in own], dtype=np.float64)
            folds = np.array([_fold(record.question) for record in own])

            def without(*left_out: int, texts: Any = texts, scores: Any = scores, folds: Any = folds) -> Any:
                """A regression that saw nothing of some parts."""
                kept = ~np.isin(folds, left_out)
                return _logistic.fit(texts[kept], scores[kept]) if kept.any() else (np.zeros(texts.shape[1]), 0.0)

            fits = [without(fold) for fold in range(FOLDS + 1)]
            models[name] = np.array([weights for weights, _ in fits]), np.array([bias for _, bias in fits])
            if calibrated:
                scales[name] = np.array([_scale(without, fold, texts, scores, folds) for fold in range(FOLDS + 1)])
        seen = frozenset(_hash(record.question) for record in records)
        return cls(models=MappingProxyType(models), scales=MappingProxyType(scales), seen=seen)

    def probability(self, question: object, model: str) -> float | None:
        """The probability that a model answers a question rightly.

        Args:
            question: Text, or OpenAI content parts.
            model: The name of the model.

        Returns:
            The probability; None for a model without records.
        """
        if model not in self.models:
            return None
        import numpy as np

        from . import _logistic

        fold = _fold(question) if _hash(question) in self.seen else FOLDS
        weights, biases = self.models[model]
        score = _logistic.features(text_of(question)) @ weights[fold]
        slope, shift = self.scales[model][fold] if model in self.scales else (1.0, biases[fold])
        score = slope * score + shift
        return float(_logistic.sigmoid(np.asarray(score)))


def _scale(without: Callable[..., Any], fold: int, texts: Any, scores: Any, folds: Any) -> tuple[float, float]:
    """The calibration for questions of a part; nothing in it has seen the answers to these questions.

    Each other part is predicted by a regression that saw neither that part nor this one.
    """
    import numpy as np

    from . import _logistic

    unseen, targets = [np.zeros(0)], [np.zeros(0)]
    for other in range(FOLDS):
        if other != fold and (there := folds == other).any():
            weights, _ = without(fold, other)
            unseen.append(texts[there] @ weights)
            targets.append(scores[there])
    return _logistic.fit_scale(np.concatenate(unseen), np.concatenate(targets))


def _content(question: object) -> str:
    """A question as text, with all its parts: pictures may differ where the words are the same."""
    return question if isinstance(question, str) else json.dumps(question, sort_keys=True, default=str)


def _hash(question: object) -> str:
    return hashlib.blake2b(_content(question).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _fold(question: object) -> int:
    return int(_hash(question), 16) % FOLDS
