"""Scorers, one file each. A scorer says how good an answer is.

Each file whose name does not start with an underscore defines ``scorer``: a class whose arguments are the options in
the study file.
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

from ._base import Scorer, accepted, written
from ._deferred import Answered, DeferredScorer, Score
from ._text import exact_text

__all__ = [
    "SCORERS",
    "Answered",
    "AnyScorer",
    "DeferredScorer",
    "Score",
    "Scorer",
    "ScoringFunction",
    "accepted",
    "exact_text",
    "needs_expected",
    "scorer",
    "scorers",
    "takes_objects",
    "written",
]

#: A scorer of either kind.
AnyScorer: TypeAlias = Scorer | DeferredScorer
#: Makes a scorer from the options in a study file.
MakeScorer: TypeAlias = Callable[..., AnyScorer]


def _accept(name: str, loaded: object) -> MakeScorer:
    if inspect.isclass(loaded):
        return cast("MakeScorer", loaded)
    if isinstance(loaded, Scorer | DeferredScorer):
        return lambda: loaded
    if callable(loaded):
        return lambda: ScoringFunction(name, loaded)
    raise TypeError(f"is not a class, a scorer or a function, but {loaded!r:.60}")


SCORERS: Final = Registry(
    kind="scorer", group="scorers", built_in=files_of("orkester.evals.scorers", "scorer"), accept=_accept
)


def scorers() -> Sequence[str]:
    """The names of the scorers: first those of Orkester, then those of installed packages."""
    return SCORERS.names()


def takes_objects(chosen: AnyScorer) -> bool:
    """Whether a right answer may be a JSON object or a list inside a list.

    That is so for ``json``, for functions, and for scorers of packages unless they have ``takes_objects = False``.
    """
    return bool(getattr(chosen, "takes_objects", True))


def needs_expected(chosen: AnyScorer) -> bool:
    """Whether each example must have a right answer. That is so unless the scorer has ``needs_expected = False``."""
    return bool(getattr(chosen, "needs_expected", True))


def scorer(spec: str | Mapping[str, Any], *, folder: Path | None = None) -> AnyScorer:
    """Make the scorer that a study file describes.

    Args:
        spec: A name, or ``{name: {option: value}}``. The name may be ``module:name``. It must refer to a class, which
            is called with the options; to a ``Scorer`` or a ``DeferredScorer``; or to a function that takes the answer
            and the right answer and returns a number from 0 to 1 or a bool.
        folder: The folder where a module is looked for first.

    Raises:
        InputError: The scorer does not exist, cannot be imported, or does not take these options.
    """
    if isinstance(spec, str):
        name, options = spec, dict[str, Any]()
    elif len(spec) == 1:
        name, options = next(iter(spec.items()))
        options = options or {}
    else:
        raise InputError(f"a scorer must be a name or {{name: {{option: value}}}}, but it is {dict(spec)!r}")
    make = SCORERS.get(name, folder=folder)
    if fault := wrong_options(make, options):
        raise InputError(f"the scorer {name!r} {fault}")
    try:
        instance = make(**options)
    except (TypeError, ValueError) as error:
        raise InputError(f"the scorer {name!r} does not take the options {options!r}: {error}") from error
    if not isinstance(instance, Scorer | DeferredScorer):
        raise InputError(f"{name!r} does not make an orkester.evals.scorers.Scorer, but {instance!r:.60}")
    return instance


@dataclass(frozen=True)
class ScoringFunction:
    """A scorer made from a function. Votes are compared in the form of ``exact``.

    Attributes:
        name: The name of the scorer in the study file.
        function: Takes the answer and the right answer; returns a number from 0 to 1, or a bool.
        version: See ``Scorer``.
    """

    name: str
    function: Callable[[str, Any], object]
    version: str = "own"

    def score(self, answer: str, expected: Any) -> float:
        """Call the function; see ``Scorer.score``.

        Raises:
            InputError: The function raises an error, or returns something else than 0 to 1.
        """
        try:
            value = float(self.function(answer, expected))  # type: ignore[arg-type]
        except Exception as error:
            raise InputError(f"the scorer {self.name} failed on the answer {answer[:80]!r}: {error!r}") from error
        if math.isnan(value) or not 0 <= value <= 1:
            raise InputError(
                f"the scorer {self.name} must return a number from 0 to 1, but returned {value} for the answer "
                f"{answer[:80]!r}"
            )
        return value

    def key(self, answer: str) -> str:
        """See ``Scorer.key``."""
        return exact_text(answer)
