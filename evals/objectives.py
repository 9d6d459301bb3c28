"""What a study can optimise or constrain, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal


@dataclass(frozen=True)
class Objective:
    """A measurable quantity.

    Attributes:
        name: as in study files.
        unit: of its numbers; empty for shares.
        direction: what a study usually wants.
        meaning: in a sentence.
        of_joules: whether it follows from joules, so that it is unavailable where they are and never compared across
            methods.
    """

    name: str
    unit: str
    direction: Literal["maximize", "minimize"]
    meaning: str
    of_joules: bool = False


_ALL = (
    Objective("quality", "", "maximize", "Mean score of the examples; a failed example scores 0."),
    Objective("latency_p50_s", "s", "minimize", "Median time from an example's submission to its answer."),
    Objective("latency_p95_s", "s", "minimize", "95th percentile of the same."),
    Objective("latency_mean_s", "s", "minimize", "Mean of the same."),
    Objective(
        "energy_j", "J", "minimize", "Joules of the measurement windows per example, all domains together.", True
    ),
    Objective(
        "energy_j_per_success", "J", "minimize", "The same joules per example answered with a score over 0.5.", True
    ),
    Objective(
        "energy_idle_j",
        "J",
        "minimize",
        "The part of energy_j that the devices would have used with idle engines.",
        True,
    ),
    Objective("co2e_g", "g", "minimize", "Grams of CO2 equivalent of energy_j, by the region's electricity.", True),
    Objective("cost_eur", "EUR", "minimize", "Euros of energy_j and of the devices' hours, per example.", True),
    Objective("input_tokens", "", "minimize", "Prompt tokens per example, cached ones included."),
    Objective("output_tokens", "", "minimize", "Generated tokens per example."),
    Objective("calls", "", "minimize", "Model calls per example."),
    Objective(
        "failure_rate", "", "minimize", "Share of examples that failed: a call failed for good, or the deadline."
    ),
)
OBJECTIVES: Final[Mapping[str, Objective]] = MappingProxyType({objective.name: objective for objective in _ALL})
#: Those that follow from joules.
OF_JOULES: Final[frozenset[str]] = frozenset(objective.name for objective in _ALL if objective.of_joules)
