"""What several test modules use. Everything here makes real files and real objects; nothing is patched."""

import copy
import importlib.util
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

#: The repository's root.
ROOT = Path(__file__).resolve().parents[1]


def module_at(path: str) -> ModuleType:
    """A Python file of the repository that is in no package, as a module."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


STUDY: dict[str, Any] = {
    "name": "small",
    "task": {"data": "data.jsonl", "scorer": "exact", "confirm": 0.25, "max_tokens": 16},
    "models": ["small", "large"],
    "engine": {"fake": {"data": "data.jsonl", "accuracy": {"small": 0.55, "large": 0.9}}},
    "search": {
        "single": {"model": "any"},
        "vote": {"agents": [2, 5], "model": "any", "temperature": [0.3, 1.0]},
        "cascade": {"first": "small", "then": "large", "votes": [2, 3], "agreement": 1.0},
    },
    "objectives": {"quality": "maximize", "calls": "minimize"},
    "measure": {"examples": 12, "block": 4, "concurrency": 4, "deadline_s": 20},
    "budget": {"trials": 6},
    "seed": 3,
}


#: Every team is measured whole, one after the other, and every call is sent: what happens when is known beforehand.
WHOLE: dict[str, Any] = {"sampler": "tpe", "measure": {"stop_error": 0, "reuse": False}}


def write_study(folder: Path, *, examples: int = 20, whole: bool = False, **changes: Any) -> Path:
    """Write ``study.yaml`` and ``data.jsonl``; ``changes`` are merged into ``STUDY``, None removes a key.

    ``whole`` lays ``WHOLE`` between the two.
    """
    rows = [{"id": f"q{i}", "question": f"What is {i} + {i}?", "answer": str(2 * i)} for i in range(examples)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(merged(merged(STUDY, WHOLE if whole else {}), changes), sort_keys=False))
    return path


@contextmanager
def quick_folder() -> Iterator[Path]:
    """A folder that is gone afterwards; in memory where there is room, since a study syncs to disk very often."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > 2**28
    with tempfile.TemporaryDirectory(dir=memory if roomy else None, prefix="orkester-test-") as folder:
        yield Path(folder)


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with ``changes`` laid over it, mapping by mapping; ``search`` and ``engine`` are replaced whole."""
    result = copy.deepcopy(dict(base))
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(result.get(key), dict) and key not in {"search", "engine"}:
            result[key] = merged(result[key], value)
        else:
            result[key] = value
    return result
