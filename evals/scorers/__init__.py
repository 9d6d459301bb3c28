"""Scorers, one file each: how good an answer is.

A file whose name has no underscore in front defines ``scorer``: a class that is made with the options of a study file.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

from orkester.errors import InputError
from orkester.registry import Registry, files_of, wrong_options

from ._base import Scorer, plain_text

__all__ = ["SCORERS", "Scorer", "ScoringFunction", "plain_text", "scorer", "scorers"]

#: Makes a scorer out of the options of a study file.
MakeScorer: TypeAlias = Callable[..., Scorer]


def _accept(name: str, loaded: object) -> MakeScorer:
    if inspect.isclass(loaded):
        return cast("MakeScorer", loaded)
    if isinstance(loaded, Scorer):
        return lambda: loaded
    if callable(loaded):
        return lambda: ScoringFunction(name, loaded)
    raise TypeError(f"is neither a class, nor a scorer, nor a function, but {loaded!r:.60}")


SCORERS: Final = Registry(
    kind="scorer", group="scorers", built_in=files_of("orkester.evals.scorers", "scorer"), accept=_accept
)


def scorers() -> Sequence[str]:
    """Names of the scorers: those that come with Orkester, then those of installed packages."""
    return SCORERS.names()


def scorer(spec: str | Mapping[str, Any], *, folder: Path | None = None) -> Scorer:
    """The scorer that a study file asks for.

    Args:
        spec: A name, ``{name: {option: value}}``, or in place of the name ``module:name``. What the name leads to is a
            class, which is made with the options; a ``Scorer``; or a function that takes the answer and what was
            expected, and returns a number from 0 to 1 or a bool.
        folder: Where a module is looked for first.

    Raises:
        InputError: There is no such scorer, it cannot be imported, or it does not take these options.
    """
    if isinstance(spec, str):
        name, options = spec, dict[str, Any]()
    elif len(spec) == 1:
        name, options = next(iter(spec.items()))
        options = options or {}
    else:
        raise InputError(f"a scorer is a name or {{name: {{option: value}}}}, but got {dict(spec)!r}")
    make = SCORERS.get(name, folder=folder)
    if fault := wrong_options(make, options):
        raise InputError(f"the scorer {name!r} {fault}")
    try:
        made = make(**options)
    except (TypeError, ValueError) as error:
        raise InputError(f"the scorer {name!r} does not take {options!r}: {error}") from error
    if not isinstance(made, Scorer):
        raise InputError(f"the scorer {name!r} makes no orkester.evals.scorers.Scorer but {made!r:.60}")
    return made


@dataclass(frozen=True)
class ScoringFunction:
    """A function of the user's as a scorer. Votes are compared as ``plain_text``.

    Attributes:
        name: As in the study file.
        function: Takes the answer and what was expected; returns a number from 0 to 1, or a bool.
    """

    name: str
    function: Callable[[str, Any], object]
    version: str = "own"

    def score(self, answer: str, expected: Any) -> float:
        """What the function returns.

        Raises:
            InputError: The function fails, or returns something else than 0 to 1.
        """
        try:
            value = float(self.function(answer, expected))  # type: ignore[arg-type]
        except Exception as error:
            raise InputError(f"the scorer {self.name} failed on the answer {answer[:80]!r}: {error!r}") from error
        if math.isnan(value) or not 0 <= value <= 1:
            raise InputError(f"the scorer {self.name} must give 0 to 1, but gave {value} on {answer[:80]!r}")
        return value

    def key(self, answer: str) -> str:
        """See ``Scorer.key``."""
        return plain_text(answer)
