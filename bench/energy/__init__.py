"""``orkester bench energy``: joules of every model × engine × batch, measured apart from any study."""

from ._figures import FIGURES, UNITS, Cell, Figure, cells, short
from ._plan import Plan
from ._prompts import Prompt, built_in, load_images, load_prompts
from ._records import Benchmark, Pairing, Shot
from ._run import bench_energy

__all__ = [
    "FIGURES",
    "UNITS",
    "Benchmark",
    "Cell",
    "Figure",
    "Pairing",
    "Plan",
    "Prompt",
    "Shot",
    "bench_energy",
    "built_in",
    "cells",
    "load_images",
    "load_prompts",
    "short",
]
