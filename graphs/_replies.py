"""What graphs read in replies: items of a list, and lines that begin with a word of the protocol.

Models write these in many ways: with numbers, bullets, emphasis, quotes, in small letters. Each line is looked at on
its own, and only its beginning, so the time is linear in the length of a reply.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

#: What may stand around a word or a text: emphasis, quotes, brackets, back quotes.
_MARKS: Final = " \t*_`\"'“”«»[]"
#: How many characters at the beginning of a line are looked at for a marker.
_BEGINNING: Final = 60
_LEAD: Final = re.compile(r"(?P<indent>[ \t]*)(?:>[ \t]*)*(?:#{1,6}[ \t]+)?")
_STEP: Final = r"(?:step|schritt|etapp|steg|étape|etape|paso|passo|stap|krok|шаг|步骤|ステップ)"
_NUMBERED: Final = re.compile(
    rf"(?:{_STEP}[ \t]*\d{{1,2}}[ \t]*(?:[.:)、．：]|[-–—])[ \t]+"  # Step 1: …, Step 1 - …
    rf"|[(\[]?(?:\d{{1,2}}|[a-h](?=\)))[.:)\]]+[ \t]+"  # 1. …, 1) …, (1) …, a) …; 3.14 and 10:30 have no space
    rf"|\d{{1,2}}[、．][ \t]*)",
    re.IGNORECASE,
)
_BULLET: Final = re.compile(r"[-*•–+·][ \t]+")
_LEADING_MARKS: Final = re.compile(r"[ \t>*_#`\"'“”«»\[•·–+-]*(?:\d{1,2}[.)][ \t]*)?[*_`\"'“”«»\[]*")


def items(text: str) -> Sequence[str]:
    """The items of a list in a reply: those with numbers if there are two or more, otherwise those with bullets.

    Items below others are left out, and so are marks of emphasis.

    Args:
        text: The reply.
    """
    numbered: list[tuple[int, str]] = []
    bullets: list[tuple[int, str]] = []
    for line in text.splitlines():
        lead = _LEAD.match(line)
        assert lead is not None
        indent, rest = len(lead["indent"]), line[lead.end() :].replace("**", "").replace("__", "")
        for found, marker in ((numbered, _NUMBERED), (bullets, _BULLET)):
            if (match := marker.match(rest[:_BEGINNING])) is not None:
                if item := rest[match.end() :].strip():
                    found.append((indent, item))
                break
    chosen = numbered if len(numbered) > 1 or not bullets else bullets
    outermost = min((indent for indent, _ in chosen), default=0)
    return [item for indent, item in chosen if indent == outermost]


def after_word(line: str, word: str) -> str | None:
    """What a line says after a word of the protocol with which it begins: ``a task`` of ``- **ASK:** a task``.

    Args:
        line: The line.
        word: The word, in capital letters.

    Returns:
        The text without marks around it; None when the line does not begin with the word and a colon.
    """
    lead = _LEADING_MARKS.match(line[:_BEGINNING])
    start = lead.end() if lead is not None else 0
    pattern = rf"{word}(?:[ \t]+(?:worker[ \t]*)?\d{{1,2}})?[*_`\"']*[ \t]*[:：]"
    found = re.match(pattern, line[start : start + _BEGINNING], re.IGNORECASE)
    return None if found is None else line[start + found.end() :].strip(_MARKS)


def asked(text: str, word: str) -> tuple[Sequence[str], str]:
    """The texts after a word of the protocol, a line each, and the rest of the reply.

    A line with nothing after the word takes the next line.

    Args:
        text: The reply.
        word: The word, in capital letters.
    """
    texts: list[str] = []
    rest: list[str] = []
    open_ = False
    for line in text.splitlines():
        said = after_word(line, word)
        if said is not None:
            open_ = not said
            texts += [said] if said else []
        elif open_ and line.strip(_MARKS):
            texts.append(line.strip(_MARKS))
            open_ = False
        else:
            rest.append(line)
    left = "\n".join(line for line in rest if not (texts and line.strip().startswith("```"))).strip()
    return texts, left


def with_hint(drafts: Sequence[str], hint: str) -> list[str]:
    """Drafts with a hint to who reads them, as a part of the last one, since a role may see only that.

    Args:
        drafts: The drafts.
        hint: The hint.
    """
    return [*drafts[:-1], f"{drafts[-1]}\n{hint}"] if drafts else [hint]
