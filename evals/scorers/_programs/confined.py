"""Runs a program and its tests in a process of its own, which can neither write outside its folder nor reach a network.

This file is run as a script by ``run``, with the standard library only. It reads one JSON object from standard
input, and writes one JSON line per test to the file descriptor that its argument names.

The layers, from the strongest to the weakest; each one works without the others:

- resource limits: memory, processor time, size of files, open files;
- Linux, where the kernel allows it: a network namespace without interfaces, and Landlock (Linux 5.13), which forbids
  writing outside the folder, reading anything but the folder, Python and the system's libraries, running other
  programs, and from Linux 6.12 on signals to other processes;
- an audit hook of Python (PEP 578), which forbids processes, sockets, and files outside the folder and Python's own.

It protects against mistakes and against the usual tricks. It does not make a program harmless that was written to
attack the machine.
"""

from __future__ import annotations

import _thread
import inspect
import json
import os
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 4, 38
_LANDLOCK_CREATE_RULESET, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT_SELF = 444, 445, 446
#: Rights of Landlock: to run, to write a file, to read files and folders, and all ways to change folders.
_LANDLOCK_EXECUTE, _LANDLOCK_WRITE_FILE, _LANDLOCK_READ_FILE, _LANDLOCK_READ_FOLDER = (1 << bit for bit in range(4))
_LANDLOCK_READS = _LANDLOCK_READ_FILE | _LANDLOCK_READ_FOLDER
_LANDLOCK_CHANGES = sum(1 << bit for bit in range(4, 13))
_LANDLOCK_TRUNCATE, _LANDLOCK_TRUNCATE_SINCE = 1 << 14, 3
_LANDLOCK_TCP, _LANDLOCK_TCP_SINCE = 0b11, 4
_LANDLOCK_SCOPES, _LANDLOCK_SCOPES_SINCE = 0b11, 6  # abstract sockets, and signals
_LANDLOCK_VERSION = 1
#: What Python reads beside its own files: shared libraries, time zones.
_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache", "/etc/localtime", "/usr/share/zoneinfo")
_LARGEST_FILE_MB, _MOST_CHANGES = 4, 256
_STACK_BYTES = 1 << 20
_AF_UNIX = 1
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_DEVICES = ("/dev/null", "/dev/urandom", "/dev/random", "/dev/zero")
_MEGABYTE = 1 << 20
_MOST_WORDS = 300
#: Events of audit hooks that are always refused; a trailing dot or star stands for all that begin so.
_REFUSED = (
    *("ctypes.", "ftplib.", "gc.", "http.", "imaplib.", "os.exec*", "os.fork*", "os.kill*", "os.posix_spawn"),
    *("os.spawn*", "os.startfile*", "os.system", "poplib.", "pty.", "resource.", "signal.pthread_kill", "smtplib."),
    *("socket.", "subprocess.", "sys._current_frames", "syslog.", "telnetlib.", "urllib.", "webbrowser."),
)
#: Events with paths that are only allowed in the folder.
_CHANGES = (
    *("os.chflags", "os.chmod", "os.chown", "os.lchmod", "os.lchown", "os.link", "os.mkdir", "os.remove", "os.rename"),
    *("os.removexattr", "os.rmdir", "os.setxattr", "os.symlink", "os.truncate", "os.utime", "shutil.", "tempfile."),
)


def _limit(memory_mb: int, cpu_s: int) -> None:
    import resource

    limits = {
        resource.RLIMIT_AS: memory_mb * _MEGABYTE,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: cpu_s,
        resource.RLIMIT_FSIZE: _LARGEST_FILE_MB * _MEGABYTE,
        resource.RLIMIT_NOFILE: 64,
    }
    for kind, limit in limits.items():
        _, hard = resource.getrlimit(kind)
        new = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        try:
            resource.setrlimit(kind, (new, new))
        except (OSError, ValueError):  # macOS has no limit of memory
            continue


def _isolate(folder: str) -> None:
    """Take away what a program does not need, as far as the kernel allows it.

    It then has no network, may write in the folder only, may read there and what Python needs, may start no other
    programs and may send no signals to other processes.
    """
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    version = libc.syscall(_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), _LANDLOCK_VERSION)
    if version < 1:
        return
    writes = _LANDLOCK_WRITE_FILE | (_LANDLOCK_TRUNCATE if version >= _LANDLOCK_TRUNCATE_SINCE else 0)
    inside = _LANDLOCK_READS | _LANDLOCK_CHANGES | writes
    ruleset = [inside | _LANDLOCK_EXECUTE]
    if version >= _LANDLOCK_TCP_SINCE:
        ruleset.append(_LANDLOCK_TCP)
    if version >= _LANDLOCK_SCOPES_SINCE:
        ruleset.append(_LANDLOCK_SCOPES)
    handled = (ctypes.c_uint64 * len(ruleset))(*ruleset)
    rules = libc.syscall(_LANDLOCK_CREATE_RULESET, handled, ctypes.c_size_t(ctypes.sizeof(handled)), 0)
    if rules < 0:
        return
    allowed = dict.fromkeys((sys.prefix, sys.base_prefix, *_LIBRARIES), _LANDLOCK_READS)
    allowed |= dict.fromkeys(_DEVICES, _LANDLOCK_READ_FILE | writes) | {folder: inside}
    for path, rights in allowed.items():
        try:
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        known = rights if os.path.isdir(path) else rights & ~(_LANDLOCK_READ_FOLDER | _LANDLOCK_CHANGES)  # noqa: PTH112
        # The kernel's struct is packed: 64 bits of rights, 32 bits of file descriptor.
        rule = ctypes.create_string_buffer(known.to_bytes(8, sys.byteorder) + place.to_bytes(4, sys.byteorder), 12)
        libc.syscall(_LANDLOCK_ADD_RULE, rules, 1, rule, 0)
        os.close(place)
    libc.syscall(_LANDLOCK_RESTRICT_SELF, rules, 0)
    os.close(rules)


class _Guard:
    """An audit hook that refuses what a program may not do, with a ``PermissionError``.

    Args:
        folder: The folder in which the program may change files.
    """

    def __init__(self, folder: str) -> None:
        self._real, self._text = os.path.realpath, os.fsdecode  # the program may replace those of the module
        self._folder = self._real(folder) + "/"
        roots = (sys.prefix, sys.base_prefix, "/usr/share/zoneinfo")
        self._readable = tuple(self._real(root) + "/" for root in roots)
        self._refused = tuple(name for name in _REFUSED if not name.endswith((".", "*")))
        self._refused_beginnings = tuple(name.rstrip("*") for name in _REFUSED if name.endswith((".", "*")))
        self._changing_beginnings = tuple(name for name in _CHANGES if name.endswith("."))
        self._changes = 0

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        """See ``sys.addaudithook``."""
        if event == "open":
            path, mode, flags = args
            writes = isinstance(mode, str) and any(sign in mode for sign in "wax+")
            self._require(path, "open", write=writes or bool(isinstance(flags, int) and flags & _WRITES))
        elif event in ("os.listdir", "os.scandir"):
            self._require(args[0], "list", write=False)
        elif event in _CHANGES or event.startswith(self._changing_beginnings):
            for path in args:
                self._require(path, "change", write=True)
        elif event == "sqlite3.connect":
            self._require(None if args[0] == ":memory:" else args[0], "open", write=True)
        elif event == "socket.__new__" and args[1] == _AF_UNIX:
            return  # asyncio makes a pair of them; they reach nothing outside the process
        elif event in self._refused or event.startswith(self._refused_beginnings):
            raise PermissionError(f"the program may not use {event.removesuffix('.__new__')}")

    def _require(self, path: Any, verb: str, *, write: bool) -> None:
        """Refuse a path outside of what is allowed. Numbers are file descriptors or modes."""
        if not isinstance(path, (str, bytes, os.PathLike)):
            return
        self._changes += write
        if self._changes > _MOST_CHANGES:
            raise PermissionError(f"the program may not change more than {_MOST_CHANGES} files")
        found = self._real(self._text(path))
        if found in _DEVICES or (found + "/").startswith(self._folder):
            return
        if write or not (found + "/").startswith(self._readable):
            raise PermissionError(f"the program may not {verb} {self._text(path)}")


def _checks(
    found: Mapping[str, Any], before: Mapping[str, Any], entry_point: str | None
) -> Iterator[Callable[[], Any]]:
    """What a test defines without calling it: ``check(candidate)``, ``test_…`` functions, and classes of tests."""
    new = {name: value for name, value in found.items() if value is not before.get(name)}
    if entry_point is not None and callable(new.get("check")):
        yield partial(new["check"], found[entry_point])
    for name, value in new.items():
        if isinstance(value, types.FunctionType) and name.startswith("test"):
            yield value
        elif isinstance(value, type) and any(base.__module__ == "unittest.case" for base in value.__mro__[1:]):
            yield partial(_unittest, value)
        elif isinstance(value, type) and name.startswith("Test"):
            yield from (getattr(value(), each) for each in vars(value) if each.startswith("test"))


def _checked(check: Callable[[], Any]) -> None:
    """Make a check; one that is a coroutine is awaited, and one that returns False fails."""
    result = check()
    if inspect.isawaitable(result):
        import asyncio

        async def wait() -> Any:
            return await result

        result = asyncio.run(wait())
    if result is False:
        raise AssertionError("the check returned False")


def _unittest(case: type) -> None:
    import io
    import unittest

    suite = unittest.defaultTestLoader.loadTestsFromTestCase(case)
    result = unittest.TextTestRunner(stream=io.StringIO()).run(suite)
    for test, trace in (*result.failures, *result.errors):
        raise AssertionError(f"{test}: {trace.strip().splitlines()[-1]}")
    if result.unexpectedSuccesses or len(result.skipped) == result.testsRun:
        raise AssertionError(f"{case.__name__}: no test passed, or one that was expected to fail did not")


def _words(error: BaseException, name: str, source: str) -> str:
    """An error in one line, with the line of the test where it happened."""
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    number, trace = 0, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == name:
            number = trace.tb_lineno
        trace = trace.tb_next
    lines = source.splitlines()
    if 0 < number <= len(lines):
        text += f" in {lines[number - 1].strip()}"
    return " ".join(text.split())[:_MOST_WORDS]


def _run(asked: Mapping[str, Any], report: Callable[[Mapping[str, Any]], None]) -> None:
    run, checks, checked = exec, _checks, _checked  # the program may replace those of the modules
    module = types.ModuleType("answer")
    sys.modules["answer"] = module
    tests = [(f"test {number}", test) for number, test in enumerate(asked["tests"], 1)]
    compiled = [compile(test, name, "exec", dont_inherit=True) for name, test in tests]
    try:
        run(compile(asked["program"], "answer", "exec", dont_inherit=True), module.__dict__)
    except BaseException as error:
        report({"error": _words(error, "answer", asked["program"])})
        return
    before = dict(module.__dict__)
    for number, ((name, test), code) in enumerate(zip(tests, compiled, strict=True)):
        found = dict(module.__dict__)
        try:
            run(code, found)
            for check in checks(found, before, asked["entry_point"]):
                checked(check)
        except BaseException as error:
            report({"test": number, "passed": False, "error": _words(error, name, test)})
        else:
            report({"test": number, "passed": True})


def main() -> None:
    """Read what is asked, take away what is not needed, and run it."""
    asked = json.loads(sys.stdin.buffer.read())
    out = int(sys.argv[1])

    token, write, dumps = asked.pop("token"), os.write, json.dumps  # the program may replace those of the modules

    def report(result: Mapping[str, Any]) -> None:
        write(out, dumps({"token": token, **result}).encode() + b"\n")

    _thread.stack_size(_STACK_BYTES)  # the limit of memory counts the stacks of threads
    _limit(asked["memory_mb"], asked["cpu_s"])
    _isolate(asked["folder"])
    sys.addaudithook(_Guard(asked["folder"]))
    _run(asked, report)
    os._exit(0)  # without what the program left for the end


if __name__ == "__main__":
    main()
