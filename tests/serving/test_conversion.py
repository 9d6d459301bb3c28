"""GGUF weights for vLLM: what llama.cpp says of them is real, what vLLM's Python makes of them is scripted here.

The real conversion needs vLLM's environment: tests/vllm has it.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import ROOT

from orkester.errors import ModelError
from orkester.serving.engines._template import with_bos_token
from orkester.serving.environments import convert
from orkester.serving.environments._pins import CONVERTER
from orkester.serving.environments._reference import reference

GGUF = ROOT / "examples/models/arithmetic-80k/arithmetic-80k.gguf"
FOLDER = GGUF.parent

#: Stands for the Python of vLLM's environment: notes that it was called, writes a file, and says what it is told to.
_PYTHON = """#!{python}
import json, pathlib, sys
options = json.loads(sys.argv[2])
with open({calls!r}, "a") as file:
    file.write(json.dumps(options) + "\\n")
(pathlib.Path(options["target"]) / "config.json").write_text("{{}}")
print("as libraries do", file=sys.stderr)
for line in {lines!r}:
    print(json.dumps(line), flush=True)
sys.exit({code})
"""
GOOD = {"agreed": 8, "asked": 8, "cut_otherwise": []}


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def calls(tmp_path: Path) -> Callable[[], list[dict[str, Any]]]:
    """What the stand-in was asked, each time."""
    path = tmp_path / "calls"
    return lambda: [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def python(tmp_path: Path) -> Callable[..., Path]:
    def write(*lines: object, code: int = 0) -> Path:
        path = tmp_path / "python"
        path.write_text(
            _PYTHON.format(python=sys.executable, calls=str(tmp_path / "calls"), lines=list(lines), code=code)
        )
        path.chmod(0o755)
        return path

    return write


def folders(cache: Path) -> list[str]:
    return sorted(path.name for path in (cache / "converted").iterdir() if path.is_dir())


def test_llama_cpp_is_the_measure(tmp_path: Path) -> None:
    found = reference(GGUF, tmp_path / "log")
    assert found["bos"] is None  # its chat template has the token instead
    texts = [each["text"] for each in found["texts"]]
    assert texts == ["What is 12 + 34?", "<s>What is 12 + 34?\n", "<s>What is 50 - 27?\n"]
    vocabulary = json.loads((FOLDER / "tokenizer.json").read_text())["model"]["vocab"]
    assert found["texts"][1]["prompt"] == [vocabulary[token] for token in ["<s>", *"What is 12 + 34?\n"]]
    assert found["texts"][1]["answer"] == [vocabulary[token] for token in ["4", "6", "</s>"]]


def test_what_llama_cpp_cannot_read_is_not_converted(tmp_path: Path, cache: Path, python: Callable[..., Path]) -> None:
    (tmp_path / "broken.gguf").write_bytes(b"GGUF, or so it says")
    with pytest.raises(ModelError, match=rf"llama\.cpp cannot read {tmp_path}/broken\.gguf:\n  "):
        convert(tmp_path / "broken.gguf", python(GOOD), cache, print)
    assert folders(cache) == []


def test_it_is_done_once_and_found_by_its_content(
    tmp_path: Path, cache: Path, python: Callable[..., Path], calls: Callable[[], list[dict[str, Any]]]
) -> None:
    said: list[str] = []
    engine = python({"say": "reading the weights"}, GOOD)
    folder = convert(GGUF, engine, cache, said.append)
    assert folder == cache / "converted" / "arithmetic-80k-718812e888ceebfa"
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "orkester.json"]
    assert json.loads((folder / "orkester.json").read_text())["agreed_tokens"] == 8
    assert said == [
        "converting arithmetic-80k for vLLM (0 MB of GGUF)",
        "  reading the weights",
        f"arithmetic-80k is converted: {folder}",
    ]
    (asked,) = calls()
    assert asked["weights"] == str(GGUF)
    assert len(asked["reference"]["texts"]) == 3
    assert Path(asked["target"]).parent == folder.parent

    said.clear()
    assert convert(GGUF, engine, cache, said.append) == folder
    assert (said, len(calls())) == ([], 1)

    # As the catalogue calls what it fetched.
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "weights.gguf").symlink_to(GGUF)
    assert convert(tmp_path / "tiny" / "weights.gguf", engine, cache, said.append).name == "tiny-718812e888ceebfa"


_MISSING = (
    r"arithmetic-80k is GGUF, and the Python for its conversion lacks the package gguf; "
    r"install it with: \S+/python -m pip install "
    rf"'{CONVERTER[0]}' '{CONVERTER[1]}'"
)
_REMEDY = r" Use engine: llamacpp for it, or name the same model in safetensors: hf:org/name or a folder$"


@pytest.mark.parametrize(
    ("lines", "code", "said"),
    [
        (
            [GOOD | {"agreed": 5}],
            0,
            r"of 8 tokens that llama\.cpp answers, the converted model predicts only 5\." + _REMEDY,
        ),
        (
            [GOOD | {"cut_otherwise": ["a text"]}],
            0,
            r"divides 'a text' into other tokens than llama\.cpp\." + _REMEDY,
        ),
        ([{"missing": "gguf"}], 3, _MISSING),
        ([], 1, r"could not be converted for vLLM \(exit code 1\):\n  as libraries do"),
        ([], 0, r"could not be converted for vLLM \(exit code 0\)"),
    ],
)
def test_what_is_not_right_is_refused_and_not_kept(
    lines: list[object], code: int, said: str, cache: Path, python: Callable[..., Path]
) -> None:
    with pytest.raises(ModelError, match=said):
        convert(GGUF, python(*lines, code=code), cache, print)
    assert folders(cache) == []


def test_a_few_tokens_may_turn_by_rounding(cache: Path, python: Callable[..., Path]) -> None:
    assert convert(GGUF, python(GOOD | {"agreed": 7}), cache, print).is_dir()


def test_ctrl_c_leaves_nothing_half_done(cache: Path, python: Callable[..., Path]) -> None:
    def interrupt(line: str) -> None:
        if "reading" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(GGUF, python({"say": "reading the weights"}, GOOD), cache, interrupt)
    assert folders(cache) == []


def test_what_a_killed_conversion_left_is_removed_and_said(cache: Path, python: Callable[..., Path]) -> None:
    partial = cache / "converted" / "arithmetic-80k-718812e888ceebfa.partial"
    partial.mkdir(parents=True)
    (partial / "half").touch()
    said: list[str] = []
    folder = convert(GGUF, python(GOOD), cache, said.append)
    assert said[0] == f"removing an incomplete conversion: {partial}"
    assert not (folder / "half").exists()


def test_parts_and_absent_files_are_said(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(ModelError, match=r"one of several parts.*llama-gguf-split --merge"):
        convert(tmp_path / "big-00001-of-00002.gguf", Path(sys.executable), cache, print)
    with pytest.raises(ModelError, match=r"absent\.gguf cannot be read: No such file"):
        convert(tmp_path / "absent.gguf", Path(sys.executable), cache, print)


def test_a_python_that_is_none_is_said(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(ModelError, match=r"/absent cannot be run: No such file or directory"):
        convert(GGUF, tmp_path / "absent", cache, print)
    assert folders(cache) == []


_BOS = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<bos>"}}, {"Sequence": {"id": "A"}}]}
_NONE = {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A"}}]}


@pytest.mark.parametrize(
    ("tokenizer", "config", "begins"),
    [
        ({"post_processor": _BOS}, {}, True),
        ({"post_processor": {"type": "Sequence", "processors": [{"type": "ByteLevel"}, _BOS]}}, {}, True),
        ({"post_processor": _NONE}, {"add_bos_token": True}, False),
        ({"post_processor": None}, {"add_bos_token": True}, True),
        ({"post_processor": {"type": "ByteLevel"}}, {"add_bos_token": False}, False),
        (None, None, False),
    ],
)
def test_a_template_begins_as_the_models_prompts_do(
    tokenizer: object, config: object, begins: bool, tmp_path: Path
) -> None:
    for name, content in (("tokenizer.json", tokenizer), ("tokenizer_config.json", config)):
        if content is not None:
            (tmp_path / name).write_text(json.dumps(content))
    assert with_bos_token("Q:", tmp_path) == ("{{ bos_token }}Q:" if begins else "Q:")
    assert with_bos_token("{{ bos_token }}Q:", tmp_path) == "{{ bos_token }}Q:"
