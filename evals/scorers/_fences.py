"""Fenced blocks of Markdown in an answer. The time is linear in the length of the text."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from typing import Final

_FENCE: Final = re.compile(r"(?P<lead>[ \t>]*)(?P<fence>`{3,}|~{3,})[ \t]*(?P<language>[\w+#.-]{0,40})")


def fenced(text: str) -> Sequence[tuple[str, str]]:
    """The fenced blocks of a text, in order; one without an end goes on to the end of the text.

    A line with a fence that is indented more than the opening one is part of the block, as in a docstring.

    Args:
        text: The text.

    Returns:
        The language after each opening fence in lower case, and what is in the block, without the indentation and the
        marks of quotation that the fence has.
    """
    found: list[tuple[str, str]] = []
    opening: re.Match[str] | None = None
    lines: list[str] = []
    for line in text.splitlines():
        fence = _FENCE.match(line)
        if opening is None:
            if fence is not None and "`" not in line[fence.end() :]:
                opening, lines = fence, []
            continue
        closes = (
            fence is not None
            and fence["fence"].startswith(opening["fence"])
            and len(fence["lead"]) <= len(opening["lead"])
            and not line[fence.end("fence") :].strip()
        )
        if closes:
            found.append((opening["language"].lower(), _body(lines, opening)))
            opening = None
        else:
            lines.append(line)
    if opening is not None:
        found.append((opening["language"].lower(), _body(lines, opening)))
    return found


def _body(lines: Sequence[str], opening: re.Match[str]) -> str:
    if ">" in opening["lead"]:
        lines = [re.sub(r"^[ \t]*>[ \t]?", "", line) for line in lines]
    body = "".join(f"{line}\n" for line in lines)
    return textwrap.dedent(body) if opening["lead"] else body
