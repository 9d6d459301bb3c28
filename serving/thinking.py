"""Separates the thought of a reasoning model, and left-over stop tokens, from its answer.

Models that reason write their thought before the answer, between tags. A server may send the thought in a field of its
own, or leave it in the text. Only the text after the thought is the answer. Rules:

- Only a thought at the beginning of the text is cut. Tags later in the text belong to the answer, which may be about
  XML or about chat templates.
- When the text has a closing tag without an opening one before it, the chat template has written the opening tag, and
  the text begins inside the thought. A closing tag in code (backticks or a code block) does not count.
- A thought without its end is no answer: the answer is then empty.
- A stop token is cut at the end of the text. What follows the token is cut, too, when it begins a new turn or, after a
  token that ends a document, when it is another text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from .chat import Reply, Thought

#: Names of XML-like tags around a thought. A tag may have attributes.
_TAG_NAMES: Final = (
    "think",
    "thinking",
    "thought",
    "thoughts",
    "reasoning",
    "scratchpad",
    "internal_reasoning",
    "seed:think",
    "longcat_think",
)
#: Pairs of other texts around a thought.
_PAIRS: Final[Mapping[str, str]] = {
    "[think]": "[/think]",
    "[thinking]": "[/thinking]",
    "<|begin_of_thought|>": "<|end_of_thought|>",
    "<|start_thinking|>": "<|end_thinking|>",
    "<|think|>": "<|/think|>",
    "<|inner_prefix|>": "<|inner_suffix|>",
    "◁think▷": "◁/think▷",
    "<unused94>": "<unused95>",
    "<|channel>thought": "<channel|>",
}
_OPENING_TAG: Final = rf"<(?P<name>{'|'.join(_TAG_NAMES)})(?:\s[^<>]*)?>"
_OPENING: Final = re.compile(rf"{_OPENING_TAG}|(?P<pair>{'|'.join(map(re.escape, _PAIRS))})", re.IGNORECASE)
_CLOSING: Final = re.compile(
    rf"</(?:{'|'.join(_TAG_NAMES)})\s*>|{'|'.join(map(re.escape, _PAIRS.values()))}", re.IGNORECASE
)
#: Thoughts without tags, in the fixed words of a model family. They count only with the words that end them.
_SPOKEN: Final = (
    re.compile(
        r"\s*Here(?:'s| is) my thought process:(?P<thought>.*?)Here(?:'s| is) my response:", re.DOTALL | re.IGNORECASE
    ),
    re.compile(r"\s*Here are my reasoning steps:(?P<thought>.*?)\[BEGIN FINAL RESPONSE\]", re.DOTALL),
    # The channels of gpt-oss when the server has removed the special tokens.
    re.compile(r"\s*analysis(?P<thought>.*?)assistant\s*final", re.DOTALL),
)
#: What models put around the answer that follows a thought.
_ANSWER_FRAMES: Final = (
    re.compile(r"<answer>(.*?)(?:</answer>)?", re.DOTALL | re.IGNORECASE),
    re.compile(r"<\|begin_of_solution\|>(.*?)(?:<\|end_of_solution\|>)?", re.DOTALL),
    re.compile(r"<\|START_RESPONSE\|>(.*?)(?:<\|END_RESPONSE\|>)?", re.DOTALL),
    re.compile(r"(.*?)\[END FINAL RESPONSE\]", re.DOTALL),
)

_CHANNEL: Final = re.compile(
    r"<\|channel\|>\s*(?P<channel>\w*)[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>"
    r"(?P<content>.*?)(?P<end><\|(?:end|return|call|start|channel)\|>|\Z)",
    re.DOTALL,
)
_CHANNEL_START: Final = re.compile(r"\s*(?:<\|start\|>\s*assistant\s*)?<\|channel\|>")
_LATER_FINAL: Final = re.compile(r"<\|end\|>\s*(?:<\|start\|>\s*assistant\s*)?<\|channel\|>\s*final\b")

#: The heads of the assistant's turn that a model repeats before its reply.
_TURN_HEAD: Final = re.compile(
    r"\s*(?:<\|im_start\|>\s*assistant\b|<\|start_header_id\|>\s*assistant\s*<\|end_header_id\|>"
    r"|<start_of_turn>\s*model\b|<\|assistant\|>)\s*"
)
_STOP_TOKENS: Final = (
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end|>",
    "<|return|>",
    "<|end_of_turn|>",
    "<|endofturn|>",
    "<|END_OF_TURN_TOKEN|>",
    "<|END_RESPONSE|>",
    "<end_of_turn>",
    "<end_of_utterance>",
    "<turn|>",
    "<|EOT|>",
    "</s>",
    "<pad>",
    "<|pad|>",
)
#: Stop tokens that end a document: what follows is another text.
_DOCUMENT_ENDS: Final = (
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|eos|>",
    "<|eod|>",
    "<eos>",
    "[EOS]",
    "<｜end▁of▁sentence｜>",
)
_STOP: Final = "|".join(map(re.escape, (*_STOP_TOKENS, *_DOCUMENT_ENDS)))
_DOCUMENT_END: Final = "|".join(map(re.escape, _DOCUMENT_ENDS))
_TURN_TOKEN: Final = (
    r"<\|im_start\|>|<\|start_header_id\|>|<start_of_turn>|<\|start\|>|<\|(?:user|assistant|system|human)\|>"
    r"|<\|turn>|<\|START_OF_TURN_TOKEN\|>|\[INST\]|<s>|<bos>|<\|begin_of_text\|>|<｜(?:User|Assistant)｜>"
)
_ROLE_LINE: Final = (
    r"(?:#+\s*)?(?:user|assistant|system|human|model|tool|question|q|instruction|problem|input)\b\s*(?::|\n|\Z)"
)
_STOP_AND_REST: Final = re.compile(
    # Stop tokens up to the end, or up to a new turn …
    rf"(?:{_STOP})(?:\s|{_STOP})*(?:\Z|{_TURN_TOKEN}|(?i:{_ROLE_LINE}))"
    # … or the end of a document and another text, which is not the rest of a quotation in code …
    rf"|(?:{_DOCUMENT_END})(?=[\s\w])(?!\s*[`\"'])"
    # … or a new turn without a stop token, with its role.
    r"|<\|im_start\|>(?=(?:user|system|assistant)\s*(?:\n|\Z))"
    r"|<\|start_header_id\|>(?=(?:user|system|assistant)(?:<\|end_header_id\|>|\Z))"
    r"|<start_of_turn>(?=(?:user|model)\s*(?:\n|\Z))"
)
_STRUCK_OUT: Final = re.compile(r"<s(?:\s[^<>]*)?>|<(?P<end>/)s>")
_QUOTES: Final = "`\"'"


@dataclass(frozen=True)
class SplitText:
    """The text of a reply, with the thought and the answer apart.

    Attributes:
        thought: The thought, without its tags; empty if there is none.
        answer: The answer, without left-over stop tokens and without white space around it; empty if there is none.
    """

    thought: str
    answer: str


def split_thought(text: str) -> SplitText:
    """Separate the thought and left-over stop tokens from the answer. Equal texts are always split in the same way.

    Args:
        text: The text of a reply.

    Returns:
        The thought and the answer.
    """
    if (
        "<" not in text
        and "[" not in text
        and "◁" not in text
        and not text.lstrip()[:8].startswith(("Here", "analysis"))
    ):
        return SplitText("", text.strip())  # the fast path: no tag, no token
    rest = _without_turn_head(text)
    thoughts: list[str] = []
    while (cut := _leading_thought(rest, first=not thoughts)) is not None:
        thought, rest = cut
        thoughts.append(thought)
        rest = _without_turn_head(rest)
    answer = _without_stop_tokens(rest).strip()
    if thoughts:
        answer = _without_frame(answer)
    return SplitText("\n".join(filter(None, (thought.strip() for thought in thoughts))), answer)


def server_thought(message: object) -> str:
    """The thought that a server sends apart from the text.

    Args:
        message: The message of a chat completion, as parsed JSON.

    Returns:
        The thought; empty if there is none. It is in ``reasoning_content``, ``reasoning`` or ``thinking``, or in parts
        of the content whose type is ``thinking`` or ``reasoning``.
    """
    if not isinstance(message, dict):
        return ""
    for name in ("reasoning_content", "reasoning", "thinking"):
        if text := _text_in(message.get(name)).strip():
            return text
    parts = message.get("content")
    if not isinstance(parts, list):
        return ""
    thoughts = [_text_in(part) for part in parts if isinstance(part, dict) and is_thought_part(part)]
    return "\n".join(thoughts).strip()


def is_thought_part(part: Mapping[str, object]) -> bool:
    """Whether a part of a message's content is a thought, and not text of the answer.

    Args:
        part: The part, as parsed JSON.
    """
    return part.get("type") in {"thinking", "reasoning", "reasoning_content", "redacted_thinking"}


def _text_in(value: object) -> str:
    """All text in a field: a text, an object with a text, or a list of them."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "\n".join(filter(None, map(_text_in, value)))
    if isinstance(value, dict):
        names = ("thinking", "reasoning", "reasoning_content", "text", "content", "summary")
        return next(filter(None, (_text_in(value.get(name)) for name in names)), "")
    return ""


def with_answer_only(reply: Reply, *, apart: str = "", reasoning_tokens: object = None) -> Reply:
    """Cut the thought out of a reply, and count its tokens.

    Args:
        reply: The reply, with the text as the server sent it. A reply that was cut before is not changed.
        apart: The thought that the server sent apart from the text; empty if there is none.
        reasoning_tokens: ``usage.completion_tokens_details.reasoning_tokens`` as the server reports it. A value that
            is not a positive number is not used.

    Returns:
        The reply with its answer as ``text``, and the original text as ``raw_text`` if something was cut. The tokens
        of the thought are the server's count where there is one. Otherwise they are an estimate: the share of the
        thought in the characters of the reply, times its output tokens.
    """
    if reply.raw_text is not None:
        return reply
    split = split_thought(reply.text)
    raw_text = reply.text if split.answer != reply.text else None
    reported = _positive(reasoning_tokens)
    characters = max(len(split.thought), len(apart))  # some servers send the same thought in both places
    if not characters and reported is None:
        return reply if raw_text is None else replace(reply, text=split.answer, raw_text=raw_text)
    estimate = None
    if reply.output_tokens is not None and characters:
        estimate = round(reply.output_tokens * characters / (characters + len(split.answer)))
        if split.answer:
            estimate = max(0, min(estimate, reply.output_tokens - 1))  # an answer has at least one token
    thought: Thought = "answered" if split.answer else "unanswered"
    return replace(
        reply,
        text=split.answer,
        raw_text=raw_text,
        thought=thought,
        thought_tokens=estimate if reported is None else reported,
        thought_estimated=reported is None,
    )


def _positive(value: object) -> int | None:
    """A count from a server; None if it is not a positive whole number. Some servers write it as a float or a text."""
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else 0.0
    except (ValueError, OverflowError):
        return None
    return int(number) if 1 <= number < 1e12 and number == int(number) else None


def _leading_thought(text: str, *, first: bool) -> tuple[str, str] | None:
    """The thought at the beginning of a text, and the text after it; None if the text does not begin with one.

    Args:
        text: The text.
        first: Whether this is the whole reply. Otherwise a thought was cut before it, and only an opening tag shows
            that another one follows.
    """
    if first and (_CHANNEL_START.match(text) or _LATER_FINAL.search(text)):
        return _channels(text)
    start = len(text) - len(text.lstrip())
    if opening := _OPENING.match(text, start):
        closing = _end_of_thought(text, opening)
        return (text[opening.end() :], "") if closing is None else _around(text, opening.end(), closing)
    if not first:
        return None
    for spoken in _SPOKEN:
        if match := spoken.match(text):
            return match["thought"], text[match.end() :]
    orphan = next((closing for closing in _CLOSING.finditer(text) if not _is_code(text, closing.start())), None)
    if orphan is None or any(not _is_code(text, each.start()) for each in _OPENING.finditer(text, 0, orphan.start())):
        return None
    return _around(text, 0, orphan)


def _around(text: str, start: int, closing: re.Match[str]) -> tuple[str, str]:
    return text[start : closing.start()], text[closing.end() :]


def _end_of_thought(text: str, opening: re.Match[str]) -> re.Match[str] | None:
    """The tag that ends a thought: the one that closes all tags that are open, or else the first one."""
    if pair := opening["pair"]:
        own, family = re.escape(pair), re.escape(_PAIRS[pair.lower()])
        tags = re.compile(rf"(?P<open>{own})|{family}", re.IGNORECASE)
    else:
        name = re.escape(opening["name"])
        tags = re.compile(rf"(?P<open><{name}(?:\s[^<>]*)?>)|</{name}\s*>", re.IGNORECASE)
    found = list(tags.finditer(text, opening.end()))
    in_text = [tag for tag in found if not _in_inline_code(text, tag.start())]
    depth = 1
    for tag in in_text:
        depth += 1 if tag["open"] else -1
        if depth == 0:
            return tag
    closings = [tag for tag in in_text if not tag["open"]] or [tag for tag in found if not tag["open"]]
    # A model may open a thought with one tag and close it with another: <think>…</thinking>.
    return closings[0] if closings else _CLOSING.search(text, opening.end())


def _channels(text: str) -> tuple[str, str]:
    """Split the channels of gpt-oss: ``final`` is the answer, all others are the thought."""
    thoughts: list[str] = []
    finals: list[str] = []
    channel = _CHANNEL.search(text)
    if channel is not None and not _CHANNEL_START.match(text):
        begun = _LATER_FINAL.search(text)  # the text begins inside the first channel
        thoughts.append(text[: begun.start() if begun else channel.start()])
    while channel is not None:
        (finals if channel["channel"] == "final" else thoughts).append(channel["content"])
        channel = _CHANNEL.search(text, channel.start("end"))
    # A final channel is cut at the first token of the next message, so only its content is left.
    return "\n".join(thoughts), finals[-1] if finals else ""


def _without_turn_head(text: str) -> str:
    """The text without the head of the assistant's turn, where the model or the server repeats it."""
    head = _TURN_HEAD.match(text)
    return text[head.end() :] if head else text


def _without_stop_tokens(text: str) -> str:
    position = 0
    while (stop := _STOP_AND_REST.search(text, position)) is not None:
        if not _is_code(text, stop.start()) and not _closes_struck_out(text, stop) and not _is_quoted(text, stop):
            return text[: stop.start()]
        position = stop.start() + 1
    return text


def _is_quoted(text: str, stop: re.Match[str]) -> bool:
    """Whether a token stands directly after a quotation mark, as in ``"<|im_end|>"``, and not at the very end."""
    before = text[: stop.start()][-1:]
    return bool(before) and before in _QUOTES and bool(text[stop.end() :].strip())


def _closes_struck_out(text: str, stop: re.Match[str]) -> bool:
    """Whether ``</s>`` closes the HTML tag ``<s>``, and so is not a stop token."""
    if not stop[0].startswith("</s>"):
        return False
    depth = 0
    for tag in _STRUCK_OUT.finditer(text, 0, stop.start()):
        depth = max(0, depth - 1) if tag["end"] else depth + 1
    return depth > 0


def _without_frame(answer: str) -> str:
    """The answer without the tags that a model puts around all of it after a thought."""
    for frame in _ANSWER_FRAMES:
        if match := frame.fullmatch(answer):
            return match[1].strip()
    return answer


def _is_code(text: str, position: int) -> bool:
    """Whether a position is in a code block or in inline code."""
    blocks = len(re.findall(r"^\s*```", text[:position], re.MULTILINE))
    return blocks % 2 == 1 or _in_inline_code(text, position)


def _in_inline_code(text: str, position: int) -> bool:
    line = text[text.rfind("\n", 0, position) + 1 : position]
    return line.replace("```", "").count("`") % 2 == 1
