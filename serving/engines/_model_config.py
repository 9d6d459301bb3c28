"""What a model's ``config.json`` says about the memory that serving it takes."""

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
    """Sizes of a decoder-only transformer in Hugging Face's layout.

    Attributes:
        layers, hidden, intermediate, vocabulary: as its configuration says.
        heads, kv_heads, head_size: of attention.
        tied: whether the embedding is the output matrix too.
        weight_bytes: bytes of one weight.
        longest: tokens of the longest request it was made for; 0 when it does not say.
        files_bytes: of its ``*.safetensors``; 0 when there are none (dummy weights).
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
    longest: int
    files_bytes: int

    @property
    def parameters(self) -> int:
        """How many, of a Llama-like architecture with gated feed-forward layers; norms and biases left out."""
        attention = self.hidden * self.head_size * (2 * self.heads + 2 * self.kv_heads)
        feed_forward = 3 * self.hidden * self.intermediate
        embeddings = self.vocabulary * self.hidden * (1 if self.tied else 2)
        return self.layers * (attention + feed_forward) + embeddings

    @property
    def weights_bytes(self) -> int:
        """Of all weights: what the files have, or would have."""
        return self.files_bytes or self.parameters * self.weight_bytes

    def kv_bytes(self, tokens: int, *, dtype: str = "auto") -> int:
        """Of the key-value cache for so many tokens, every layer keeping all of them.

        Args:
            tokens: how many.
            dtype: by vLLM's names; ``auto`` is the model's own.
        """
        each = 1 if dtype.startswith(("fp8", "int8")) else _BYTES.get(dtype, self.weight_bytes)
        return 2 * self.layers * self.kv_heads * self.head_size * each * tokens


def read_model_config(folder: Path) -> ModelConfig:
    """Read a folder in Hugging Face's layout.

    Raises:
        EngineError: it has no readable ``config.json``, or one that does not say the sizes.
    """
    path = folder / "config.json"
    try:
        said: Any = json.loads(path.read_text(encoding="utf-8"))
        data: Mapping[str, Any] = said.get("text_config") or said  # vision models keep their language part there
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
            longest=int(data.get("max_position_embeddings") or 0),
            files_bytes=sum(file.stat().st_size for file in folder.glob("*.safetensors")),
        )
    except FileNotFoundError as error:
        raise EngineError(f"vLLM needs a model in Hugging Face's layout, but {folder} has no config.json") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise EngineError(f"{path}: its sizes cannot be read: {type(error).__name__}: {error}") from error
