"""Models without weights are of the size that they claim."""

import json
import runpy
from pathlib import Path

import pytest
from support import ROOT

from orkester.serving.catalogue import Catalogue
from orkester.serving.engines._model_config import read_model_config

ARCHITECTURES = sorted(path.parent for path in (ROOT / "benchmarks" / "architectures").glob("*/config.json"))


def parameters(config: dict[str, int]) -> int:
    """Of Qwen2: queries, keys and values have a bias, each layer two norms, the last one its own."""
    hidden, feed_forward = config["hidden_size"], config["intermediate_size"]
    kv = config["num_key_value_heads"] * hidden // config["num_attention_heads"]
    attention = 2 * hidden * hidden + hidden + 2 * (hidden * kv + kv)
    layer = attention + 3 * hidden * feed_forward + 2 * hidden
    embeddings = (1 if config["tie_word_embeddings"] else 2) * config["vocab_size"] * hidden
    return config["num_hidden_layers"] * layer + hidden + embeddings


def test_there_are_four() -> None:
    assert [path.name for path in ARCHITECTURES] == ["qwen2.5-0.5b", "qwen2.5-1.5b", "qwen2.5-14b", "qwen2.5-7b"]


@pytest.mark.parametrize("folder", ARCHITECTURES, ids=lambda path: path.name)
def test_shapes_add_up_to_the_published_parameters(folder: Path) -> None:
    published = Catalogue.default().find(folder.name).parameters
    assert published is not None
    assert parameters(json.loads((folder / "config.json").read_text())) == published
    assert f"{published:,}" in (folder.parent / "README.md").read_text()
    assert read_model_config(folder).parameters == pytest.approx(published, rel=1e-3)


def test_whatever_a_random_model_says_is_text(tmp_path: Path) -> None:
    make = runpy.run_path(str(ROOT / "benchmarks" / "_vllm.py"))["without_weights"]
    folder = make("qwen2.5-0.5b", tmp_path)
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    assert sorted(vocabulary.values()) == list(range(151936))
    assert all(vocabulary)
    assert not list(folder.glob("*.safetensors"))
