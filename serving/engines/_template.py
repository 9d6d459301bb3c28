"""Chat templates for vLLM. vLLM adds no token to a chat beyond those of its template."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def with_bos_token(template: str, folder: Path) -> str:
    """Return a chat template that begins with the model's first token (BOS), if the model's prompts need it.

    llama.cpp adds the token by itself. A base model answers nonsense without it.

    Args:
        template: The chat template, in Jinja.
        folder: The folder with the model, in Hugging Face's layout.

    Returns:
        The template that vLLM needs.
    """
    return template if "bos_token" in template or not _adds_bos(folder) else "{{ bos_token }}" + template


def _adds_bos(folder: Path) -> bool:
    """Whether the tokenizer puts a BOS token before every text."""
    processor = _read(folder / "tokenizer.json").get("post_processor") or {}
    for part in processor.get("processors", [processor]):
        if part.get("type") == "TemplateProcessing":
            return "SpecialToken" in part["single"][0]
    return bool(_read(folder / "tokenizer_config.json").get("add_bos_token"))


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content
