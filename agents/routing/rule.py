"""The routing policy ``rule``: a pattern in the question decides."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ._base import Route, RoutingRequest, text_of


@dataclass(frozen=True)
class Rule:
    """Questions in which a pattern is found go to the first choice, and all others to the last choice.

    Attributes:
        pattern: A regular expression as in Python's ``re``. The default finds a digit.
    """

    pattern: str = r"\d"

    def __post_init__(self) -> None:
        if not isinstance(self.pattern, str) or not self.pattern:
            raise ValueError(f"pattern must be a regular expression, but is {self.pattern!r}")
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ValueError(f"pattern {self.pattern!r} is not a regular expression: {error}") from error

    def route(self, request: RoutingRequest) -> Route:
        """The first choice where the pattern is found, else the last choice; see ``RoutingPolicy``."""
        if re.search(self.pattern, text_of(request.question)):
            return Route(choice=request.choices[0], reason=f"the question has {self.pattern!r}")
        return Route(choice=request.choices[-1], reason=f"the question does not have {self.pattern!r}")


routing = Rule
