"""Starts programs in processes of their own, and reads which of their tests pass; see ``confined``."""

from __future__ import annotations

import contextlib
import json
import math
import os
import secrets
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_SCRIPT: Final = Path(__file__).with_name("confined.py")
#: The most bytes of results that are read.
_MOST_BYTES: Final = 1 << 20


@dataclass(frozen=True, kw_only=True)
class ProgramRun:
    """A program that was run with its tests.

    Attributes:
        passed: The number of tests that passed.
        tests: The number of tests.
        error: What went wrong first, in a line; empty when nothing did.
    """

    passed: int
    tests: int
    error: str = ""


def run_tests(
    program: str,
    tests: Sequence[str],
    *,
    entry_point: str | None,
    python: str | None,
    timeout_s: float,
    memory_mb: int,
) -> ProgramRun:
    """Run a program and its tests in a process of its own. The process is ended with all that it started.

    Args:
        program: The source of the program, in Python.
        tests: The sources of the tests. Each of them sees what the program defines.
        entry_point: The function of the program that a test gets which defines ``check(candidate)``.
        python: The Python that runs it, with its packages; None for the Python of Orkester without any package.
        timeout_s: The time for the program with all its tests.
        memory_mb: The most memory of the process.

    Raises:
        OSError: The process cannot be started.
    """
    token = secrets.token_hex(16)
    folder = tempfile.mkdtemp(prefix="orkester-code-")
    try:
        asked = {
            "token": token,
            "program": program,
            "tests": list(tests),
            "entry_point": entry_point,
            "folder": folder,
            "memory_mb": memory_mb,
            "cpu_s": math.ceil(timeout_s) + 1,
        }
        command = [python, "-I"] if python else [sys.executable, "-I", "-S"]
        output, ended = _output([*command, str(_SCRIPT)], asked, folder, timeout_s)
    finally:
        _remove(folder)
    return _read(output, token, len(tests), ended)


def _remove(folder: str) -> None:
    """Remove a folder, which may be nested more deeply than Python can follow."""
    try:
        shutil.rmtree(folder, ignore_errors=True)
    except RecursionError:
        subprocess.run(["rm", "-rf", "--", folder], check=False, stderr=subprocess.DEVNULL)


def _output(command: Sequence[str], asked: Mapping[str, Any], folder: str, timeout_s: float) -> tuple[bytes, str]:
    """What the process writes, and how it ended, if not by itself."""
    deadline = time.monotonic() + timeout_s
    reader, writer = os.pipe()
    try:
        process = subprocess.Popen(
            [*command, str(writer)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env={"TMPDIR": folder},
            pass_fds=(writer,),
            start_new_session=True,
        )
    except BaseException:
        os.close(reader)
        raise
    finally:
        os.close(writer)
    output = bytearray()
    try:
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError), process.stdin:
            process.stdin.write(json.dumps(asked).encode())
        while len(output) < _MOST_BYTES:
            ready, _, _ = select.select([reader], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                return bytes(output), f"not done after {timeout_s:g} s"
            chunk = os.read(reader, 1 << 16)
            if not chunk:
                break
            output += chunk
        else:
            return bytes(output), "it wrote too much"
    finally:
        os.close(reader)
        ended = _wait(process)
    return bytes(output), ended


def _wait(process: subprocess.Popen[bytes]) -> str:
    """End the process and all that it started; how it ended, if not by itself."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=0.2)  # it closed its pipe, so it is about to end
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    code = process.wait()
    if code == -signal.SIGXCPU:
        return "it used more processor time than it may"
    return f"it was ended by signal {-code}" if code < 0 else ""


def _read(output: bytes, token: str, tests: int, ended: str) -> ProgramRun:
    """Only lines with the token count: a program may write what it likes."""
    passed: dict[int, bool] = {}
    first = ""
    for line in output.splitlines():
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if not isinstance(found, dict) or found.get("token") != token or found.get("test", 0) not in range(tests):
            continue
        error = str(found.get("error", ""))
        if "test" in found:
            passed[found["test"]] = found["passed"] is True
            error = error and f"test {found['test'] + 1}: {error}"
        first = first or error
    if len(passed) < tests and not first:
        first = ended or "the program ended itself before its tests were done"
    return ProgramRun(passed=sum(passed.values()), tests=tests, error=first)
