"""Data sets on the hub, against a fake hub on this machine that speaks its protocol as far as it is used."""

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow
import pyarrow.parquet as pyarrow_parquet
import pytest

COMMIT = "1234567890abcdef1234567890abcdef12345678"
REPOSITORY = "team/questions"


class FakeHub(BaseHTTPRequestHandler):
    """Serves the files of one data set, of one revision."""

    files: Mapping[str, bytes]

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        headers = {"X-Repo-Commit": COMMIT}
        if re.fullmatch(rf"/api/datasets/{REPOSITORY}/tree/.*", path):
            content = json.dumps(
                [{"type": "file", "path": name, "size": len(data), "oid": "0"} for name, data in self.files.items()]
            ).encode()
        elif re.fullmatch(rf"/api/datasets/{REPOSITORY}(/revision/.*)?", path):
            siblings = [{"rfilename": name} for name in self.files]
            content = json.dumps({"id": REPOSITORY, "sha": COMMIT, "siblings": siblings}).encode()
        elif (name := path.partition("/resolve/")[2].partition(COMMIT + "/")[2]) in self.files:
            content = self.files[name]
            headers["ETag"] = f'"{hashlib.sha256(content).hexdigest()}"'
        else:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        for key, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        if body:
            self.wfile.write(content)


def shard(*rows: tuple[str, str]) -> bytes:
    sink = pyarrow.BufferOutputStream()
    pyarrow_parquet.write_table(pyarrow.Table.from_pylist([{"question": q, "answer": a} for q, a in rows]), sink)
    return bytes(sink.getvalue())


@dataclass
class Hub:
    """A fake hub, and a machine with a cache that reads from it."""

    server: ThreadingHTTPServer
    cache: Path

    def load(self, data: str, **more: str) -> dict[str, Any]:
        """``load_data`` in a process of its own, since the hub's library reads its settings when it is imported."""
        settings = {
            "HF_ENDPOINT": f"http://127.0.0.1:{self.server.server_port}",
            "HF_HOME": str(self.cache),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }
        done = subprocess.run(
            [sys.executable, "-c", LOAD, data],
            env={**os.environ, **settings, **more, "NO_PROXY": "127.0.0.1"},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        loaded: dict[str, Any] = json.loads(done.stdout)
        return loaded

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


LOAD = """
import json, sys
from pathlib import Path
from orkester.errors import InputError
from orkester.evals.data import load_data
try:
    data = load_data(sys.argv[1], Path())
except InputError as error:
    print(json.dumps({"error": str(error)}))
else:
    examples = [[each.id, each.question, each.expected] for each in data.examples]
    print(json.dumps({"examples": examples, "notes": list(data.notes), "sha256": data.sha256}))
"""


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """A hub with a data set of two splits; the first one has two shards."""
    handler = type("Handler", (FakeHub,), {})
    handler.files = {
        "default/test/0000.parquet": shard(("1 + 1?", "2"), ("2 + 2?", "4")),
        "default/test/0001.parquet": shard(("3 + 3?", "6"), ("1 + 1?", "2")),
        "default/train/0000.parquet": shard(("5 + 5?", "10")),
    }
    started = Hub(server=ThreadingHTTPServer(("127.0.0.1", 0), handler), cache=tmp_path)
    threading.Thread(target=started.server.serve_forever, daemon=True).start()
    yield started
    started.close()


def test_a_split_is_fetched_and_its_revision_is_noted(hub: Hub) -> None:
    data = hub.load("hf:team/questions:test")
    assert data["examples"] == [["1", "1 + 1?", "2"], ["2", "2 + 2?", "4"], ["1-1", "3 + 3?", "6"]]
    assert data["notes"][0] == (
        f"data: hf:team/questions:test is at revision {COMMIT[:12]}; hf:team/questions:default:test@{COMMIT} keeps it"
    )
    assert data["notes"][1].startswith("data: 1 of 4 rows repeat a question")
    pinned = hub.load(f"hf:team/questions:default:test@{COMMIT}")
    assert (pinned["examples"], pinned["sha256"]) == (data["examples"], data["sha256"])


def test_without_a_network_the_cache_is_read(hub: Hub) -> None:
    online = hub.load("hf:team/questions:default:train")
    assert online["examples"] == [["1", "5 + 5?", "10"]]
    hub.close()
    # Without this setting, the hub's library tries for 20 seconds before it gives up.
    assert hub.load("hf:team/questions:default:train", HF_HUB_OFFLINE="1") == online


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("hf:team/questions", "has several parts; name one of them: default:test, default:train"),
        ("hf:team/questions:dev", "has no such part; it has: default:test, default:train"),
        ("hf:team/other:test", "could not be fetched: "),
        ("hf:questions", "a data set on the hub is written hf:OWNER/NAME"),
    ],
)
def test_what_cannot_be_fetched_is_said(hub: Hub, data: str, message: str) -> None:
    assert message in hub.load(data)["error"]
