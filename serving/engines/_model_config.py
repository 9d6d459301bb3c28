"""Reads from a model's ``config.json`` the sizes that decide how much memory the model needs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orkester.errors import EngineError

_BYTES = {"float32": 4, "float": 4, "float16": 2, "bfloat16": 2, "half": 2}


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The sizes of a decoder-only transformer in Hugging Face's layout.

    Attributes:
        layers: The number of layers.
        hidden: The size of the hidden state.
        intermediate: The size of the feed-forward layers.
        vocabulary: The number of tokens in the vocabulary.
        heads: The number of attention heads.
        kv_heads: The number of heads with their own keys and values.
        head_size: The size of one attention head.
        tied: Whether the embedding matrix is also the output matrix.
        weight_bytes: The bytes of one weight.
        max_tokens: The most tokens of one request that the model was made for; 0 if the configuration has no limit.
        files_bytes: The bytes of all ``*.safetensors`` files; 0 if there are none (dummy weights).
    """

    layers: int
    hidden: int
    intermediate: int
    vocabulary: int
    heads: int
    kv_heads: int
    head_size: int
    tied: bool
    weight_bytes: int
    max_tokens: int
    files_bytes: int

    @property
    def parameters(self) -> int:
        """The number of parameters of a Llama-like model with gated feed-forward layers, without norms and biases."""
        attention = self.hidden * self.head_size * (2 * self.heads + 2 * self.kv_heads)
        feed_forward = 3 * self.hidden * self.intermediate
        embeddings = self.vocabulary * self.hidden * (1 if self.tied else 2)
        return self.layers * (attention + feed_forward) + embeddings

    @property
    def weights_bytes(self) -> int:
        """The bytes of all weights: the size of the files, or an estimate if there are no files."""
        return self.files_bytes or self.parameters * self.weight_bytes

    def kv_bytes(self, tokens: int, *, dtype: str = "auto") -> int:
        """Compute the size of the key-value cache, in which every layer keeps all tokens.

        Args:
            tokens: The number of tokens.
            dtype: The cache's data type, by vLLM's names. ``auto`` is the model's data type.

        Returns:
            Bytes.
        """
        value_bytes = 1 if dtype.startswith(("fp8", "int8")) else _BYTES.get(dtype, self.weight_bytes)
        return 2 * self.layers * self.kv_heads * self.head_size * value_bytes * tokens


def read_model_config(folder: Path) -> ModelConfig:
    """Read the sizes of a model.

    Args:
        folder: The folder with the model.

    Returns:
        The sizes.

    Raises:
        EngineError: The folder has no readable ``config.json``, or the file does not state the sizes.
    """
    path = folder / "config.json"
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
        # Vision models have the sizes of their language part in "text_config".
        data: Mapping[str, Any] = content.get("text_config") or content
        hidden, heads = int(data["hidden_size"]), int(data["num_attention_heads"])
        return ModelConfig(
            layers=int(data["num_hidden_layers"]),
            hidden=hidden,
            intermediate=int(data.get("intermediate_size") or 4 * hidden),
            vocabulary=int(data["vocab_size"]),
            heads=heads,
            kv_heads=int(data.get("num_key_value_heads") or heads),
            head_size=int(data.get("head_dim") or hidden // heads),
            tied=bool(data.get("tie_word_embeddings", False)),
            weight_bytes=_BYTES.get(str(data.get("dtype") or data.get("torch_dtype")), 2),
            max_tokens=int(data.get("max_position_embeddings") or 0),
            files_bytes=sum(file.stat().st_size for file in folder.glob("*.safetensors")),
        )
    except FileNotFoundError as error:
        raise EngineError(f"vLLM needs a model in Hugging Face's layout, but {folder} has no config.json") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise EngineError(f"{path}: the model's sizes cannot be read: {type(error).__name__}: {error}") from error
