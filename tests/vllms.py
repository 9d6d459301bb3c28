"""What the tests on a real vLLM share."""

import os
from pathlib import Path

from support import ROOT, write_study

from orkester.serving.cache import cache_folder
from orkester.serving.engines import Accelerator, VllmEngine
from orkester.serving.environments import VllmEnvironment, find_vllm
from orkester.serving.machine import gpus
from orkester.testing.engine_contract import running

#: Where vLLM, weights and what was converted from them are kept; looked up before any test changes the variable.
CACHE = cache_folder()
#: Variable with the Python of another vLLM than the installed one.
PYTHON = "ORKESTER_TEST_VLLM_PYTHON"
#: A start on a busy machine.
START_S = 240.0
MODELS = ROOT / "examples" / "models"


def the_vllm() -> VllmEnvironment | None:
    """That of the Python in ``$ORKESTER_TEST_VLLM_PYTHON``, else the installed one."""
    if python := os.environ.get(PYTHON):
        return VllmEnvironment.at(python)
    return find_vllm(cache=CACHE)


def make_engine(vllm: VllmEnvironment, folder: Path, **options: bool | float | str) -> VllmEngine:
    """An engine with its records in a folder of the test's; ``options`` are vLLM's own."""
    accelerator = None if vllm.build == "cpu" else Accelerator(memory_bytes=gpus()[0][0].memory_bytes)
    named = {name.replace("_", "-"): value for name, value in options.items()}
    return VllmEngine(vllm, accelerator=accelerator, running=folder / "running", options=named)


def arithmetic(folder: Path, **changes: object) -> Path:
    """A study of one small real model on vLLM, on the example's data."""
    path = write_study(
        folder,
        **{
            "name": "arithmetic",
            "task": {"data": "sums.jsonl", "scorer": "numeric", "confirm": 0.25, "max_tokens": 8},
            "models": ["arithmetic-80k"],
            "engine": {"vllm": {"python": python}} if (python := os.environ.get(PYTHON)) else "vllm",
            "engine_options": {"context_tokens": 256},
            "search": {"single": {"model": "any"}, "vote": {"agents": [2, 3], "model": "any", "temperature": 0.5}},
            "objectives": {"quality": "maximize", "latency_p50_s": "minimize"},
            "measure": {"examples": 24, "block": 8, "concurrency": 4, "deadline_s": 60},
            "budget": {"trials": 3},
            **changes,
        },
    )
    rows = (ROOT / "examples" / "arithmetic.jsonl").read_text().splitlines()[:32]
    (folder / "sums.jsonl").write_text("\n".join(rows) + "\n")
    return path


def engines_of(run: Path) -> dict[int, str]:
    """Names of vLLM's processes that write into a run's logs, found by the file that is their standard error."""
    found = {}
    for link in Path("/proc").glob("[0-9]*/fd/2"):
        try:
            pid = int(link.parts[2])
            if link.readlink().is_relative_to(run.resolve() / "logs") and running(pid):
                found[pid] = Path(f"/proc/{pid}/comm").read_text().strip()
        except OSError:
            continue  # it has ended meanwhile
    return found


def workers_of(run: Path) -> list[int]:
    """Those of them that compute: workers where there are such, else the engines' cores."""
    engines = engines_of(run)
    workers = [pid for pid, name in engines.items() if name.startswith("VLLM::Worker")]
    return workers or [pid for pid, name in engines.items() if name.startswith("VLLM::Engine")]
