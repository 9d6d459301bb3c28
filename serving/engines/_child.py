"""A server in a process of its own, which cannot outlive us."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orkester.errors import EngineError

_LOG_LINES = 12


class ChildServer:
    """Runs ``python SCRIPT OPTIONS`` until stopped.

    The script listens on a free loopback port, writes ``{"address": …}`` as one line to standard output when it does
    (and nothing after it: nobody would read it), and ends when its standard input closes: the kernel closes it when we
    die, however we die. It has a process group of its own, so that a Ctrl-C in the terminal reaches us alone and only
    its group is ever killed.

    Args:
        what: its name for messages.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._process: asyncio.subprocess.Process | None = None
        self._log: Path | None = None

    @property
    def pid(self) -> int | None:
        """Of the running process."""
        return self._process.pid if self._process is not None else None

    async def start(
        self,
        command: Sequence[str],
        options: object,
        *,
        log: Path,
        timeout_s: float,
        python: Path | str = sys.executable,
        environment: Mapping[str, str] | None = None,
    ) -> Mapping[str, Any]:
        """Start it and return what it says of itself, ``address`` (``http://127.0.0.1:PORT``) at least.

        Args:
            command: arguments for the interpreter.
            options: given to the script as JSON.
            log: takes what it writes to standard error.
            timeout_s: how long it may take.
            python: the interpreter; ours if not given.
            environment: variables that it gets beside ours.

        Raises:
            EngineError: it ended or did not say its address in time.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = log
        with log.open("ab") as sink:
            self._process = await asyncio.create_subprocess_exec(
                str(python),
                *command,
                json.dumps(options),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=sink,
                start_new_session=True,
                env={**os.environ, **environment} if environment else None,
            )
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(timeout_s):
                line = await self._process.stdout.readline()
        except TimeoutError as error:
            await self.stop()
            raise EngineError(f"{self._what} was not ready after {timeout_s:g} s{last_words(log)}") from error
        except BaseException:
            await self.stop()
            raise
        try:
            said: Mapping[str, Any] = json.loads(line)
        except ValueError as error:
            code = await self.stop()
            raise EngineError(f"{self._what} ended while starting (exit code {code}){last_words(log)}") from error
        return said

    def alive(self) -> bool:
        """Whether the process is running."""
        if self._process is None or self._process.returncode is not None:
            return False
        try:
            # The loop may not have heard of its end yet; a zombie is not alive.
            state = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return not Path("/proc").is_dir()
        return state not in {"Z", "X"}

    async def stop(self, drain_s: float = 5.0) -> int | None:
        """End it: close its standard input, then SIGTERM to its group, then SIGKILL. Returns its exit code."""
        process, self._process = self._process, None
        if process is None:
            return None
        if process.stdin is not None:
            process.stdin.close()
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                async with asyncio.timeout(drain_s):
                    return await process.wait()
            except TimeoutError:
                _signal_group(process.pid, number)
        return await process.wait()


def last_words(log: Path) -> str:
    """The last lines of a log and its path, to end an error message with."""
    try:
        with log.open(encoding="utf-8", errors="replace") as file:
            lines = [line.rstrip() for line in deque(file, maxlen=_LOG_LINES)]
    except OSError:
        lines = []
    said = "".join(f"\n  {line}" for line in lines) or "\n  (its log is empty)"
    return f". Its log ends:{said}\n  the whole log: {log}"


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)
