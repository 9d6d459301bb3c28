"""The command ``orkester doctor``."""

from __future__ import annotations

import importlib.metadata
import sys

import typer


def doctor() -> None:
    """Show what this machine offers to a study: CPU, memory, GPU, engines, energy meters and weights.

    For each energy meter that cannot be used, it shows the reason.

    Example: `orkester doctor`
    """
    from orkester.serving import machine
    from orkester.serving.catalogue import Catalogue
    from orkester.serving.energy import available_meters

    total, available = machine.memory_bytes()
    gpus, no_gpu_reason = machine.gpus()
    catalogue = Catalogue.default()
    models = [catalogue.find(name) for name in catalogue.names]
    with_weights = [model.name for model in models if catalogue.locate(model) is not None]
    lines = {
        "cpu": f"{machine.cpu_model()}, {machine.usable_threads()} threads usable",
        "memory": f"{available / 2**30:.1f} GiB free of {total / 2**30:.1f} GiB",
        "gpu": "; ".join(map(str, gpus)) or f"none: {no_gpu_reason}",
        "llama.cpp": _version("xllamacpp"),
        "vllm": _vllm(),
        **available_meters(),
        "weights": f"{', '.join(with_weights) or 'none'}; cache: {catalogue.cache}",
    }
    for name, value in lines.items():
        typer.echo(f"{name + ':':<11}{value}")


def _vllm() -> str:
    """The vLLM that a study would use, or the command that installs one."""
    from orkester.serving.environments import environments, find_vllm

    if environment := find_vllm():
        return f"{environment}, installed by orkester engines install: {environment.python}"
    unusable = [str(each.environment or f"{each.name} (incomplete)") for each in environments()]
    note = f" (only for other machines: {', '.join(unusable)})" if unusable else ""
    try:
        version = importlib.metadata.version("vllm")
    except importlib.metadata.PackageNotFoundError:
        return f"not installed{note}; to install it, run: orkester engines install vllm"
    return (
        f"vllm {version} in Orkester's own environment{note}; to use it, set engine: {{vllm: {{python: "
        f"{sys.executable}}}}} in the study file"
    )


def _version(package: str) -> str:
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return f"{package} is not installed"
