"""Python environments that vLLM runs in, apart from Orkester's own, and weights in the form it reads."""

from ._convert import convert
from ._environment import Build, VllmEnvironment
from ._install import Index, install_vllm
from ._installed import Installed, environments, find_vllm, processes_using, remove
from ._pins import suitable_build

__all__ = [
    "Build",
    "Index",
    "Installed",
    "VllmEnvironment",
    "convert",
    "environments",
    "find_vllm",
    "install_vllm",
    "processes_using",
    "remove",
    "suitable_build",
]
