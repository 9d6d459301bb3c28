"""Data sets on the hub, against a fake hub on this machine that speaks its protocol as far as it is used."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet as pyarrow_parquet
import pytest
from serving.fake_hub import COMMIT, hub


def shard(*rows: tuple[str, str]) -> bytes:
    sink = pyarrow.BufferOutputStream()
    pyarrow_parquet.write_table(pyarrow.Table.from_pylist([{"question": q, "answer": a} for q, a in rows]), sink)
    return bytes(sink.getvalue())


@dataclass
class Reader:
    """A machine with a cache that reads from a hub."""

    address: str
    cache: Path
    close: Callable[[], None]

    def load(self, data: str, **more: str) -> dict[str, Any]:
        """``load_data`` in a process of its own, since the hub's library reads its settings when it is imported."""
        settings = {
            "HF_ENDPOINT": self.address,
            "HF_HOME": str(self.cache),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "NO_PROXY": "127.0.0.1",
        }
        done = subprocess.run(
            [sys.executable, "-c", LOAD, data],
            env={**os.environ, **settings, **more},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        loaded: dict[str, Any] = json.loads(done.stdout)
        return loaded


LOAD = """
import json, os, sys
from pathlib import Path
from orkester.errors import InputError
from orkester.evals.data import load_data
try:
    data = load_data(sys.argv[1], Path())
except InputError as error:
    print(json.dumps({"error": str(error)}))
else:
    examples = [[each.id, each.question, each.expected] for each in data.examples]
    print(json.dumps({"examples": examples, "notes": list(data.notes), "sha256": data.sha256}), flush=True)
    # pyarrow's threads abort about one process in a hundred at its end (apache/arrow#34314), after all work is done.
    os._exit(0)
"""


FILES = {
    "default/test/0000.parquet": shard(("1 + 1?", "2"), ("2 + 2?", "4")),
    "default/test/0001.parquet": shard(("3 + 3?", "6"), ("1 + 1?", "2")),
    "default/train/0000.parquet": shard(("5 + 5?", "10")),
}


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """A hub has a data set of two splits; the first one has two shards."""
    with ExitStack() as stack:
        address = stack.enter_context(hub("team/questions", FILES, kind="datasets"))
        yield Reader(address=address, cache=tmp_path, close=stack.close)


def test_a_split_is_fetched_and_its_revision_is_noted(reader: Reader) -> None:
    data = reader.load("hf:team/questions:test")
    assert data["examples"] == [["1", "1 + 1?", "2"], ["2", "2 + 2?", "4"], ["1-1", "3 + 3?", "6"]]
    assert data["notes"][0] == (
        f"data: hf:team/questions:test is at revision {COMMIT[:12]}; hf:team/questions:default:test@{COMMIT} keeps it"
    )
    assert data["notes"][1].startswith("data: 1 of 4 rows repeat a question")
    pinned = reader.load(f"hf:team/questions:default:test@{COMMIT}")
    assert (pinned["examples"], pinned["sha256"]) == (data["examples"], data["sha256"])


def test_without_a_network_the_cache_is_read(reader: Reader) -> None:
    online = reader.load("hf:team/questions:default:train")
    assert online["examples"] == [["1", "5 + 5?", "10"]]
    reader.close()
    # Without this setting, the hub's library tries for 20 seconds before it gives up.
    assert reader.load("hf:team/questions:default:train", HF_HUB_OFFLINE="1") == online


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("hf:team/questions", "has several parts; name one of them: default:test, default:train"),
        ("hf:team/questions:dev", "has no such part; it has: default:test, default:train"),
        ("hf:team/other:test", "could not be fetched: "),
        ("hf:questions", "a data set on the hub is written hf:OWNER/NAME"),
    ],
)
def test_what_cannot_be_fetched_is_said(reader: Reader, data: str, message: str) -> None:
    assert message in reader.load(data)["error"]
