"""Converts GGUF weights to a folder in Hugging Face's layout, which vLLM can read."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orkester.errors import ModelError

from ..cache import locked
from ._environment import quiet_variables
from ._pins import CONVERTER
from ._reference import reference

_SCRIPT = Path(__file__).parents[1] / "engines" / "_vllm_convert.py"
_LAST_LINES = 8
#: The lowest share of llama.cpp's next tokens that a correct conversion predicts too. Rounding changes a few tokens. A
#: swapped tensor, or a norm that is off by one, changes nearly all tokens.
_MIN_AGREEMENT = 0.75


def convert(weights: Path, python: Path, cache: Path, say: Callable[[str], None]) -> Path:
    """Convert GGUF weights, or return the result of an earlier conversion of the same content.

    The result is compared with llama.cpp, which reads the GGUF file directly. If the two differ, the conversion fails.

    Args:
        weights: The GGUF file.
        python: The interpreter of vLLM's environment, which needs the packages gguf and accelerate too.
        cache: The cache folder, which takes the converted folder.
        say: A function that is called with each line of progress.

    Returns:
        A folder in Hugging Face's layout with bfloat16 weights.

    Raises:
        ModelError: The weights cannot be converted, or the result differs from llama.cpp.
    """
    if re.search(r"-\d{5}-of-\d{5}\.gguf$", weights.name):
        raise ModelError(
            f"{weights.name} is one of several parts, and parts cannot be converted for vLLM; join them with "
            "llama.cpp's llama-gguf-split --merge, or name the model's repository with safetensors, hf:org/name"
        )
    try:
        with weights.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"{weights} cannot be read: {error.strerror}") from error
    # Fetched weights are always named weights.gguf, in a folder with the model's name.
    stem = weights.parent.name if weights.stem == "weights" else weights.stem
    folder = cache / "converted" / f"{stem}-{digest[:16]}"
    waiting = "another process is converting these weights; waiting for it"
    with locked(folder.with_name(f"{folder.name}.lock"), say, waiting=waiting):
        if folder.exists():
            return folder
        partial = folder.with_name(f"{folder.name}.partial")
        if partial.exists():
            say(f"removing an incomplete conversion: {partial}")
            shutil.rmtree(partial)
        say(f"converting {stem} for vLLM ({weights.stat().st_size / 1e6:,.0f} MB of GGUF)")
        try:
            partial.mkdir()
            _convert(weights, python, partial, stem, say)
            partial.replace(folder)
        except OSError as error:
            raise ModelError(f"{partial}: the conversion could not be written: {error.strerror or error}") from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    say(f"{stem} is converted: {folder}")
    return folder


def _convert(weights: Path, python: Path, target: Path, stem: str, say: Callable[[str], None]) -> None:
    log = target / "conversion.log"
    options = {"weights": str(weights.resolve()), "target": str(target), "reference": reference(weights, log)}
    result: dict[str, Any] = {}
    with log.open("wb") as sink:
        try:
            child = subprocess.Popen(
                [python, str(_SCRIPT), json.dumps(options)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=sink,
                text=True,
                env=quiet_variables(),
                cwd=target,
            )
        except OSError as error:
            raise ModelError(f"{python} cannot be run: {error.strerror}") from error
    with child as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                result |= json.loads(line)
                if progress := result.pop("say", ""):
                    say(f"  {progress}")
            code = process.wait()
        except BaseException:
            process.terminate()
            raise
    if package := result.get("missing"):
        requirements = " ".join(f"'{requirement}'" for requirement in CONVERTER)
        raise ModelError(
            f"{stem} is GGUF, and the Python for its conversion lacks the package {package}; install it with: "
            f"{python} -m pip install {requirements}"
        )
    if code or "asked" not in result:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-_LAST_LINES:]
        raise ModelError(
            f"{weights} could not be converted for vLLM (exit code {code}):" + "".join(f"\n  {each}" for each in lines)
        )
    agreed, compared = result["agreed"], result["asked"]
    remedy = "Use engine: llamacpp for it, or name the same model in safetensors: hf:org/name or a folder"
    if result["cut_otherwise"]:
        raise ModelError(
            f"{stem} cannot be converted correctly for vLLM: the converted model divides "
            f"{result['cut_otherwise'][0]!r} into other tokens than llama.cpp. {remedy}"
        )
    if agreed < _MIN_AGREEMENT * compared:
        raise ModelError(
            f"{stem} cannot be converted correctly for vLLM: of {compared} tokens that llama.cpp answers, the "
            f"converted model predicts only {agreed}. {remedy}"
        )
    log.unlink()
    _write(target / "orkester.json", {"source": weights.name, "agreed_tokens": agreed, "compared_tokens": compared})


def _write(path: Path, content: object) -> None:
    with path.open("w", encoding="utf-8") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
