"""The routing policy ``cost_aware``: the model that takes the least energy, of those that are good enough."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from ._base import Route, RoutingRecord, RoutingRequest
from ._regressions import FOLDS, Regressions


@dataclass(frozen=True)
class CostAware:
    """Chooses the model with the least mean joules whose probability of a right answer reaches a floor.

    Where no model reaches it, the one with the largest probability is chosen. Choosing by cost and predicted quality is
    formulated by Ong et al., "RouteLLM" (arXiv:2406.18665, section 3), and Hu et al., "RouterBench" (arXiv:2403.12031,
    section 3). Probabilities come from the regressions of ``learnt``, calibrated on answers that they have not seen
    (Platt 1999); joules are the means of the records.

    Attributes:
        floor: The probability of a right answer that is good enough.
        examples: The largest number of the search's examples that it learns from.
        regressions: The regression of each model; empty before it is fitted.
        joules: The mean joules of an answer by model. Where those of a choice are not known, the choices count as
            ordered from the cheapest on.
    """

    floor: float = 0.7
    examples: int = 96
    regressions: Regressions = field(default_factory=Regressions, init=False)
    joules: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}), init=False)

    def __post_init__(self) -> None:
        if not 0 < self.floor < 1:
            raise ValueError(f"floor must be between 0 and 1, but is {self.floor!r}")
        if self.examples < FOLDS:
            raise ValueError(f"examples must be a whole number of {FOLDS} or more, but is {self.examples!r}")

    def fitted(self, records: Sequence[RoutingRecord]) -> CostAware:
        """Fit a calibrated regression for each model, and its joules; see ``LearningPolicy``."""
        joules: dict[str, list[float]] = {}
        for record in records:
            if record.energy_j is not None and math.isfinite(record.energy_j):
                joules.setdefault(record.choice, []).append(record.energy_j)
        fitted = CostAware(floor=self.floor, examples=self.examples)
        object.__setattr__(fitted, "regressions", Regressions.fit(records, calibrated=True))
        means = {name: sum(each) / len(each) for name, each in joules.items()}
        object.__setattr__(fitted, "joules", MappingProxyType(means))
        return fitted

    def route(self, request: RoutingRequest) -> Route:
        """The cheapest choice that is good enough; see ``RoutingPolicy``."""
        probabilities = {
            name: probability
            for name in request.choices
            if (probability := self.regressions.probability(request.question, name)) is not None
        }
        if not probabilities:
            return Route(choice=request.choices[0], reason="nothing was learnt yet, so the first choice is taken")
        order = list(probabilities)
        if all(name in self.joules for name in order):
            order.sort(key=lambda name: self.joules[name])  # equal ones stay in the order of the choices
        said = ", ".join(f"{name} {probabilities[name]:.2f}{self._cost(name)}" for name in order)
        for name in order:
            if probabilities[name] >= self.floor:
                return Route(choice=name, reason=f"the cheapest that is right with {self.floor:g} or more: {said}")
        best = max(order, key=lambda name: probabilities[name])  # the cheapest of equals
        return Route(choice=best, reason=f"none is right with {self.floor:g} or more, so the best: {said}")

    def _cost(self, name: str) -> str:
        return f" at {self.joules[name]:.2g} J" if name in self.joules else ""


routing = CostAware
