"""What the models are asked: text or images, from a file, a folder, or as it comes with Orkester."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orkester.errors import InputError

#: Each asks for more than a few words, so that answers are as long as they may be.
_BUILT_IN = (
    "Explain how a refrigerator keeps food cold.",
    "Write a short story about a lighthouse keeper who finds a letter.",
    "List the steps to plant a tomato seedling, and say why each matters.",
    "Compare travelling by train and by aeroplane.",
    "Describe how bread is baked, from flour to loaf.",
    "What should a town think of before it builds a bridge?",
    "Explain to a child why the moon changes its shape.",
    "Write a polite letter that asks a neighbour to play music less loudly.",
    "How does a sorting algorithm that splits a list in halves work?",
    "Describe a day in the life of a harbour pilot.",
    "What are the differences between a lake, a lagoon and a fjord?",
    "Give advice to somebody who gives a speech for the first time.",
    "Explain what inflation is and whom it hurts.",
    "How do bees find their way back to the hive?",
    "Plan a weekend in a city that you know, hour by hour.",
    "Describe how a violin makes its sound.",
)
_QUESTION = "Describe this picture."
#: By the first bytes of a file: what it is, whatever it is called.
_MAGIC = ((b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF8", "image/gif"))
_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".gif", ".webp"})


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """One request.

    Attributes:
        content: of the user's message: text, or OpenAI content parts.
        answer: what is right, one text or a list of which any is; None where nobody says.
    """

    content: Any
    answer: Any = None


def built_in() -> tuple[Prompt, ...]:
    """Sixteen open questions without right answers."""
    return tuple(Prompt(content=text) for text in _BUILT_IN)


def load_prompts(path: Path) -> tuple[Prompt, ...]:
    """Read JSON lines with ``question``, and ``answer`` in all lines or in none.

    Raises:
        InputError: the file is absent, empty, or has a line that is no prompt; the message has file and line.
    """
    found = []
    for line, row in _rows(path):
        question = row.get("question")
        if not isinstance(question, (str, list)) or not question:
            raise InputError(f"{path}:{line}: the field 'question' takes text or a list of content parts")
        found.append(Prompt(content=question, answer=row.get("answer")))
    return _sound(path, found)


def load_images(path: Path) -> tuple[Prompt, ...]:
    """Pictures with questions, as OpenAI content parts.

    Args:
        path: a folder, of which every picture is asked about; or JSON lines with ``image``, a path relative to the
            file, and perhaps ``question`` and ``answer``.

    Raises:
        InputError: there is none, or what is named is no PNG, JPEG, GIF or WebP.
    """
    if path.is_dir():
        pictures = sorted(each for each in path.iterdir() if each.suffix.lower() in _SUFFIXES)
        if not pictures:
            raise InputError(f"{path}: there is no picture in this folder ({', '.join(sorted(_SUFFIXES))})")
        return tuple(Prompt(content=_parts(each, _QUESTION, str(each))) for each in pictures)
    found = []
    for line, row in _rows(path):
        name, question = row.get("image"), row.get("question", _QUESTION)
        if not isinstance(name, str) or not name:
            raise InputError(f"{path}:{line}: the field 'image' takes the path of a picture, relative to this file")
        if not isinstance(question, str) or not question:
            raise InputError(f"{path}:{line}: the field 'question' takes text, but got {question!r}")
        content = _parts(path.parent / name, question, f"{path}:{line}: {name}")
        found.append(Prompt(content=content, answer=row.get("answer")))
    return _sound(path, found)


def _parts(path: Path, question: str, where: str) -> list[dict[str, Any]]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{where}: cannot be read: {error.strerror}") from error
    kind = next((kind for magic, kind in _MAGIC if data.startswith(magic)), "")
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        kind = "image/webp"
    if not kind:
        raise InputError(f"{where}: is no PNG, JPEG, GIF or WebP; convert it to one")
    url = f"data:{kind};base64,{base64.b64encode(data).decode()}"
    return [{"type": "text", "text": question}, {"type": "image_url", "image_url": {"url": url}}]


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InputError(f"{path}: cannot be read: {why}") from error
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                row = json.loads(line)
            except ValueError as error:
                raise InputError(f"{path}:{number}: is not JSON: {error}") from error
            if not isinstance(row, dict):
                raise InputError(f"{path}:{number}: a line takes a JSON object, but got {line[:60]!r}")
            yield number, row


def _sound(path: Path, prompts: list[Prompt]) -> tuple[Prompt, ...]:
    if not prompts:
        raise InputError(f"{path}: is empty; a line takes a JSON object with a question")
    with_answer = sum(prompt.answer is not None for prompt in prompts)
    if 0 < with_answer < len(prompts):
        raise InputError(
            f"{path}: {with_answer} of {len(prompts)} lines have an answer; joules per success need one in every line: "
            "add the others, or take all out"
        )
    return tuple(prompts)
