"""The routing policy ``learnt``: it predicts from the words of a question which model answers it best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ._base import Route, RoutingRecord, RoutingRequest
from ._regressions import FOLDS, Regressions


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
        regressions: The regression of each model. Empty before it is fitted: then it chooses the first of the choices
            by name.
    """

    examples: int = 96
    regressions: Regressions = field(default_factory=Regressions, init=False)

    def __post_init__(self) -> None:
        if not isinstance(self.examples, int) or isinstance(self.examples, bool) or self.examples < FOLDS:
            raise ValueError(f"examples must be a whole number of {FOLDS} or more, but is {self.examples!r}")

    def fitted(self, records: Sequence[RoutingRecord]) -> Learnt:
        """Fit a regression for each model; see ``LearningPolicy``."""
        fitted = Learnt(examples=self.examples)
        object.__setattr__(fitted, "regressions", Regressions.fit(records))
        return fitted

    def probability(self, question: object, model: str) -> float | None:
        """See ``Regressions.probability``."""
        return self.regressions.probability(question, model)

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


routing = Learnt
