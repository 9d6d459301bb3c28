"""``orkester bench energy``: joules of every model × engine × batch, measured apart from any study."""

from ._figures import FIGURES, UNITS, Cell, Figure, cells, short_name
from ._plan import Plan
from ._prompts import Prompt, built_in_prompts, load_images, load_prompts
from ._records import Benchmark, Pairing, WindowRecord
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
    "WindowRecord",
    "bench_energy",
    "built_in_prompts",
    "cells",
    "load_images",
    "load_prompts",
    "short_name",
]
