"""Regressions that predict, for each model, whether it answers a question rightly; learnt from scored answers.

A question that they were fitted on is predicted by regressions that were fitted without it (cross-fitting).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

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
        scales: What the score of each model is multiplied by and what is added, of shape (6, 2), so that probabilities
            are calibrated (Platt 1999); empty for none.
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
            folds = np.array([_fold(text_of(record.question)) for record in own])
            fits = []
            for fold in range(FOLDS + 1):
                kept = folds != fold
                kept = kept if kept.any() else np.ones(len(own), dtype=bool)
                fits.append(_logistic.fit(texts[kept], scores[kept]))
            models[name] = np.array([weights for weights, _ in fits]), np.array([bias for _, bias in fits])
            if calibrated:
                unseen = np.array([texts[i] @ fits[fold][0] + fits[fold][1] for i, fold in enumerate(folds)])
                parts = [folds != fold for fold in range(FOLDS + 1)]
                scales[name] = np.array([_logistic.fit_scale(unseen[part], scores[part]) for part in parts])
        seen = frozenset(_hash(text_of(record.question)) for record in records)
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

        text = text_of(question)
        fold = _fold(text) if _hash(text) in self.seen else FOLDS
        weights, biases = self.models[model]
        score = _logistic.features(text) @ weights[fold] + biases[fold]
        if model in self.scales:
            slope, shift = self.scales[model][fold]
            score = slope * score + shift
        return float(_logistic.sigmoid(np.asarray(score)))


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _fold(text: str) -> int:
    return int(_hash(text), 16) % FOLDS
