"""Scorers, one file each: ``_NAME.py`` holds a class with the name in capitals."""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import inspect
import math
import pkgutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
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
        if options:
            raise InputError(
                f"the scorer {name!r} is a function of one's own and takes no options, but got {options!r}"
            )
        return _OwnScorer(name, _own(name, folder))
    if name not in scorers():
        near = difflib.get_close_matches(name, scorers(), n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise InputError(f"unknown scorer {name!r}{hint}. Known: {', '.join(scorers())}, or module:function")
    kind = getattr(importlib.import_module(f"{__name__}._{name}"), name.capitalize())
    if fault := _wrong_options(kind, options):
        raise InputError(f"the scorer {name!r} {fault}")
    try:
        made = kind(**options)
    except (TypeError, ValueError) as error:
        raise InputError(f"the scorer {name!r} does not take {options!r}: {error}") from error
    assert isinstance(made, Scorer)
    return made


def _wrong_options(kind: type, options: object) -> str:
    """What is wrong with the names of options; empty when nothing is."""
    known = inspect.signature(kind).parameters
    listed = ", ".join(known) or "none"
    if not isinstance(options, Mapping):
        return f"takes options as {{OPTION: VALUE}}, but got {options!r}. Options: {listed}"
    for option in options:
        if option not in known:
            near = difflib.get_close_matches(str(option), known, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            return f"has no option {option!r}{hint}. Options: {listed}"
    for option, parameter in known.items():
        if parameter.default is parameter.empty and option not in options:
            return f"needs the option {option!r}"
    return ""


def _own(name: str, folder: Path | None) -> Callable[[str, Any], object]:
    module_name, _, function_name = name.partition(":")
    try:
        module = _module(module_name, folder)
    except Exception as error:  # the module is the user's: whatever it raises is for them to read
        raise InputError(
            f"the scorer's module {module_name!r} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    found = getattr(module, function_name, None)
    if not callable(found):
        near = difflib.get_close_matches(function_name, dir(module), n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise InputError(f"the module {module_name!r} has no function {function_name!r}{hint}")
    return found  # type: ignore[no-any-return]


def _module(name: str, folder: Path | None) -> ModuleType:
    """The module of that name, from the folder if it is there."""
    if folder is None:
        return importlib.import_module(name)
    beside = folder.resolve()
    if str(beside) not in sys.path:
        sys.path.append(str(beside))  # for what the module imports; last, so that it hides nothing of ours
    file = beside / f"{name}.py"
    if not name.isidentifier() or not file.is_file():
        return importlib.import_module(name)
    # By its path and under a name of its own: two studies may each have a module of the same name.
    alias = f"_orkester_scorer_{hashlib.sha256(str(file).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(alias, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[alias] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


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
