"""GGUF weights as a folder in Hugging Face's layout, which is what vLLM reads."""

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
#: Least share of llama.cpp's next tokens that a sound conversion agrees with. Rounding turns a few; a tensor that is
#: taken for another, or a norm that is off by one, turns nearly all.
_AGREEMENT = 0.75


def convert(weights: Path, python: Path, cache: Path, say: Callable[[str], None]) -> Path:
    """Convert GGUF weights once; what was converted before is found by its content.

    The result is compared with llama.cpp, which reads the GGUF file itself, and refused when the two differ.

    Args:
        weights: a GGUF file.
        python: of vLLM's environment; it needs gguf and accelerate too.
        cache: takes the folder.
        say: told what happens, a line each.

    Returns:
        a folder in Hugging Face's layout, bfloat16.

    Raises:
        ModelError: it cannot be converted, or not rightly.
    """
    if re.search(r"-\d{5}-of-\d{5}\.gguf$", weights.name):
        raise ModelError(
            f"{weights.name} is one of several parts, which cannot be converted for vLLM; "
            "join them with llama.cpp's llama-gguf-split --merge, or name the model's own repository, hf:org/name"
        )
    try:
        with weights.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"{weights} cannot be read: {error.strerror}") from error
    # Weights that were fetched are all called weights.gguf, in a folder of the model's name.
    stem = weights.parent.name if weights.stem == "weights" else weights.stem
    folder = cache / "converted" / f"{stem}-{digest[:16]}"
    waiting = "another process converts these weights; waiting for it"
    with locked(folder.with_name(f"{folder.name}.lock"), say, waiting=waiting):
        if folder.exists():
            return folder
        partial = folder.with_name(f"{folder.name}.partial")
        if partial.exists():
            say(f"a conversion that was cut off is removed: {partial}")
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
    found: dict[str, Any] = {}
    with log.open("wb") as sink:
        try:
            started = subprocess.Popen(
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
    with started as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                found |= json.loads(line)
                if said := found.pop("say", ""):
                    say(f"  {said}")
            code = process.wait()
        except BaseException:
            process.terminate()
            raise
    if package := found.get("missing"):
        needed = " ".join(f"'{requirement}'" for requirement in CONVERTER)
        raise ModelError(
            f"{stem} is GGUF, and the Python that is to convert it has no {package}: {python} -m pip install {needed}"
        )
    if code or "asked" not in found:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-_LAST_LINES:]
        raise ModelError(
            f"{weights} could not be converted for vLLM (exit code {code}):" + "".join(f"\n  {each}" for each in lines)
        )
    agreed, asked = found["agreed"], found["asked"]
    remedy = "Use engine: llamacpp for it, or name the same model in safetensors: hf:org/name or a folder"
    if found["cut_otherwise"]:
        raise ModelError(
            f"{stem} cannot be converted rightly for vLLM: what was converted cuts {found['cut_otherwise'][0]!r} into "
            f"other tokens than llama.cpp does. {remedy}"
        )
    if agreed < _AGREEMENT * asked:
        raise ModelError(
            f"{stem} cannot be converted rightly for vLLM: of {asked} tokens that llama.cpp answers, what was "
            f"converted agrees with {agreed}. {remedy}"
        )
    log.unlink()
    _write(target / "orkester.json", {"source": weights.name, "agreed_tokens": agreed, "compared_tokens": asked})


def _write(path: Path, content: object) -> None:
    with path.open("w", encoding="utf-8") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
