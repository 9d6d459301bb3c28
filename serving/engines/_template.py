"""Chat templates for vLLM, which takes a chat's tokens from its template alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def beginning(template: str, folder: Path) -> str:
    """The template, with the token before it that this model's prompts begin with.

    llama.cpp adds that token by itself; a base model that misses it answers nonsense.

    Args:
        template: Jinja.
        folder: the model's, in Hugging Face's layout.
    """
    return template if "bos_token" in template or not _adds_bos(folder) else "{{ bos_token }}" + template


def _adds_bos(folder: Path) -> bool:
    """Whether the tokenizer puts a token before every text."""
    processor = _read(folder / "tokenizer.json").get("post_processor") or {}
    for part in processor.get("processors", [processor]):
        if part.get("type") == "TemplateProcessing":
            return "SpecialToken" in part["single"][0]
    return bool(_read(folder / "tokenizer_config.json").get("add_bos_token"))


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found
