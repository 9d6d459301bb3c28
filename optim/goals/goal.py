"""The goal of a study: objectives with their directions, and constraints."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from orkester.evals.objectives.quality import QUALITY

Direction: TypeAlias = Literal["maximize", "minimize"]

#: The objectives of a study that names none.
DEFAULT_OBJECTIVES: Final[Mapping[str, Direction]] = MappingProxyType(
    {"quality": "maximize", "latency_p50_s": "minimize", "energy_j": "minimize"}
)
#: The quantity that keeps teams with failures off the front.
FAILURES: Final = "failure_rate"
#: The constraint that applies unless a study replaces it: a team with failures is never on the front.
DEFAULT_CONSTRAINTS: Final[Mapping[str, str]] = MappingProxyType({FAILURES: "<= 0"})

_COMPARISON = re.compile(r"\s*(<=|>=)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*")


@dataclass(frozen=True, kw_only=True)
class Goal:
    """The objectives and constraints of a study.

    Attributes:
        objectives: The direction of each objective, by name.
        constraints: The limits by name, such as ``"<= 10"``, with the default one.
    """

    objectives: Mapping[str, Direction]
    constraints: Mapping[str, str]

    @classmethod
    def of(cls, objectives: Mapping[str, Direction], constraints: Mapping[str, str]) -> Goal:
        """The goal of a study file: its constraints replace the default ones of the same name."""
        return cls(objectives=objectives, constraints={**DEFAULT_CONSTRAINTS, **constraints})


def quality_name(objectives: Mapping[str, Direction]) -> str:
    """The objective that counts as quality: ``quality``, or the first objective of a study that has none.

    Args:
        objectives: Direction by name, in the study's order.
    """
    return QUALITY.name if QUALITY.name in objectives else next(iter(objectives))


def is_limit(text: str) -> bool:
    """Whether a text is a limit such as ``"<= 10"``."""
    return _COMPARISON.fullmatch(text) is not None


def limit(text: str) -> tuple[str, float]:
    """Parse a limit: ``"<= 10"`` becomes ``("<=", 10.0)``.

    Raises:
        ValueError: The text is not a limit.
    """
    match = _COMPARISON.fullmatch(text)
    if match is None:
        raise ValueError(f"takes '<= NUMBER' or '>= NUMBER', but got {text!r}")
    return match[1], float(match[2])


def violation(value: float, text: str) -> float:
    """Compute how far a value is beyond a limit such as ``"<= 10"``; zero or less if the limit holds."""
    comparison, bound = limit(text)
    return value - bound if comparison == "<=" else bound - value
