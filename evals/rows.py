"""Blocks as rows, one per example, and what an objective makes of such rows.

A search compares teams example by example, on numbers that can be modelled: shares as they are, and what is positive
with a long tail (seconds, joules, tokens) as its logarithm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .block import Block, ExampleResult
from .footprint import Footprint

Floats: TypeAlias = NDArray[np.float64]
Statistic: TypeAlias = Literal["mean", "p50", "p95", "per success"]


@dataclass(frozen=True)
class View:
    """How an objective follows from rows.

    Attributes:
        quantity: the column it is made of.
        statistic: of that column; ``per success`` divides its sum by the number of examples answered right.
        share: whether it lies in [0, 1]; if not it is positive, and modelled as a logarithm.
    """

    quantity: str
    statistic: Statistic = "mean"
    share: bool = False


#: By objective name; every objective has one.
VIEWS: Final[Mapping[str, View]] = MappingProxyType(
    {
        "quality": View("score", share=True),
        "latency_p50_s": View("latency_s", "p50"),
        "latency_p95_s": View("latency_s", "p95"),
        "latency_mean_s": View("latency_s"),
        "energy_j": View("energy_j"),
        "energy_j_per_success": View("energy_j", "per success"),
        "energy_idle_j": View("energy_idle_j"),
        "co2e_g": View("co2e_g"),
        "cost_eur": View("cost_eur"),
        "input_tokens": View("input_tokens"),
        "output_tokens": View("output_tokens"),
        "calls": View("calls"),
        "failure_rate": View("failed", share=True),
    }
)

#: Variance of a statistic's estimate, as a multiple of the mean's from as many rows of a normal distribution. (Kendall
#: and Stuart, The Advanced Theory of Statistics, vol. 1, section 14.10, for quantiles.)
SPREAD: Final[Mapping[Statistic, float]] = MappingProxyType({"mean": 1.0, "p50": 1.57, "p95": 4.47, "per success": 2.0})


def rows_of(block: Block, footprint: Footprint | None = None) -> Mapping[str, Floats]:
    """A block as columns, one entry per example.

    What is measured per block (joules, and what follows from them) is spread evenly over its examples.

    Returns:
        By quantity (see ``VIEWS``), and ``succeeded``; NaN where something is not known.
    """
    n = len(block.examples)

    def of_block(total: float | None) -> Floats:
        return np.full(n, np.nan if total is None else total / n)

    joules = None if block.energy_j is None else sum(block.energy_j.values())
    grams = None if joules is None or footprint is None else footprint.co2e_g(joules)
    euros = None if joules is None or footprint is None else footprint.cost_eur(joules, block.charged_wall_s)
    return {
        "score": np.array([example.score for example in block.examples], dtype=np.float64),
        "succeeded": np.array([example.score > 0.5 for example in block.examples], dtype=np.float64),
        "failed": np.array([example.failure is not None for example in block.examples], dtype=np.float64),
        "latency_s": np.array([example.latency_s for example in block.examples], dtype=np.float64),
        "calls": np.array([len(example.calls) for example in block.examples], dtype=np.float64),
        "input_tokens": np.array([_tokens(example, "input_tokens") for example in block.examples]),
        "output_tokens": np.array([_tokens(example, "output_tokens") for example in block.examples]),
        "energy_j": of_block(joules),
        "energy_idle_j": of_block(block.energy_idle_j),
        "co2e_g": of_block(grams),
        "cost_eur": of_block(euros),
    }


def _tokens(example: ExampleResult, kind: Literal["input_tokens", "output_tokens"]) -> float:
    counts = [call.input_tokens if kind == "input_tokens" else call.output_tokens for call in example.calls]
    return float(sum(count if count is not None else np.nan for count in counts))


def value(view: View, column: Floats, succeeded: Floats) -> float:
    """The objective's own value from one team's rows; infinite where nothing succeeded."""
    match view.statistic:
        case "mean":
            return float(column.mean())
        case "p50":
            return float(np.median(column))
        case "p95":
            return float(np.quantile(column, 0.95))
        case "per success":
            return float(column.sum() / succeeded.sum()) if succeeded.any() else np.inf
