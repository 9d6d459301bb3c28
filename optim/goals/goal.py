"""What a study wants: objectives with their directions, and constraints."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

Direction: TypeAlias = Literal["maximize", "minimize"]

#: What a study wants that does not say.
DEFAULT_OBJECTIVES: Final[Mapping[str, Direction]] = MappingProxyType(
    {"quality": "maximize", "latency_p50_s": "minimize", "energy_j": "minimize"}
)
#: The quantity by which teams that fail are kept off the front.
FAILURES: Final = "failure_rate"
#: Constraint that holds unless a study says otherwise: a team with failures is never on the front.
DEFAULT_CONSTRAINTS: Final[Mapping[str, str]] = MappingProxyType({FAILURES: "<= 0"})

_COMPARISON = re.compile(r"\s*(<=|>=)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*")


@dataclass(frozen=True, kw_only=True)
class Goal:
    """What a study wants.

    Attributes:
        objectives: direction by name.
        constraints: limits by name, such as ``"<= 10"``, the default one included.
    """

    objectives: Mapping[str, Direction]
    constraints: Mapping[str, str]

    @classmethod
    def of(cls, objectives: Mapping[str, Direction], constraints: Mapping[str, str]) -> Goal:
        """The goal of a study file: its constraints replace the default ones of the same name."""
        return cls(objectives=objectives, constraints={**DEFAULT_CONSTRAINTS, **constraints})


def is_limit(text: str) -> bool:
    """Whether a text is a limit such as ``"<= 10"``."""
    return _COMPARISON.fullmatch(text) is not None


def limit(text: str) -> tuple[str, float]:
    """``"<= 10"`` as ``("<=", 10.0)``.

    Raises:
        ValueError: the text is no limit.
    """
    match = _COMPARISON.fullmatch(text)
    if match is None:
        raise ValueError(f"takes '<= NUMBER' or '>= NUMBER', but got {text!r}")
    return match[1], float(match[2])


def violation(value: float, text: str) -> float:
    """How far a value is beyond a limit such as ``"<= 10"``; zero or less when the limit holds."""
    comparison, bound = limit(text)
    return value - bound if comparison == "<=" else bound - value
