"""Engines, one file each."""

from ._base import Endpoint, Engine, EngineOptions, loopback
from ._external import ExternalEngine, api_key
from ._fake import FakeEngine
from ._fake_script import FakeScript, Fault
from ._llamacpp import LlamaCppEngine

__all__ = [
    "Endpoint",
    "Engine",
    "EngineOptions",
    "ExternalEngine",
    "FakeEngine",
    "FakeScript",
    "Fault",
    "LlamaCppEngine",
    "api_key",
    "loopback",
]
