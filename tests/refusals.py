"""What Orkester says of a study file that it refuses."""

import math
import re
from pathlib import Path
from typing import Any

import pytest

import orkester
from orkester.errors import InputError

#: What a user must never have to read.
_JARGON = re.compile(
    r"pydantic|type=|input_value|Input should|should be a valid|Part\b|dict\[|Traceback|__init__|Dictionary"
)

#: Changes that make ``support.STUDY`` one of llama.cpp, and one of an endpoint of someone else.
LLAMACPP: dict[str, Any] = {"engine": "llamacpp", "models": ["arithmetic-80k"], "search": {"single": {}}}
ELSEWHERE: dict[str, Any] = {"engine": {"base_url": "http://127.0.0.1:1/v1"}}


def refusal(path: Path) -> str:
    """What `tune` says to a study that it refuses; nothing may have been written."""
    folder = path if path.is_dir() else path.parent
    before = sorted(folder.rglob("*"))
    with pytest.raises(InputError) as raised:
        orkester.tune(path, folder / "run")
    assert sorted(folder.rglob("*")) == before
    message = str(raised.value)
    assert not _JARGON.search(message), message
    short = message.replace(str(folder), "studies")
    assert sum(math.ceil(len(line) / 100) for line in short.splitlines()) <= 24, message
    return message


def line_of(path: Path, text: str) -> int:
    """The number of the one line that is this text, or begins with it where it is a key."""
    lines = [line.strip().removeprefix("- ") for line in path.read_text().splitlines()]
    found = [i for i, line in enumerate(lines, 1) if line == text or (text.endswith(":") and line.startswith(text))]
    assert len(found) == 1, (text, found)
    return found[0]
