"""Scorers, one file each: ``_NAME.py`` holds a class with the name in capitals."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import math
import pkgutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from orkester.errors import InputError

from ._base import Scorer, plain_text

__all__ = ["Scorer", "plain_text", "scorer", "scorers"]


def scorers() -> Sequence[str]:
    """Names of the scorers that come with Orkester."""
    found = (module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]))
    return sorted(name.removeprefix("_") for name in found if name != "_base")


def scorer(spec: str | Mapping[str, Any], *, folder: Path | None = None) -> Scorer:
    """The scorer a study file asks for.

    Args:
        spec: a name; ``{name: {option: value}}``; or ``module:function`` for one's own, called with the answer and
            what was expected, giving a number from 0 to 1 or a bool.
        folder: searched first for the module of one's own.

    Raises:
        InputError: there is no such scorer, or it does not take these options.
    """
    if isinstance(spec, str):
        name, options = spec, dict[str, Any]()
    elif len(spec) == 1:
        name, options = next(iter(spec.items()))
        options = options or {}
    else:
        raise InputError(f"a scorer is a name or {{name: {{option: value}}}}, but got {dict(spec)!r}")
    if ":" in name:
        return _OwnScorer(name, _own(name, folder))
    if name not in scorers():
        near = difflib.get_close_matches(name, scorers(), n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise InputError(f"unknown scorer {name!r}{hint}. Known: {', '.join(scorers())}, or module:function")
    kind = getattr(importlib.import_module(f"{__name__}._{name}"), name.capitalize())
    try:
        made = kind(**options)
    except (TypeError, ValueError) as error:
        raise InputError(f"the scorer {name!r} does not take {options!r}: {error}") from error
    assert isinstance(made, Scorer)
    return made


def _own(name: str, folder: Path | None) -> Callable[[str, Any], object]:
    module_name, _, function_name = name.partition(":")
    if folder is not None:
        beside = str(folder.resolve())
        if beside not in sys.path:
            sys.path.insert(0, beside)
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise InputError(f"the scorer's module {module_name!r} cannot be imported: {error}") from error
    found = getattr(module, function_name, None)
    if not callable(found):
        near = difflib.get_close_matches(function_name, dir(module), n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise InputError(f"the module {module_name!r} has no function {function_name!r}{hint}")
    return found  # type: ignore[no-any-return]


class _OwnScorer:
    """A function of the user's."""

    version = "own"

    def __init__(self, name: str, function: Callable[[str, Any], object]) -> None:
        self.name = name
        self._function = function

    def score(self, answer: str, expected: Any) -> float:
        try:
            value = float(self._function(answer, expected))  # type: ignore[arg-type]
        except Exception as error:
            raise InputError(f"the scorer {self.name} failed on the answer {answer[:80]!r}: {error!r}") from error
        if math.isnan(value) or not 0 <= value <= 1:
            raise InputError(f"the scorer {self.name} must give 0 to 1, but gave {value} on {answer[:80]!r}")
        return value

    def key(self, answer: str) -> str:
        return plain_text(answer)
