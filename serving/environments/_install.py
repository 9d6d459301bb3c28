"""Installs vLLM into its own virtual environment."""

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
#: Downloads below this size are not reported.
_LARGE_MB = 20.0


@dataclass(frozen=True, kw_only=True)
class Index:
    """Where packages come from, in addition to pip's configuration.

    Attributes:
        index_url: The address of the index that replaces PyPI; None for PyPI.
        extra_index_urls: The addresses of further indexes.
        find_links: Folders or web pages with wheels.
    """

    index_url: str | None = None
    extra_index_urls: Sequence[str] = ()
    find_links: Sequence[str] = ()

    @property
    def arguments(self) -> list[str]:
        """The command line arguments, which are the same for pip and uv."""
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
    """Install the pinned version of vLLM. If it is already installed, return at once.

    The installation is complete when its Python has imported vLLM. If it is interrupted before, its folder is not
    mistaken for a complete installation. If two processes install the same engine, one waits for the other.

    Args:
        say: A function that is called with each line of progress.
        build: The build to install; None for the build that suits this machine.
        python: The interpreter for the new environment; None for the interpreter of this process.
        index: Where packages come from; None for pip's configuration.
        cache: The cache folder; None for the usual one.
        pins: The versions to install, by build.
        converter: The packages that the conversion of weights needs.

    Returns:
        The installed environment.

    Raises:
        InputError: The interpreter cannot be used, or an index must be given.
        EngineError: vLLM cannot be installed. The message says why and what to do.
    """
    index = index or Index()
    python = python or Path(sys.executable)
    suitable, reason = suitable_build()
    build = build or suitable
    pin = pins[build]
    if build != suitable:
        say(f"installing the {build} build as requested, although {suitable} suits this machine ({reason})")
    else:
        say(f"the {build} build suits this machine ({reason})")
    folder = engines_folder(cache) / f"vllm-{pin.version}-{build}"
    waiting = "another process is installing this engine; waiting for it"
    with locked(lock_of(folder), say, waiting=waiting, error=EngineError) as lock:
        earlier = read(folder)
        if earlier.environment is not None and earlier.environment.python.exists():
            say(f"{earlier.environment} is installed: {folder}")
            return earlier
        if folder.exists():
            say(f"removing an incomplete installation: {folder}")
            discard(folder)
        _check_python(python, build, pin, index)
        _check_disk(folder.parent, pin, say)
        try:
            environment = _Installer(folder, lock, index, say).install(python, build, pin, converter)
            installed = mark_complete(folder, environment)
        except BaseException:
            if folder.exists():
                say(f"removing the incomplete installation: {folder}")
                discard(folder)
            raise
    say(f"{environment} is installed: {folder} ({(installed.size_bytes or 0) / 1e9:.1f} GB)")
    return installed


@dataclass(frozen=True, kw_only=True)
class _Pip:
    """The commands that install packages in the environment and remove them."""

    install: Sequence[str]
    uninstall: Sequence[str]


class _Installer:
    """Runs the steps of an installation.

    Args:
        folder: The folder of the new environment.
        lock: The descriptor of the lock file. Each child process holds it too, so that other processes keep waiting if
            a child process still runs after this process has ended.
        index: Where packages come from.
        say: A function that is called with each line of progress.
    """

    def __init__(self, folder: Path, lock: int, index: Index, say: Say) -> None:
        self._folder = folder
        self._lock = lock
        self._index = index
        self._say = say

    def install(self, python: Path, build: Build, pin: Pin, converter: Sequence[str]) -> VllmEnvironment:
        self._say(f"1 of 3: creating a virtual environment with {python}")
        pip = self._create_environment(python)
        self._say(f"2 of 3: installing {pin.package} {pin.version} and its dependencies; this takes minutes")
        requirements = [f"{pin.package}=={pin.version}", *converter]
        code, last_lines = self._run([*pip.install, *self._index.arguments, *requirements])
        if code:
            raise EngineError(_failure_message(last_lines, build, pin))
        if pin.unwanted:
            code, last_lines = self._run([*pip.uninstall, *pin.unwanted])
            if code:
                raise EngineError(f"{', '.join(pin.unwanted)} could not be removed:{_indented(last_lines)}")
        self._say("3 of 3: checking that the environment's Python can import vLLM")
        try:
            environment = VllmEnvironment.at(python_of(self._folder))
        except InputError as error:
            raise EngineError(f"{pin.package} {pin.version} was installed, but does not work: {error}") from error
        if environment.build != build:
            hint = _rocm_hint(pin) if build == "rocm" else "see --index-url, --extra-index-url and --find-links"
            raise EngineError(f"the index has the {environment.build} build of vllm, not the {build} build; {hint}")
        return environment

    def _create_environment(self, python: Path) -> _Pip:
        """Create the virtual environment with the standard library, or with uv if the interpreter has no pip."""
        code, last_lines = self._run([str(python), "-m", "venv", str(self._folder)])
        new_python = str(python_of(self._folder))
        if not code:
            options = ["--disable-pip-version-check"]
            return _Pip(
                install=(new_python, "-m", "pip", "install", *options, "--no-cache-dir", "--progress-bar", "off"),
                uninstall=(new_python, "-m", "pip", "uninstall", *options, "--yes"),
            )
        uv = shutil.which("uv")
        if uv is None:
            raise EngineError(
                f"{python} cannot create a virtual environment:{_indented(last_lines)}\n"
                "Install the missing part (on Debian: apt install python3-venv), or install uv, or give another Python "
                "with --python PATH"
            )
        self._say("  this Python lacks pip, so uv is used instead")
        code, last_lines = self._run([uv, "venv", "--quiet", "--clear", "--python", str(python), str(self._folder)])
        if code:
            raise EngineError(f"uv cannot create a virtual environment with {python}:{_indented(last_lines)}")
        # Like pip, take the best version from all indexes. By default uv takes the first index that has the package.
        strategy = ("--index-strategy", "unsafe-best-match")
        return _Pip(
            install=(uv, "pip", "install", "--python", new_python, "--no-cache", *strategy),
            uninstall=(uv, "pip", "uninstall", "--python", new_python),
        )

    def _run(self, command: Sequence[str]) -> tuple[int, Sequence[str]]:
        """Run one command and report its phases. The result is the exit code and the last lines of the output."""
        last_lines: deque[str] = deque(maxlen=_LAST_LINES)
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
                        last_lines.append(line.rstrip())
                        if phase := _phase(line):
                            self._say(f"  {phase}")
                except BaseException:
                    process.terminate()
                    raise
                return process.wait(), tuple(last_lines)
        except OSError as error:
            raise EngineError(f"{command[0]} cannot be run: {error.strerror}") from error
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _check_python(python: Path, build: Build, pin: Pin, index: Index) -> None:
    """Check that the interpreter and the index can be used for this build."""
    try:
        version_query = subprocess.run(
            [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except OSError as error:
        raise InputError(f"--python {python}: the file cannot be run: {error.strerror}") from error
    version = version_query.stdout.strip()
    if version_query.returncode or not version:
        raise InputError(f"--python {python}: the file is not a Python")
    if pin.pythons and version not in pin.pythons:
        raise InputError(
            f"vLLM's {build} wheels are for Python {' and '.join(pin.pythons)}, but {python} is {version}; "
            "give a suitable Python with --python PATH"
        )
    configured = any(os.environ.get(name) for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"))
    if build == "rocm" and not index.arguments and not configured:
        raise InputError(f"vLLM's rocm wheels are not on PyPI; {_rocm_hint(pin)}")


def _check_disk(folder: Path, pin: Pin, say: Say) -> None:
    free = shutil.disk_usage(folder).free
    if pin.disk_bytes is None:
        say(f"the disk space that the installation needs is not known; {free / 1e9:.1f} GB are free at {folder}")
        return
    needed = f"{pin.disk_bytes / 1e9:.1f} GB"
    say(f"the installation needs up to {needed} on disk, and {free / 1e9:.1f} GB are free at {folder}")
    if free < pin.disk_bytes:
        raise EngineError(
            f"{pin.package} {pin.version} needs {needed} on disk while it is installed, but only {free / 1e9:.1f} GB "
            f"are free at {folder}; free some space, or set ORKESTER_CACHE to a folder on a larger disk"
        )


def _variables(scratch: Path) -> Mapping[str, str]:
    """The user's environment variables for the installer, without those that would redirect it elsewhere.

    Temporary files, among them downloads, go to ``scratch``.
    """
    redirecting = {
        "PYTHONPATH",
        "PYTHONHOME",
        "PIP_USER",
        "PIP_TARGET",
        "PIP_PREFIX",
        "PIP_ROOT",
        "PIP_REQUIRE_VIRTUALENV",
    }
    kept = {name: value for name, value in os.environ.items() if name not in redirecting}
    return kept | {"PYTHONUNBUFFERED": "1", "PYTHONNOUSERSITE": "1", "PIP_USER": "0", "TMPDIR": str(scratch)}


def _phase(line: str) -> str:
    """The phase of the installation that a line of pip's output reports; empty for other lines."""
    if match := re.match(r"\s*Downloading (\S+?)(?:-[\w.]+-[\w.]+-[\w.]+\.whl)? \(([\d.]+) MB\)", line):
        return f"downloading {match[1]} ({match[2]} MB)" if float(match[2]) >= _LARGE_MB else ""
    if match := re.match(r"Installing collected packages: (.*)", line):
        return f"unpacking {len(match[1].split(','))} packages"
    return ""


def _failure_message(last_lines: Sequence[str], build: Build, pin: Pin) -> str:
    """The error message for an installer's failure, with the remedy."""
    text = "\n".join(last_lines)
    if missing := re.search(r"(torch==[\w.]+\+cpu)", text):
        return (
            f"{pin.package} {pin.version} needs {missing[1]}, but no index or folder in use has it:"
            f"{_indented(last_lines)}\n"
            f"Add PyTorch's index of CPU wheels: --extra-index-url {_TORCH_CPU_INDEX}\n"
            "or name a folder with the wheel: --find-links FOLDER (or PIP_FIND_LINKS)"
        )
    if "No space left on device" in text:
        return (
            f"the disk is full:{_indented(last_lines)}\n"
            "Free some space, or set ORKESTER_CACHE to a folder on a larger disk"
        )
    hint = f"\n{_rocm_hint(pin)}" if build == "rocm" else ""
    return (
        f"{pin.package} {pin.version} could not be installed:{_indented(last_lines)}\n"
        "Is there a network connection, and does your package index have it? (--index-url, --extra-index-url, "
        f"--find-links){hint}"
    )


def _rocm_hint(pin: Pin) -> str:
    return (
        f"vLLM has its own index for them: --extra-index-url {_ROCM_INDEX}/{pin.version}/VARIANT, "
        f"with a VARIANT such as rocm721 from {_ROCM_INDEX}/vllm"
    )


def _indented(lines: Sequence[str]) -> str:
    return "".join(f"\n  {line}" for line in lines)
