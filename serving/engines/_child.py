"""A server in its own process, which always ends when Orkester's process ends."""

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
    """Runs ``python SCRIPT OPTIONS`` until it is stopped.

    The script listens on a free loopback port. When it does, it writes one line with ``{"address": …}`` to standard
    output, and nothing after that line, because nobody reads it. The script ends when its standard input is closed. The
    kernel closes it when Orkester's process ends for any reason.

    The process has its own process group. So a Ctrl-C in the terminal reaches only Orkester's process, and only the
    child's group is ever killed.

    Args:
        label: The name of the server in messages.
    """

    def __init__(self, label: str) -> None:
        self._label = label
        self._process: asyncio.subprocess.Process | None = None
        self._log: Path | None = None

    @property
    def pid(self) -> int | None:
        """The id of the running process; None if there is none."""
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
        """Start the server and wait for its first line.

        Args:
            command: The arguments of the interpreter.
            options: The options, which the script gets as JSON in its last argument.
            log: The file that takes the script's standard error.
            timeout_s: The longest time to wait.
            python: The interpreter; by default the one that runs Orkester.
            environment: Environment variables for the process, in addition to those of Orkester's process.

        Returns:
            The values in the script's first line; at least ``address`` (``http://127.0.0.1:PORT``).

        Raises:
            EngineError: The process ended, or did not write its address in time.
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
            raise EngineError(f"{self._label} was not ready after {timeout_s:g} s{log_tail(log)}") from error
        except BaseException:
            await self.stop()
            raise
        try:
            first_line: Mapping[str, Any] = json.loads(line)
        except ValueError as error:
            code = await self.stop()
            raise EngineError(f"{self._label} ended while starting (exit code {code}){log_tail(log)}") from error
        return first_line

    def alive(self) -> bool:
        """Check whether the process is running.

        Returns:
            True if it is running.
        """
        if self._process is None or self._process.returncode is not None:
            return False
        try:
            # The event loop may not know yet that the process ended. A zombie process is not alive.
            state = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return not Path("/proc").is_dir()
        return state not in {"Z", "X"}

    async def stop(self, drain_s: float = 5.0) -> int | None:
        """End the process: close its standard input, then send SIGTERM and at last SIGKILL to its group.

        Args:
            drain_s: The time to wait after each of the first two steps.

        Returns:
            The exit code; None if there was no process.
        """
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


def log_tail(log: Path) -> str:
    """Format the last lines of a log and its path, as the end of an error message.

    Args:
        log: The log file. It need not exist.

    Returns:
        Text that starts with a full stop.
    """
    try:
        with log.open(encoding="utf-8", errors="replace") as file:
            lines = [line.rstrip() for line in deque(file, maxlen=_LOG_LINES)]
    except OSError:
        lines = []
    text = "".join(f"\n  {line}" for line in lines) or "\n  (the log is empty)"
    return f". Last lines of its log:{text}\n  the whole log: {log}"


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)
