"""Headers of GGUF files: real ones, cut ones and damaged ones."""

import random
from pathlib import Path

import pytest
from support import ROOT

from orkester.errors import InputError
from orkester.serving.catalogue import Catalogue
from orkester.serving.catalogue._gguf import read_gguf

REAL = ROOT / "examples" / "models" / "arithmetic-80k" / "arithmetic-80k.gguf"


def test_a_real_file_says_its_context() -> None:
    assert read_gguf(REAL).context_tokens == 512


@pytest.mark.parametrize("share", [0.0, 0.00001, 0.0001, 0.001, 0.01, 0.05, 0.1])
def test_a_file_that_was_cut_off_is_refused(tmp_path: Path, share: float) -> None:
    whole = REAL.read_bytes()
    path = tmp_path / "cut.gguf"
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(InputError, match=r"is not a GGUF file|is a damaged GGUF file"):
        read_gguf(path)


def test_damage_is_refused_or_not_seen_but_never_a_crash(tmp_path: Path) -> None:
    rng, whole = random.Random(7), REAL.read_bytes()
    path, refused = tmp_path / "damaged.gguf", 0
    for _ in range(400):
        content = bytearray(whole)
        for _ in range(3):
            content[rng.randrange(4, 4000)] = rng.randrange(256)
        path.write_bytes(content)
        try:
            read_gguf(path)
        except InputError:
            refused += 1
    assert refused > 20


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("text.gguf", b"hello", "is not a GGUF file: it does not begin with GGUF"),
        ("cut.gguf", b"GGUF\3\0\0\0", "is a damaged GGUF file"),
        ("folder/notes.txt", b"", "is no model: it has no config.json and no GGUF file"),
        ("other.gguf/x.bin", b"", "is no model"),
    ],
)
def test_a_path_that_is_no_model_is_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        Catalogue.default().find("./" + name.split("/", maxsplit=1)[0], folder=tmp_path)
