"""Engines, one file each."""

from ._base import Endpoint, Engine, EngineMetrics, EngineOptions, Footprint, PlainEngine, proxy_for
from ._external import ExternalEngine, api_key
from ._fake import FakeEngine
from ._fake_script import FakeScript, Fault
from ._llamacpp import LlamaCppEngine
from ._vllm import Accelerator, VllmEngine

__all__ = [
    "Accelerator",
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
    "VllmEngine",
    "api_key",
    "proxy_for",
]
