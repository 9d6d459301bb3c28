"""``orkester doctor``."""

from __future__ import annotations

import importlib.metadata
import sys

import typer


def doctor() -> None:
    """Show what this machine has for a study: CPU, GPU, engines, energy meters and why not, memory, weights.

    Example: `orkester doctor`
    """
    from orkester.serving import machine
    from orkester.serving.catalogue import Catalogue
    from orkester.serving.energy import survey

    total, available = machine.memory_bytes()
    gpus, no_gpu = machine.gpus()
    catalogue = Catalogue.default()
    models = [catalogue.find(name) for name in catalogue.names]
    here = [model.name for model in models if catalogue.locate(model) is not None]
    lines = {
        "cpu": f"{machine.cpu_model()}, {machine.usable_threads()} threads usable",
        "memory": f"{available / 2**30:.1f} GiB free of {total / 2**30:.1f} GiB",
        "gpu": "; ".join(map(str, gpus)) or f"none: {no_gpu}",
        "llama.cpp": _version("xllamacpp"),
        "vllm": _vllm(),
        **survey(),
        "weights": f"{', '.join(here) or 'none'}; cache: {catalogue.cache}",
    }
    for name, value in lines.items():
        typer.echo(f"{name + ':':<11}{value}")


def _vllm() -> str:
    """Which vLLM a study would use, or how to get one."""
    from orkester.serving.environments import environments, find_vllm

    if found := find_vllm():
        return f"{found}, installed by orkester engines install: {found.python}"
    others = [str(each.environment or f"{each.name} (cut off)") for each in environments()]
    beside = f" (for other machines: {', '.join(others)})" if others else ""
    try:
        own = importlib.metadata.version("vllm")
    except importlib.metadata.PackageNotFoundError:
        return f"not installed{beside}; orkester engines install vllm"
    return f"vllm {own} in Orkester's own environment{beside}; for it, engine: {{vllm: {{python: {sys.executable}}}}}"


def _version(package: str) -> str:
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return f"{package} is not installed"
