"""Contract tests for plug-ins, and scripted models for the tests of those who write plug-ins.

Needs the extra ``testing``: ``pip install 'orkester[testing]'``. A test of a topology from another package::

    from orkester.testing import Case, TopologyContract

    class TestReverse(TopologyContract):
        name = "reverse"
        cases = (Case({"model": "small"}, {"small": 2}), Case({"model": "large"}, {"large": 2}))

Each contract is a class whose tests pytest runs for every subclass whose name begins with ``Test``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .engine_contract import EngineContract, LifecycleContract
    from .meter_contract import MeterContract
    from .objective_contract import ObjectiveContract
    from .routing_contract import RoutingContract
    from .sampler_contract import SamplerContract
    from .scorer_contract import DeferredScorerContract, ScorerContract
    from .scripted import ChatCall, ScriptedModel, scripted_models
    from .tool_contract import ToolContract
    from .topology_contract import Case, TopologyContract

_HOMES = {
    "ChatCall": "scripted",
    "Case": "topology_contract",
    "DeferredScorerContract": "scorer_contract",
    "EngineContract": "engine_contract",
    "LifecycleContract": "engine_contract",
    "MeterContract": "meter_contract",
    "ObjectiveContract": "objective_contract",
    "RoutingContract": "routing_contract",
    "SamplerContract": "sampler_contract",
    "ScorerContract": "scorer_contract",
    "ScriptedModel": "scripted",
    "ToolContract": "tool_contract",
    "TopologyContract": "topology_contract",
    "scripted_models": "scripted",
}

__all__ = [
    "Case",
    "ChatCall",
    "DeferredScorerContract",
    "EngineContract",
    "LifecycleContract",
    "MeterContract",
    "ObjectiveContract",
    "RoutingContract",
    "SamplerContract",
    "ScorerContract",
    "ScriptedModel",
    "ToolContract",
    "TopologyContract",
    "scripted_models",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
