"""The prompts of a benchmark: text or images, from a file, from a folder, or built in."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orkester.errors import InputError

#: Each prompt asks for a long answer, so that most answers reach ``max_tokens``.
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
#: The media types of pictures, by the first bytes of the file. The name of the file does not matter.
_MAGIC = ((b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF8", "image/gif"))
_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".gif", ".webp"})


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """The prompt of one request.

    Attributes:
        content: The content of the user's message: text, or a list of OpenAI content parts.
        answer: The right answer, or a list of right answers; None when it is not known.
    """

    content: Any
    answer: Any = None


def built_in_prompts() -> tuple[Prompt, ...]:
    """The built-in prompts: sixteen open questions without right answers."""
    return tuple(Prompt(content=text) for text in _BUILT_IN)


def load_prompts(path: Path) -> tuple[Prompt, ...]:
    """Read prompts from JSON lines with ``question`` and, in all lines or in none, ``answer``.

    Args:
        path: The file, in UTF-8.

    Returns:
        The prompts, in the order of the file.

    Raises:
        InputError: The file is missing or empty, or has a line that is not a prompt. The message contains the file and
            the line.
    """
    prompts = []
    for line, row in _rows(path):
        question = row.get("question")
        if not isinstance(question, (str, list)) or not question:
            raise InputError(f"{path}:{line}: the field 'question' must be text or a list of content parts")
        prompts.append(Prompt(content=question, answer=row.get("answer")))
    return _checked(path, prompts)


def load_images(path: Path) -> tuple[Prompt, ...]:
    """Read pictures and make prompts with OpenAI content parts.

    Args:
        path: A folder of pictures; or JSON lines with ``image``, a path relative to the file, and, if wanted,
            ``question`` and ``answer``.

    Returns:
        A prompt for each picture.

    Raises:
        InputError: There is no picture, or a file is not a PNG, JPEG, GIF or WebP picture.
    """
    if path.is_dir():
        pictures = sorted(each for each in path.iterdir() if each.suffix.lower() in _SUFFIXES)
        if not pictures:
            raise InputError(f"{path}: this folder has no picture ({', '.join(sorted(_SUFFIXES))})")
        return tuple(Prompt(content=_parts(each, _QUESTION, str(each))) for each in pictures)
    prompts = []
    for line, row in _rows(path):
        name, question = row.get("image"), row.get("question", _QUESTION)
        if not isinstance(name, str) or not name:
            raise InputError(f"{path}:{line}: the field 'image' must be the path of a picture, relative to this file")
        if not isinstance(question, str) or not question:
            raise InputError(f"{path}:{line}: the field 'question' must be text, but it is {question!r}")
        content = _parts(path.parent / name, question, f"{path}:{line}: {name}")
        prompts.append(Prompt(content=content, answer=row.get("answer")))
    return _checked(path, prompts)


def _parts(path: Path, question: str, place: str) -> list[dict[str, Any]]:
    """The content parts for a picture. ``place`` is the place for error messages."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{place}: the picture cannot be read: {error.strerror}") from error
    kind = next((kind for magic, kind in _MAGIC if data.startswith(magic)), "")
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        kind = "image/webp"
    if not kind:
        raise InputError(f"{place}: this file is not a PNG, JPEG, GIF or WebP picture; convert it to one of these")
    url = f"data:{kind};base64,{base64.b64encode(data).decode()}"
    return [{"type": "text", "text": question}, {"type": "image_url", "image_url": {"url": url}}]


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InputError(f"{path}: the file cannot be read: {reason}") from error
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                row = json.loads(line)
            except ValueError as error:
                raise InputError(f"{path}:{number}: this line is not JSON: {error}") from error
            if not isinstance(row, dict):
                raise InputError(f"{path}:{number}: each line must be a JSON object, but this is {line[:60]!r}")
            yield number, row


def _checked(path: Path, prompts: list[Prompt]) -> tuple[Prompt, ...]:
    if not prompts:
        raise InputError(f"{path}: the file is empty; write one JSON object per line, with a question")
    with_answer = sum(prompt.answer is not None for prompt in prompts)
    if 0 < with_answer < len(prompts):
        raise InputError(
            f"{path}: {with_answer} of {len(prompts)} lines have an answer, but joules per success need one in every "
            "line; add the missing answers, or remove all"
        )
    return tuple(prompts)
