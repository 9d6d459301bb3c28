"""Orkester finds the smallest team of agents that plays your task well.

>>> import orkester
>>> run = orkester.tune("examples/arithmetic.yaml")     # doctest: +SKIP
>>> [result.team.id for result in run.results.front]    # doctest: +SKIP

Names are loaded when they are first used, so that ``import orkester`` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import CallFailed, EngineError, EngineLost, InputError, ModelError, OrkesterError
    from .graphs import Team
    from .optim.insight.choosing import best
    from .optim.session.evaluate import evaluate
    from .optim.session.open_run import Run, open_run
    from .optim.session.study_loading import load_study
    from .optim.session.team_file import SavedTeam, load_team
    from .optim.session.tune import tune
    from .optim.study.study import Study

__version__ = "0.1.0"

_HOMES = {
    "CallFailed": "errors",
    "EngineError": "errors",
    "EngineLost": "errors",
    "InputError": "errors",
    "ModelError": "errors",
    "OrkesterError": "errors",
    "Run": "optim.session.open_run",
    "SavedTeam": "optim.session.team_file",
    "Study": "optim.study.study",
    "Team": "graphs",
    "best": "optim.insight.choosing",
    "evaluate": "optim.session.evaluate",
    "load_study": "optim.session.study_loading",
    "load_team": "optim.session.team_file",
    "open_run": "optim.session.open_run",
    "tune": "optim.session.tune",
}

__all__ = [
    "CallFailed",
    "EngineError",
    "EngineLost",
    "InputError",
    "ModelError",
    "OrkesterError",
    "Run",
    "SavedTeam",
    "Study",
    "Team",
    "best",
    "evaluate",
    "load_study",
    "load_team",
    "open_run",
    "tune",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
