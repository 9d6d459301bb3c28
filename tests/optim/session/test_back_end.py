"""Which engine serves a study."""

from pathlib import Path

import pytest
from support import ROOT, write_study

import orkester
from orkester.errors import EngineError, InputError, ModelError
from orkester.optim.session.back_end import back_end
from orkester.optim.session.study_loading import load_study
from orkester.optim.study.engine_parts import ExternalPart, FakePart, VllmPart, VllmSettings
from orkester.optim.study.parts import EnergyPart
from orkester.serving.cache import cache_folder
from orkester.serving.catalogue import Catalogue
from orkester.serving.engines import FakeScript
from orkester.serving.environments import VllmEnvironment
from orkester.serving.environments._installed import mark_complete

GIB = 2**30
GPU = "0, GPU-1, NVIDIA H100 80GB HBM3, 81559, 80000, 580.1"


@pytest.fixture
def gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with one GPU, as far as its driver's program says."""
    folder = tmp_path / "driver"
    folder.mkdir()
    (folder / "nvidia-smi").write_text(f"#!/bin/sh\necho '{GPU}'\n")
    (folder / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def installed(build: str, version: str = "0.33.0") -> VllmEnvironment:
    """What `engines install` leaves, with a Python that says what is asked of it."""
    folder = cache_folder() / "engines" / f"vllm-{version}-{build}"
    (folder / "bin").mkdir(parents=True)
    python = folder / "bin" / "python"
    python.write_text(f'#!/bin/sh\necho \'orkester:{{"version": "{version}", "build": "{build}"}}\'\n')
    python.chmod(0o755)
    environment = VllmEnvironment(python=python, version=version, build=build)  # type: ignore[arg-type]
    mark_complete(folder, environment)
    return environment


def test_auto_is_llama_cpp_without_a_gpu_even_where_vllm_is_installed(tmp_path: Path) -> None:
    installed("cpu")
    decided = back_end("auto", tmp_path)
    assert (decided.kind, decided.vllm) == ("llamacpp", None)
    assert decided.identity == {}
    assert decided.capacity.device_bytes is None
    assert decided.capacity.host_bytes is not None


@pytest.mark.usefixtures("gpu")
def test_auto_is_vllm_with_a_gpu_and_a_vllm_for_it(tmp_path: Path) -> None:
    assert back_end("auto", tmp_path).kind == "llamacpp"
    environment = installed("cuda")
    decided = back_end("auto", tmp_path)
    assert (decided.kind, decided.vllm) == ("vllm", environment)
    assert decided.identity == {"vllm": "0.33.0 (cuda)"}
    assert decided.accelerator is not None
    assert decided.accelerator.memory_bytes == 81559 * 2**20
    # What others use, and a little, is left to them.
    assert 70 * GIB < (decided.capacity.device_bytes or 0) < 80000 * 2**20
    assert back_end("llamacpp", tmp_path).kind == "llamacpp"


def test_vllm_is_asked_for_by_name_on_the_cpu(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="orkester engines install vllm"):
        back_end("vllm", tmp_path)
    environment = installed("cpu", "0.32.0")
    decided = back_end("vllm", tmp_path)
    assert (decided.kind, decided.vllm, decided.accelerator) == ("vllm", environment, None)


def test_a_build_for_a_gpu_that_is_not_there_is_refused(tmp_path: Path) -> None:
    part = VllmPart(vllm=VllmSettings(python=str(installed("cuda").python)))
    with pytest.raises(
        EngineError, match=r"vllm 0\.33\.0 \(cuda\) needs an NVIDIA GPU, and there is none: .+--build cpu"
    ):
        back_end(part, tmp_path)


def test_a_python_without_vllm_is_refused(tmp_path: Path) -> None:
    part = VllmPart(vllm=VllmSettings(python="no/python"))
    with pytest.raises(InputError, match=f"{tmp_path}/no/python"):
        back_end(part, tmp_path)


def test_what_runs_elsewhere_or_is_fake_needs_no_look_at_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    assert back_end(ExternalPart(base_url="http://127.0.0.1:1/v1"), tmp_path).kind == "external"
    fake = back_end(FakePart(fake=FakeScript(capacity_bytes=7)), tmp_path)
    assert (fake.kind, fake.capacity.device_bytes) == ("fake", 7)


def test_vllm_reads_safetensors_and_others_what_the_catalogue_names(tmp_path: Path) -> None:
    catalogue = Catalogue.default()
    model = catalogue.find("arithmetic-80k")
    assert back_end("auto", tmp_path).model(model) == model
    installed("cpu")
    weights = catalogue.locate(back_end("vllm", tmp_path).model(model))
    assert weights is not None
    assert (weights / "model.safetensors").is_file()
    assert (weights / "config.json").is_file()


def test_weights_that_vllm_lacks_come_with_the_command_that_fetches_them(tmp_path: Path) -> None:
    installed("cpu")
    catalogue = Catalogue.default()
    models = {"qwen2.5-0.5b": catalogue.find("qwen2.5-0.5b")}
    with pytest.raises(ModelError, match=r"orkester models pull --for vllm qwen2\.5-0\.5b"):
        back_end("vllm", tmp_path).require_weights(models, catalogue)
    with pytest.raises(ModelError, match=r"orkester models pull qwen2\.5-0\.5b"):
        back_end("auto", tmp_path).require_weights(models, catalogue)


@pytest.mark.usefixtures("gpu")
def test_joules_of_a_gpu_are_refused_before_anything_is_done(tmp_path: Path) -> None:
    installed("cuda")
    study = load_study(ROOT / "examples" / "arithmetic.yaml")
    changed = study.file.model_copy(update={"engine": "vllm"})
    decided = back_end("vllm", tmp_path)
    with pytest.raises(
        InputError, match=r"energy_j cannot be measured.*\{quality: maximize, latency_p50_s: minimize\}"
    ):
        decided.require_energy(changed, study.path, decided.meter())
    without = changed.model_copy(update={"objectives": {"quality": "maximize"}})
    decided.require_energy(without, study.path, decided.meter())
    priced = changed.model_copy(update={"objectives": {"quality": "maximize"}, "constraints": {"co2e_g": "<= 1"}})
    with pytest.raises(InputError, match="co2e_g cannot be measured"):
        decided.require_energy(priced, study.path, decided.meter())
    here = back_end("llamacpp", tmp_path)
    here.require_energy(changed, study.path, here.meter())


def test_the_meter_is_the_study_files_and_the_engines(tmp_path: Path) -> None:
    here = back_end("llamacpp", tmp_path)
    assert here.meter(EnergyPart(meter="estimate")).method == "estimate"
    with pytest.raises(InputError, match="nvml"):
        here.meter(EnergyPart(meter="nvml"))
    (tmp_path / "joules.csv").write_text("time_s,gpu:0\n0,0\n10,100\n")
    replayed = here.meter(EnergyPart(meter={"replay": "joules.csv"}))
    assert replayed.method == "replay"
    reading = replayed.read()
    assert reading is not None
    assert list(reading.energy_j) == ["gpu:0"]
    elsewhere = back_end(ExternalPart(base_url="http://127.0.0.1:1/v1"), tmp_path)
    assert elsewhere.meter(EnergyPart(meter="estimate")).method == "unavailable"


def test_models_that_take_turns_on_a_full_device_lose_no_block(quick_path: Path) -> None:
    """Two engines that do not fit together: they sleep and wake, and batches keep that seldom."""
    engine = {
        "fake": {
            "data": "data.jsonl",
            "accuracy": {"small": 0.55, "large": 0.9},
            "memory_bytes": {"small": 6.0 * GIB, "large": 6.0 * GIB},
            "capacity_bytes": 10 * GIB,
            "sleeps": True,
        }
    }
    search = {"single": {"model": "any"}, "vote": {"agents": [2, 5], "model": "any", "temperature": [0.3, 1.0]}}
    path = write_study(quick_path / "study", engine=engine, search=search, budget={"trials": 10})
    run = orkester.tune(path, quick_path / "run")
    assert len(run.results.teams) == 10
    assert not any(block.reruns for block in run.blocks)
    events = [line for line in (run.path / "engines.jsonl").read_text().splitlines() if line]
    kinds = [line.split('"kind":"')[1].split('"')[0] for line in events]
    assert kinds.count("started") == 2
    assert kinds.count("slept") >= 1
    # A change of engines for each batch and for the confirmation at most, not one for each team.
    assert kinds.count("woken") <= 4


def test_a_team_whose_models_do_not_fit_together_is_infeasible(quick_path: Path) -> None:
    engine = {"fake": {"data": "data.jsonl", "memory_bytes": 6.0 * GIB, "capacity_bytes": 10 * GIB}}
    search = {"single": {"model": "any"}, "cascade": {"first": "small", "then": "large", "votes": 2, "agreement": 1.0}}
    path = write_study(quick_path / "study", engine=engine, search=search, budget={"trials": 9})
    run = orkester.tune(path, quick_path / "run")
    infeasible = [result for result in run.results.teams if result.infeasible]
    assert [result.team.topology for result in infeasible] == ["cascade"]
    assert "small and large do not fit into memory together: 12.0 GiB of GPU memory" in infeasible[0].infeasible
    assert {result.team.topology for result in run.results.front} == {"single"}
