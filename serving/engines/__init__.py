"""Engines, one file each."""

from ._base import Endpoint, Engine, EngineMetrics, EngineOptions, Footprint, PlainEngine, loopback
from ._external import ExternalEngine, api_key
from ._fake import FakeEngine
from ._fake_script import FakeScript, Fault
from ._llamacpp import LlamaCppEngine

__all__ = [
    "Endpoint",
    "Engine",
    "EngineMetrics",
    "EngineOptions",
    "ExternalEngine",
    "FakeEngine",
    "FakeScript",
    "Fault",
    "Footprint",
    "LlamaCppEngine",
    "PlainEngine",
    "api_key",
    "loopback",
]
