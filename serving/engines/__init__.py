"""Engines, one file each: servers that run a model.

A file whose name has no underscore in front defines ``engine``, an ``EnginePlugin``.
"""

from __future__ import annotations

from typing import Final

from orkester.registry import Registry, files_of

from ._base import Endpoint, Engine, EngineMetrics, EngineOptions, EnginePlugin, Footprint, PlainEngine, proxy_for
from ._fake_script import FakeScript, Fault
from .external import ExternalEngine, api_key, key_in_environment, variable_name_fault
from .fake import FakeEngine
from .llamacpp import LlamaCppEngine
from .vllm import Accelerator, VllmEngine

__all__ = [
    "ENGINES",
    "Accelerator",
    "Endpoint",
    "Engine",
    "EngineMetrics",
    "EngineOptions",
    "EnginePlugin",
    "ExternalEngine",
    "FakeEngine",
    "FakeScript",
    "Fault",
    "Footprint",
    "LlamaCppEngine",
    "PlainEngine",
    "VllmEngine",
    "api_key",
    "key_in_environment",
    "proxy_for",
    "variable_name_fault",
]


def _accept(_: str, loaded: object) -> EnginePlugin:
    if not isinstance(loaded, EnginePlugin):
        raise TypeError(f"is no orkester.serving.engines.EnginePlugin but {loaded!r:.60}")
    return loaded


ENGINES: Final = Registry(
    kind="engine", group="engines", built_in=files_of("orkester.serving.engines", "engine"), accept=_accept
)
