"""Installs vLLM into a virtual environment of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orkester.errors import EngineError, InputError

from ..cache import locked
from ._environment import Build, VllmEnvironment
from ._installed import Installed, discard, engines_folder, lock_of, mark_complete, python_of, read
from ._pins import CONVERTER, PINS, Pin, suitable_build

Say = Callable[[str], None]

_TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
_ROCM_INDEX = "https://wheels.vllm.ai/rocm"
_LAST_LINES = 8
#: Downloads below this are not worth a line.
_LARGE_MB = 20.0


@dataclass(frozen=True, kw_only=True)
class Index:
    """Where packages come from, beside what pip is configured to use.

    Attributes:
        index_url: instead of PyPI.
        extra_index_urls: in addition.
        find_links: folders or pages with wheels.
    """

    index_url: str | None = None
    extra_index_urls: Sequence[str] = ()
    find_links: Sequence[str] = ()

    @property
    def arguments(self) -> list[str]:
        """For pip and uv, which call them the same."""
        return [
            *(("--index-url", self.index_url) if self.index_url else ()),
            *(text for url in self.extra_index_urls for text in ("--extra-index-url", url)),
            *(text for place in self.find_links for text in ("--find-links", place)),
        ]


def install_vllm(
    say: Say,
    *,
    build: Build | None = None,
    python: Path | None = None,
    index: Index | None = None,
    cache: Path | None = None,
    pins: Mapping[Build, Pin] = PINS,
    converter: Sequence[str] = CONVERTER,
) -> Installed:
    """Install the pinned vLLM; returns at once when it is there.

    It counts as installed when its Python has imported it. Whatever stops it before, nothing is left that could be
    taken for an installation; two processes that install the same wait for each other.

    Args:
        say: told what happens, a line each.
        build: which; what suits this machine if None.
        python: interpreter to build the environment on; the one that runs if None.
        index: where packages come from.
        cache: its folder; the usual one if None.
        pins: what to install, by build.
        converter: what the conversion of weights needs.

    Raises:
        InputError: the interpreter cannot be used, or an index is needed.
        EngineError: it cannot be installed; the message says why and what to do.
    """
    index = index or Index()
    python = python or Path(sys.executable)
    suitable, why = suitable_build()
    build = build or suitable
    pin = pins[build]
    if build != suitable:
        say(f"the {build} build is asked for; {suitable} is what suits this machine ({why})")
    else:
        say(f"the {build} build suits this machine ({why})")
    folder = engines_folder(cache) / f"vllm-{pin.version}-{build}"
    waiting = "another process is installing this engine; waiting for it"
    with locked(lock_of(folder), say, waiting=waiting, error=EngineError) as lock:
        there = read(folder)
        if there.environment is not None and there.environment.python.exists():
            say(f"{there.environment} is installed: {folder}")
            return there
        if folder.exists():
            say(f"an installation that was cut off is removed: {folder}")
            discard(folder)
        _check(python, build, pin, index)
        _check_room(folder.parent, pin, say)
        try:
            environment = _Installer(folder, lock, index, say).install(python, build, pin, converter)
            installed = mark_complete(folder, environment)
        except BaseException:
            if folder.exists():
                say(f"what was installed so far is removed: {folder}")
                discard(folder)
            raise
    say(f"{environment} is installed: {folder} ({(installed.size_bytes or 0) / 1e9:.1f} GB)")
    return installed


@dataclass(frozen=True, kw_only=True)
class _Pip:
    """How packages get into the environment, and out again."""

    install: Sequence[str]
    uninstall: Sequence[str]


class _Installer:
    """Runs the steps.

    Args:
        folder: the new environment's.
        lock: a descriptor that each child process holds, so that one that outlives us keeps others waiting.
        index: where packages come from.
        say: told what happens.
    """

    def __init__(self, folder: Path, lock: int, index: Index, say: Say) -> None:
        self._folder = folder
        self._lock = lock
        self._index = index
        self._say = say

    def install(self, python: Path, build: Build, pin: Pin, converter: Sequence[str]) -> VllmEnvironment:
        self._say(f"1 of 3: a virtual environment on {python}")
        pip = self._make(python)
        self._say(f"2 of 3: {pin.package} {pin.version} and what it needs; this takes minutes")
        requirements = [f"{pin.package}=={pin.version}", *converter]
        code, last = self._run([*pip.install, *self._index.arguments, *requirements])
        if code:
            raise EngineError(_explained(last, build, pin))
        if pin.unwanted:
            code, last = self._run([*pip.uninstall, *pin.unwanted])
            if code:
                raise EngineError(f"{', '.join(pin.unwanted)} could not be removed again:{_indented(last)}")
        self._say("3 of 3: its Python imports it")
        try:
            found = VllmEnvironment.at(python_of(self._folder))
        except InputError as error:
            raise EngineError(f"{pin.package} {pin.version} was installed and does not work: {error}") from error
        if found.build != build:
            hint = _rocm_hint(pin) if build == "rocm" else "see --index-url, --extra-index-url and --find-links"
            raise EngineError(
                f"what the index offers is the {found.build} build of vllm, not the {build} build; {hint}"
            )
        return found

    def _make(self, python: Path) -> _Pip:
        """The virtual environment, by the standard library, or by uv where that lacks a part."""
        code, last = self._run([str(python), "-m", "venv", str(self._folder)])
        own = str(python_of(self._folder))
        if not code:
            options = ["--disable-pip-version-check"]
            return _Pip(
                install=(own, "-m", "pip", "install", *options, "--no-cache-dir", "--progress-bar", "off"),
                uninstall=(own, "-m", "pip", "uninstall", *options, "--yes"),
            )
        uv = shutil.which("uv")
        if uv is None:
            raise EngineError(
                f"{python} cannot make a virtual environment:{_indented(last)}\n"
                "Install what it lacks (on Debian: apt install python3-venv) or uv, or name another: --python PATH"
            )
        self._say("  this Python has no pip to give; uv takes its place")
        code, last = self._run([uv, "venv", "--quiet", "--clear", "--python", str(python), str(self._folder)])
        if code:
            raise EngineError(f"uv cannot make a virtual environment on {python}:{_indented(last)}")
        # As pip does: the best version on any index, not what the first index has that knows the package.
        strategy = ("--index-strategy", "unsafe-best-match")
        return _Pip(
            install=(uv, "pip", "install", "--python", own, "--no-cache", *strategy),
            uninstall=(uv, "pip", "uninstall", "--python", own),
        )

    def _run(self, command: Sequence[str]) -> tuple[int, Sequence[str]]:
        """Run one command, telling its phases; its exit code and last lines."""
        last: deque[str] = deque(maxlen=_LAST_LINES)
        scratch = self._folder / "tmp"
        scratch.mkdir(parents=True, exist_ok=True)
        try:
            with subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env=_variables(scratch),
                pass_fds=(self._lock,),
            ) as process:
                try:
                    assert process.stdout is not None
                    for line in process.stdout:
                        last.append(line.rstrip())
                        if phase := _phase(line):
                            self._say(f"  {phase}")
                except BaseException:
                    process.terminate()
                    raise
                return process.wait(), tuple(last)
        except OSError as error:
            raise EngineError(f"{command[0]} cannot be run: {error.strerror}") from error
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _check(python: Path, build: Build, pin: Pin, index: Index) -> None:
    """That the interpreter and the index are what this build needs."""
    try:
        asked = subprocess.run(
            [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except OSError as error:
        raise InputError(f"--python {python}: it cannot be run: {error.strerror}") from error
    version = asked.stdout.strip()
    if asked.returncode or not version:
        raise InputError(f"--python {python}: it is no Python")
    if pin.pythons and version not in pin.pythons:
        raise InputError(
            f"vLLM's {build} wheels are for Python {' and '.join(pin.pythons)}, and {python} is {version}; "
            "name such a one: --python PATH"
        )
    configured = any(os.environ.get(name) for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"))
    if build == "rocm" and not index.arguments and not configured:
        raise InputError(f"vLLM's rocm wheels are not on PyPI; {_rocm_hint(pin)}")


def _check_room(folder: Path, pin: Pin, say: Say) -> None:
    free = shutil.disk_usage(folder).free
    if pin.disk_bytes is None:
        say(f"how much disk it needs is not known; {free / 1e9:.1f} GB are free at {folder}")
        return
    needed = f"{pin.disk_bytes / 1e9:.1f} GB"
    say(f"it needs up to {needed} on disk, and {free / 1e9:.1f} GB are free at {folder}")
    if free < pin.disk_bytes:
        raise EngineError(
            f"{pin.package} {pin.version} needs {needed} on disk while it is installed, and {free / 1e9:.1f} GB are "
            f"free at {folder}; make room, or set ORKESTER_CACHE to a folder on a larger disk"
        )


def _variables(scratch: Path) -> Mapping[str, str]:
    """The user's environment without what would mix another one into the new one; downloads go beside it."""
    mixing = {"PYTHONPATH", "PYTHONHOME", "PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_REQUIRE_VIRTUALENV"}
    kept = {name: value for name, value in os.environ.items() if name not in mixing}
    return kept | {"PYTHONUNBUFFERED": "1", "PYTHONNOUSERSITE": "1", "PIP_USER": "0", "TMPDIR": str(scratch)}


def _phase(line: str) -> str:
    """What a line of pip's says of the long parts of its work; empty for the rest."""
    if found := re.match(r"\s*Downloading (\S+?)(?:-[\w.]+-[\w.]+-[\w.]+\.whl)? \(([\d.]+) MB\)", line):
        return f"downloading {found[1]} ({found[2]} MB)" if float(found[2]) >= _LARGE_MB else ""
    if found := re.match(r"Installing collected packages: (.*)", line):
        return f"unpacking {len(found[1].split(','))} packages"
    return ""


def _explained(last: Sequence[str], build: Build, pin: Pin) -> str:
    """What an installer's failure means, and what to do."""
    text = "\n".join(last)
    if missing := re.search(r"(torch==[\w.]+\+cpu)", text):
        return (
            f"{pin.package} {pin.version} needs {missing[1]}, and no index or folder in use has it:{_indented(last)}\n"
            f"Add PyTorch's index of CPU wheels: --extra-index-url {_TORCH_CPU_INDEX}\n"
            "or name a folder with the wheel: --find-links FOLDER (or PIP_FIND_LINKS)"
        )
    if "No space left on device" in text:
        return f"the disk is full:{_indented(last)}\nMake room, or set ORKESTER_CACHE to a folder on a larger disk"
    hint = f"\n{_rocm_hint(pin)}" if build == "rocm" else ""
    return (
        f"{pin.package} {pin.version} could not be installed:{_indented(last)}\n"
        f"Is there a network, and does the index in use have it? (--index-url, --extra-index-url, --find-links){hint}"
    )


def _rocm_hint(pin: Pin) -> str:
    return (
        f"vLLM has an index of its own: --extra-index-url {_ROCM_INDEX}/{pin.version}/VARIANT, "
        f"with VARIANT (as rocm721) from {_ROCM_INDEX}/vllm"
    )


def _indented(lines: Sequence[str]) -> str:
    return "".join(f"\n  {line}" for line in lines)
