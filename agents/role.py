"""A role: how an agent works, what the agent sees, and which form its reply has."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from orkester.serving.chat import Message

#: What a role sees: the question only, the question and the last draft, or the question and all drafts.
Sees: TypeAlias = Literal["question", "last_draft", "all"]
#: The words that a role's texts may have in braces. Double braces escape a word: ``{{task}}`` becomes the text
#: ``{task}``. Braces around anything other than a single word, for example in JSON, stay as they are.
PLACEHOLDERS: Final = ("question", "drafts", "task")

_BRACES = re.compile(r"\{\{(\w+)\}\}|\{(\w+)\}")


class RoleFault(ValueError):
    """A role cannot be used.

    Attributes:
        field: The name of the wrong field of ``Role``.
        message: What is wrong with the field, and the remedy.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


@dataclass(frozen=True, kw_only=True)
class Role:
    """How an agent works. The task says what the answer must look like; the role says how to work.

    Attributes:
        name: The agent's name in records, spans and drawings. The agent's node in the graph has the same name.
        instruction: The system message. ``{question}``, ``{drafts}`` and ``{task}`` (the task's instruction) are
            filled in. A line is left out when all placeholders in it are empty.
        temperature: The sampling temperature; 0 is greedy. None: the topology decides.
        max_tokens: The most tokens of one reply. None: the task decides.
        sees: Which drafts the agent sees. ``all`` shows a list with one line for each draft; ``last_draft`` shows the
            last draft unchanged.
        drafts: The text that is added below the question when there are drafts to see, with ``{drafts}`` filled in.
            It is not used when the instruction itself has ``{drafts}``.
        output: The JSON schema of the reply. None: the reply is any text.
        answers: Whether the reply is the team's answer, or one of the replies that the answer is chosen from. If so,
            the task's instruction is added below the role's instruction, unless the role's instruction has ``{task}``.

    Raises:
        RoleFault: A placeholder is unknown, or a text shows drafts that the role does not see.
    """

    name: str
    instruction: str = ""
    temperature: float | None = None
    max_tokens: int | None = None
    sees: Sees = "question"
    drafts: str = "\nDrafts:\n{drafts}"
    output: Mapping[str, Any] | None = None
    answers: bool = True

    def __post_init__(self) -> None:
        for field, text in (("instruction", self.instruction), ("drafts", self.drafts)):
            for word in sorted(_placeholders(text)):
                if word not in PLACEHOLDERS:
                    raise RoleFault(field, _unknown(word))
        if "drafts" not in _placeholders(self.drafts):
            raise RoleFault("drafts", "needs {drafts} at the place where the drafts are inserted")
        if self.sees == "question" and "drafts" in _placeholders(self.instruction):
            message = "has {drafts}, but the role sees only the question: set sees to last_draft or all"
            raise RoleFault("instruction", message)

    @property
    def response_format(self) -> Mapping[str, Any] | None:
        """The output form in OpenAI's chat format; None if the reply is any text."""
        if self.output is None:
            return None
        return {"type": "json_schema", "json_schema": {"name": self.name, "schema": self.output, "strict": True}}

    def messages(self, question: Any, *, drafts: Sequence[str] = (), task: str = "") -> list[Message]:
        """Build the messages of one call.

        Args:
            question: Text, or OpenAI content parts, which are passed on unchanged.
            drafts: All drafts so far, the newest one last. The role's ``sees`` selects from them.
            task: The task's instruction.

        Returns:
            The system message, if there is text for one, and the user message.
        """
        system = _filled(self.instruction, self._values(question, drafts, task)).strip()
        if self.answers and "task" not in _placeholders(self.instruction):
            system = "\n\n".join(filter(None, (system, task)))
        messages: list[Message] = [{"role": "user", "content": self.content(question, drafts=drafts, task=task)}]
        if system:
            messages.insert(0, {"role": "system", "content": system})
        return messages

    def content(self, question: Any, *, drafts: Sequence[str] = (), task: str = "") -> Any:
        """Build the content of the user message: the question, and below it the drafts that the role sees.

        Args:
            question: See ``messages``.
            drafts: See ``messages``.
            task: See ``messages``.

        Returns:
            Text if the question is text, otherwise a list of OpenAI content parts.
        """
        if not drafts or self.sees == "question" or "drafts" in _placeholders(self.instruction):
            return question
        drafts_text = _filled(self.drafts, self._values(question, drafts, task))
        if isinstance(question, str):
            return question + drafts_text
        return [*question, {"type": "text", "text": drafts_text}]

    def _values(self, question: Any, drafts: Sequence[str], task: str) -> Mapping[str, str]:
        return {"question": _text_of(question), "drafts": self._visible(drafts), "task": task}

    def _visible(self, drafts: Sequence[str]) -> str:
        if not drafts or self.sees == "question":
            return ""
        if self.sees == "last_draft":
            return drafts[-1]
        return "\n".join(f"- {' '.join(draft.split())}" for draft in drafts)


def _placeholders(text: str) -> set[str]:
    return {match[2] for match in _BRACES.finditer(text) if match[2]}


def _filled(text: str, values: Mapping[str, str]) -> str:
    """The text with its placeholders filled in. There is one pass only, so braces inside a value stay as they are."""
    lines: list[str] = []
    for line in text.split("\n"):
        names = _placeholders(line)
        if not names or any(values[name] for name in names):
            lines.append(_BRACES.sub(lambda match: f"{{{match[1]}}}" if match[1] else values[match[2]], line))
    return "\n".join(lines)


def _text_of(question: Any) -> str:
    if isinstance(question, str):
        return question
    return "\n".join(str(part["text"]) for part in question if isinstance(part, Mapping) and "text" in part)


def _unknown(word: str) -> str:
    close_matches = difflib.get_close_matches(word, PLACEHOLDERS, n=1)
    hint = f" (did you mean {{{close_matches[0]}}}?)" if close_matches else ""
    all_names = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
    return f"unknown placeholder {{{word}}}{hint}. Known: {all_names}; write {{{{{word}}}}} for the text {{{word}}}"
