"""A role: how an agent works, what it is shown, and what form its reply has."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from orkester.serving.chat import Message

#: What a role sees beside the question: nothing, the last of the drafts, or all of them.
Sees: TypeAlias = Literal["question", "last_draft", "all"]
#: What stands in braces in a role's texts. ``{{task}}`` is the text ``{task}``; braces around anything but one word,
#: as JSON has them, are left as they are.
PLACEHOLDERS: Final = ("question", "drafts", "task")

_BRACES = re.compile(r"\{\{(\w+)\}\}|\{(\w+)\}")


class RoleFault(ValueError):
    """A role that cannot be used.

    Attributes:
        field: the field of ``Role`` that is wrong.
        message: what is wrong with it, and the remedy.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


@dataclass(frozen=True, kw_only=True)
class Role:
    """How an agent works. The task says what the answer must look like; the role says how to work.

    Attributes:
        name: the agent's name in records, spans and drawings: that of its node in the graph.
        instruction: system message, with ``{question}``, ``{drafts}`` and ``{task}`` (that of the task) filled in. A
            line whose placeholders all stand for nothing is left out.
        temperature: 0 is greedy; None leaves it to the topology.
        max_tokens: most tokens of one reply; None leaves it to the task.
        sees: which drafts are shown. ``all`` is a list with a line for each, ``last_draft`` the text as it is.
        drafts: stands below the question when there are drafts to see, with ``{drafts}`` filled in; unused where the
            instruction has ``{drafts}`` itself.
        output: JSON schema that the reply follows; None for any text.
        answers: whether its reply is the team's answer, or one of those that the answer is chosen from. Then the
            task's instruction stands below its own, unless its own has ``{task}``.

    Raises:
        RoleFault: a placeholder is unknown, or the role cannot see what its texts show.
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
            raise RoleFault("drafts", "needs {drafts} where the drafts are to stand")
        if self.sees == "question" and "drafts" in _placeholders(self.instruction):
            message = "has {drafts}, but the role sees the question alone: set sees to last_draft or all"
            raise RoleFault("instruction", message)

    @property
    def response_format(self) -> Mapping[str, Any] | None:
        """The output form as OpenAI's chat format has it; None for any text."""
        if self.output is None:
            return None
        return {"type": "json_schema", "json_schema": {"name": self.name, "schema": self.output, "strict": True}}

    def messages(self, question: Any, *, drafts: Sequence[str] = (), task: str = "") -> list[Message]:
        """What a model is sent.

        Args:
            question: text, or OpenAI content parts, which are passed on unchanged.
            drafts: those there are, the last one last; the role's ``sees`` chooses among them.
            task: the task's instruction.

        Returns:
            A system message where there is anything to say in it, and the user's.
        """
        system = _filled(self.instruction, self._values(question, drafts, task)).strip()
        if self.answers and "task" not in _placeholders(self.instruction):
            system = "\n\n".join(filter(None, (system, task)))
        messages: list[Message] = [{"role": "user", "content": self.content(question, drafts=drafts, task=task)}]
        if system:
            messages.insert(0, {"role": "system", "content": system})
        return messages

    def content(self, question: Any, *, drafts: Sequence[str] = (), task: str = "") -> Any:
        """The user's message: the question, with the drafts that the role sees below it.

        Args:
            question: see ``messages``.
            drafts: see ``messages``.
            task: see ``messages``.
        """
        if not drafts or self.sees == "question" or "drafts" in _placeholders(self.instruction):
            return question
        below = _filled(self.drafts, self._values(question, drafts, task))
        if isinstance(question, str):
            return question + below
        return [*question, {"type": "text", "text": below}]

    def _values(self, question: Any, drafts: Sequence[str], task: str) -> Mapping[str, str]:
        return {"question": _text_of(question), "drafts": self._seen(drafts), "task": task}

    def _seen(self, drafts: Sequence[str]) -> str:
        if not drafts or self.sees == "question":
            return ""
        if self.sees == "last_draft":
            return drafts[-1]
        return "\n".join(f"- {' '.join(draft.split())}" for draft in drafts)


def _placeholders(text: str) -> set[str]:
    return {match[2] for match in _BRACES.finditer(text) if match[2]}


def _filled(text: str, values: Mapping[str, str]) -> str:
    """The text with its placeholders filled in, in one pass: braces in a value stand for nothing but themselves."""
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
    alike = difflib.get_close_matches(word, PLACEHOLDERS, n=1)
    hint = f" (did you mean {{{alike[0]}}}?)" if alike else ""
    known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
    return f"unknown placeholder {{{word}}}{hint}. Known: {known}; write {{{{{word}}}}} for {{{word}}} as text"
