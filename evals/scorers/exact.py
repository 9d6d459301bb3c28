"""The scorer ``exact``: an answer is right when it is the expected text, apart from its form."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar

from ._base import entries
from ._text import exact_text, is_json_number, number_of


@dataclass(frozen=True)
class Exact:
    """Compares texts in a form without case, space, emphasis, and punctuation at the ends; see docs/scorers.md.

    An expected number (not a text) is compared by value: ``1`` and ``1.0`` are equal.
    """

    name: ClassVar[str] = "exact"
    version: ClassVar[str] = "2"
    takes_objects: ClassVar[bool] = False

    def score(self, answer: str, expected: Any) -> float:
        """1 when the answer is one of the expected texts or numbers."""
        form = exact_text(answer)
        return float(any(_is_right(form, right) for right in entries(expected)))

    def key(self, answer: str) -> str:
        """The form of the answer."""
        return exact_text(answer)


def _is_right(form: str, right: Any) -> bool:
    wanted = exact_text(str(right))
    if is_json_number(right) and (number := number_of(form)) is not None:
        return number == (number_of(wanted) if number_of(wanted) is not None else Decimal("NaN"))
    return form == wanted and bool(wanted)


scorer = Exact
