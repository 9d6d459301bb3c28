"""The words of a server about an error, for messages and records: short, and without secrets."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import quote

#: The most characters of a server's words that are kept.
MAX_CHARACTERS: Final = 300
_HIDDEN: Final = "[key]"
#: A secret shorter than this is not looked for, because it would be part of many harmless words.
_SHORTEST_SECRET: Final = 4
#: Texts that are secrets wherever they appear: the fixed beginnings of the keys of well-known services, JSON web tokens
#: and keys of AWS.
_KEY: Final = (
    r"\bsk-[A-Za-z0-9*._-]{6,}"
    r"|\b(?:sk|rk|pk|gsk|hf|ghp|gho|github_pat|xai|nvapi|pplx|r8|tgp|csk)[-_]"
    r"(?=[A-Za-z0-9*._-]*[0-9*])[A-Za-z0-9*._-]{16,}"
    r"|\bAIza[A-Za-z0-9_-]{20,}"
    r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?"
    r"|\bAKIA[A-Z0-9]{12,}"
)
_NAMES: Final = (
    r"(?:x-)?api[-_ ]?key|access[-_]?token|auth[-_]?token|client[-_]?secret|secret[-_]?key|password|authorization"
)
_PATTERNS: Final = (
    (re.compile(_KEY), _HIDDEN),
    (re.compile(r"(?i)\b(bearer|basic)\s+(?!\[key\])[A-Za-z0-9+/=*._~-]{8,}"), rf"\1 {_HIDDEN}"),
    (
        re.compile(rf"(?i)\b({_NAMES})([\"']?\s*[:=]\s*[\"']?)(?!\[key\]|bearer\b|basic\b)[^\s\"',;&<>}}]+"),
        rf"\1\2{_HIDDEN}",
    ),
    (re.compile(r"(?i)([?&](?:key|token|sig|signature|code)=)[^\s&\"'<>]+"), rf"\1{_HIDDEN}"),
    (re.compile(r"(://)[^\s/@\"'<>]+@"), rf"\1{_HIDDEN}@"),
)
_TAG: Final = re.compile(r"(?is)<(script|style)\b.*?</\1\s*>|<!--.*?-->|<[^>]*>")
_TITLE: Final = re.compile(r"(?is)<title[^>]*>(.*?)</title>")
#: The digits, hexadecimal ids and quoted values that differ between errors with the same cause.
_VARYING: Final = re.compile(
    r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"
    r"|\b(?:req|chatcmpl|cmpl|org|run|trace|call|msg|gen)[-_][A-Za-z0-9_-]{4,}"
    r"|\b(?=[0-9a-z]*[0-9])(?=[0-9a-z]*[a-z])[0-9a-z]{10,}\b"
    r"|(?<!\d)(?<!http )\d+(?:[.,:]\d+)*",
    re.IGNORECASE,
)


def without_secrets(text: str, secrets: Iterable[str] = ()) -> str:
    """Replace secrets in a text.

    Args:
        text: The text.
        secrets: Secrets that are known, such as the key of the endpoint.

    Returns:
        The text. The known secrets, texts that look like keys, passwords in addresses and the values of headers and
        parameters for keys are replaced by ``[key]``.
    """
    for secret in secrets:
        if len(secret) >= _SHORTEST_SECRET:
            for form in {secret, quote(secret, safe=""), json.dumps(secret)[1:-1]}:
                text = text.replace(form, _HIDDEN)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def shortened(text: str, secrets: Iterable[str] = ()) -> str:
    """Write a text on one line, without secrets, and with at most ``MAX_CHARACTERS`` characters.

    Args:
        text: The text.
        secrets: See ``without_secrets``.
    """
    # Only the beginning is looked at, because a page may have megabytes. A secret is much shorter than the rest.
    text = without_secrets(" ".join(text[: 20 * MAX_CHARACTERS].split()), secrets)
    text = "".join(character if character.isprintable() else "�" for character in text)
    return text if len(text) <= MAX_CHARACTERS else text[: MAX_CHARACTERS - 1] + "…"


def server_words(body: bytes, secrets: Iterable[str] = ()) -> str:
    """Find the message in the body of an answer that is not a completion.

    Args:
        body: The body: a JSON error in one of the usual forms, an HTML page, or text.
        secrets: See ``without_secrets``.

    Returns:
        The message, shortened and without secrets; empty if the body is empty.
    """
    try:
        found = message_in(json.loads(body))
    except (ValueError, RecursionError):
        found = ""
    if not found:
        text = body.decode("utf-8-sig", errors="replace")
        found = _page_text(text) if text.lstrip()[:1] == "<" else text
    return shortened(found, secrets)


def message_in(error: object) -> str:
    """Find the message in an error as parsed JSON.

    Args:
        error: A text, ``{"error": …}``, ``{"message": …}``, ``{"detail": …}`` or a list of such values.

    Returns:
        The message; empty if there is none.
    """
    return _message(error, depth=4)


def same_cause(words: str) -> str:
    """Reduce an error message to its cause: numbers and ids, which differ from call to call, are replaced.

    Args:
        words: The message, perhaps with the kind of failure before it: an HTTP status is kept.

    Returns:
        A text that is equal for messages with the same cause.
    """
    return _VARYING.sub("#", words)


def _message(error: object, depth: int) -> str:
    if isinstance(error, str):
        return error.strip()
    if depth == 0:
        return ""
    if isinstance(error, list):
        parts = [_message(part, depth - 1) for part in error[:3]]
        return "; ".join(part for part in parts if part)
    if not isinstance(error, Mapping):
        return ""
    found = ""
    for name in ("error", "message", "msg", "detail", "errors", "description", "title", "reason"):
        if found := _message(error.get(name), depth - 1):
            break
    # FastAPI and OpenAI name the parameter apart from the message.
    place, parameter = error.get("loc"), error.get("param")
    if found and isinstance(place, list) and place:
        found = f"{'.'.join(str(part) for part in place if part != 'body')}: {found}"
    elif found and isinstance(parameter, str) and parameter and parameter not in found:
        found = f"{found} (parameter {parameter!r})"
    # OpenRouter keeps the words of the server behind it apart; its own are then "Provider returned error".
    metadata = error.get("metadata")
    if isinstance(metadata, Mapping) and isinstance(raw := metadata.get("raw"), str) and raw.strip():
        try:
            inner = message_in(json.loads(raw)) or raw
        except (ValueError, RecursionError):
            inner = raw
        found = f"{found}: {inner}" if found else inner
    return found


def _page_text(page: str) -> str:
    """The title and the text of an HTML page, without tags."""
    title = _TITLE.search(page[:20_000])
    text = " ".join(_TAG.sub(" ", _TITLE.sub(" ", page[:20_000])).split())
    heading = " ".join(title[1].split()) if title else ""
    return f"an HTML page: {f'{heading}: {text}' if heading and text and heading not in text else text or heading}"
