"""Command lines in processes of their own, without the seconds that imports take.

One process imports everything once and then forks for each command line: real processes, with signals and exit codes.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

_SERVER = """
import json, os, sys, traceback
import aiohttp, asyncio_throttle, jinja2, langgraph.graph, optuna, rich.live
import orkester.graphs, orkester.optim.session.tune, orkester.optim.report, orkester.cli.progress
from opentelemetry.exporter.otlp.json.file import trace_exporter
from orkester.graphs import topologies, topology
from orkester.cli import main

for name in topologies():
    topology(name)
optuna.logging.disable_default_handler()
optuna.create_study(storage="sqlite://").ask()
optuna.logging.enable_default_handler()
print("ready", flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    if "wait" in asked:
        pid, status = os.waitpid(asked["wait"], os.WNOHANG)
        print(json.dumps(os.waitstatus_to_exitcode(status) if pid else None), flush=True)
        continue
    pid = os.fork()
    if pid:
        print(json.dumps(pid), flush=True)
        continue
    code = 99
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        output = os.open(asked["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir(asked["folder"])
        sys.argv = ["orkester", *asked["arguments"]]
        main()
        code = 0
    except SystemExit as error:
        code = error.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
"""


class Fork:
    """A command line that runs."""

    def __init__(self, forks: "Forks", pid: int, output: Path) -> None:
        self._forks = forks
        self._code: int | None = None
        self.pid = pid
        self._output = output

    @property
    def said(self) -> str:
        """What it has written so far, to both standard output and error."""
        return self._output.read_text() if self._output.exists() else ""

    def code(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        if self._code is None:
            self._code = self._forks.ask({"wait": self.pid})
        return self._code

    def kill(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.code() is None:
            os.kill(self.pid, number)

    def wait(self, until: Callable[[], bool] = lambda: False, *, deadline_s: float = 60.0) -> int | None:
        """Until it ends or a condition holds; its exit code."""
        end = time.monotonic() + deadline_s
        while self.code() is None and not until():
            assert time.monotonic() < end, f"nothing came of it in {deadline_s:g} s: {self.said}"
            time.sleep(0.002)
        return self.code()


class Forks:
    """Starts them. Enter it first; what still runs when it is left is killed."""

    def __enter__(self) -> "Forks":
        self._started: list[Fork] = []
        self._server = subprocess.Popen(
            [sys.executable, "-c", _SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )
        assert self._server.stdout is not None
        assert self._server.stdout.readline() == "ready\n"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        for fork in self._started:
            fork.kill(9)
        self._server.communicate(timeout=30)

    def ask(self, what: dict[str, Any]) -> Any:
        """One question to the server."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(what) + "\n")
        self._server.stdin.flush()
        return json.loads(self._server.stdout.readline())

    def orkester(self, *arguments: str, folder: Path, output: Path) -> Fork:
        """Run ``orkester ARGUMENTS`` in a folder; what it says goes to ``output``, which is emptied first."""
        output.write_text("")
        pid = self.ask({"arguments": arguments, "folder": str(folder), "output": str(output)})
        fork = Fork(self, pid, output)
        self._started.append(fork)
        return fork


def processes_with(text: str) -> Sequence[int]:
    """Processes in whose command line a text stands; those that have ended and wait to be reaped do not count."""
    found = []
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if text in command.read_text():
                found.append(int(command.parent.name))
        except OSError:
            continue  # it has ended meanwhile
    return found
