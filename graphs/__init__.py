"""Topologies, one file each, and the teams made of them.

``from orkester.graphs import vote`` gives the module; ``vote.graph`` is a compiled LangGraph that works alone.
"""

from __future__ import annotations

import importlib
from types import ModuleType

from orkester.registry import files

from ._canonical import Canonical, Form, same_calls, temperature_of
from ._context import TeamContext
from ._knobs import Between, Knob, KnobValue, OneOf, OneOfModels, OneOfPolicies
from ._team import EngineValue, Team, TeamSettings, check_value, written
from ._topology import TOPOLOGIES, Topology, form_of, topologies, topology

__all__ = [
    "TOPOLOGIES",
    "Between",
    "Canonical",
    "EngineValue",
    "Form",
    "Knob",
    "KnobValue",
    "OneOf",
    "OneOfModels",
    "OneOfPolicies",
    "Team",
    "TeamContext",
    "TeamSettings",
    "Topology",
    "check_value",
    "form_of",
    "same_calls",
    "temperature_of",
    "topologies",
    "topology",
    "written",
]


def __getattr__(name: str) -> ModuleType:
    # LangGraph takes most of a second to import: topologies are loaded when they are asked for.
    if name in {module.rpartition(".")[2] for module in files(__name__)}:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
