"""``orkester doctor``."""

from __future__ import annotations

import importlib.metadata

import typer


def doctor() -> None:
    """Show what this machine has for a study: CPU, GPU, engines, energy meters and why not, memory, weights.

    Example: `orkester doctor`
    """
    from orkester.serving import machine
    from orkester.serving.catalogue import Catalogue
    from orkester.serving.energy import PowerModel

    total, available = machine.memory_bytes()
    gpus, no_gpu = machine.gpus()
    zones, no_rapl = machine.rapl()
    power = PowerModel()
    catalogue = Catalogue.default()
    models = [catalogue.find(name) for name in catalogue.names]
    here = [model.name for model in models if catalogue.locate(model) is not None]
    rapl = f"{', '.join(zones)} readable" if zones else no_rapl
    lines = {
        "cpu": f"{machine.cpu_model()}, {machine.usable_threads()} threads usable",
        "memory": f"{available / 2**30:.1f} GiB free of {total / 2**30:.1f} GiB",
        "gpu": "; ".join(gpus) if gpus else f"none: {no_gpu}",
        "llama.cpp": _version("xllamacpp"),
        "vllm": _version("vllm"),
        "energy": (
            f"estimate: CPU seconds × {power.active_w_per_core:g} W per busy core "
            f"({power.low_w_per_core:g} to {power.high_w_per_core:g})"
        ),
        "nvml": "not read by this version" if gpus else f"no: {no_gpu}",
        "rapl": f"not read by this version ({rapl})" if zones else f"no: {rapl}",
        "weights": f"{', '.join(here) or 'none'}; cache: {catalogue.cache}",
    }
    for name, value in lines.items():
        typer.echo(f"{name + ':':<11}{value}")


def _version(package: str) -> str:
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return f"{package} is not installed"
