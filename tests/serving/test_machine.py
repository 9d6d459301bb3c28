"""What is said of the machine."""

import getpass
import json
import os
import platform
from collections.abc import Callable
from pathlib import Path

import pytest

from orkester.serving import machine
from orkester.serving._gpus import amd


def test_facts_are_plain_json_without_names_of_hosts_users_or_paths() -> None:
    facts = machine.facts()
    text = json.dumps(facts)
    assert json.loads(text) == facts
    assert {"cpu", "threads", "memory_bytes", "gpus", "system", "python"} <= set(facts)
    assert platform.node() not in text
    assert str(Path.home()) not in text
    assert getpass.getuser() not in {str(value) for value in facts.values()}


def test_threads_are_those_that_this_process_may_use() -> None:
    allowed = os.sched_getaffinity(0)
    assert 1 <= machine.usable_threads() <= len(allowed)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert machine.usable_threads() == 1
    finally:
        os.sched_setaffinity(0, allowed)


def test_memory_is_counted_in_bytes() -> None:
    total, available = machine.memory_bytes()
    assert 2**27 < available <= total


def test_the_cpu_has_a_name() -> None:
    assert machine.cpu_model()


ROWS = "0, GPU-aaaa, NVIDIA H100, 81559, 81000, 575.1\n1, GPU-abbb, NVIDIA L4, 23034, 20000, 575.1\n"
H100 = machine.Gpu(
    index=0, name="NVIDIA H100", memory_bytes=81559 * 2**20, free_bytes=81000 * 2**20, driver="575.1", vendor="nvidia"
)
L4 = machine.Gpu(
    index=1, name="NVIDIA L4", memory_bytes=23034 * 2**20, free_bytes=20000 * 2**20, driver="575.1", vendor="nvidia"
)


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str | None], None]:
    """Puts a script in nvidia-smi's place, or sees to it that there is none."""
    for name in ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)

    def write(script: str | None) -> None:
        if script is not None:
            (tmp_path / "nvidia-smi").write_text(script)
            (tmp_path / "nvidia-smi").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin" if script else str(tmp_path))

    return write


def test_gpus_are_told_with_their_memory(nvidia_smi: Callable[[str | None], None]) -> None:
    nvidia_smi(f"#!/bin/sh\nprintf '{ROWS}'\n")
    assert machine.gpus() == ([H100, L4], "")
    assert str(L4) == "NVIDIA L4, 19.5 GiB free of 22.5 GiB, driver 575.1"
    assert machine.facts()["gpus"] == ["NVIDIA H100, 81559 MiB, 575.1", "NVIDIA L4, 23034 MiB, 575.1"]


def test_a_gpu_without_memory_of_its_own_has_the_machines(nvidia_smi: Callable[[str | None], None]) -> None:
    nvidia_smi("#!/bin/sh\necho '0, GPU-aaaa, NVIDIA GB10, [N/A], [N/A], 580.1'\n")
    ((gpu,), _) = machine.gpus()
    assert gpu.memory_bytes == machine.memory_bytes()[0]
    assert 2**27 < gpu.free_bytes <= gpu.memory_bytes


@pytest.mark.parametrize(
    ("visible", "gpus"),
    [
        ("0", [H100]),
        ("1,0", [L4, H100]),
        ("GPU-abbb", [L4]),
        ("gpu-aa", [H100]),
        ("1, -1, 0", [L4]),  # what comes after one that is none is not seen
        ("GPU-a", []),  # whose?
        ("0,0", [H100]),
        ("2", []),
        ("", []),
        ("MIG-cccc", []),
    ],
)
def test_what_is_hidden_is_not_there(
    visible: str, gpus: list[machine.Gpu], nvidia_smi: Callable[[str | None], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    nvidia_smi(f"#!/bin/sh\nprintf '{ROWS}'\n")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found, why = machine.gpus()
    assert found == gpus
    assert why.startswith(f"CUDA_VISIBLE_DEVICES={visible!r} selects none of the 2 GPUs") is not bool(gpus)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("#!/bin/sh\necho 'NVIDIA-SMI has failed'\nexit 9\n", "nvidia-smi: NVIDIA-SMI has failed"),
        ("#!/bin/sh\necho 'No devices were found'\n", "nvidia-smi: No devices were found"),
        ("#!/bin/sh\nexit 0\n", "nvidia-smi: found no GPU"),
        ("this is no program", "nvidia-smi cannot be run: Exec format error"),
        ("#!/bin/sh\nexec sleep 60\n", "nvidia-smi did not answer within 0.2 s"),
        (None, "nvidia-smi is not installed"),
    ],
)
def test_why_there_are_no_gpus(script: str | None, reason: str, nvidia_smi: Callable[[str | None], None]) -> None:
    nvidia_smi(script)
    assert machine.gpus(timeout_s=0.2 if "0.2 s" in reason else 20) == ([], f"{reason}; {amd()[1]}")


def write_amd(root: Path, node: int, *, gfx: int, total: int, used: int, name: str = "") -> None:
    """The kernel's files of one node; a processor has ``gfx`` 0."""
    folder = root / f"sys/class/kfd/kfd/topology/nodes/{node}"
    folder.mkdir(parents=True)
    vendor = 4098 if gfx else 0
    (folder / "properties").write_text(
        f"vendor_id {vendor}\ngfx_target_version {gfx}\ndrm_render_minor {128 + node}\nunique_id {node}\n"
    )
    device = root / f"sys/class/drm/renderD{128 + node}/device"
    device.mkdir(parents=True)
    (device / "mem_info_vram_total").write_text(f"{total}\n")
    (device / "mem_info_vram_used").write_text(f"{used}\n")
    if name:
        (device / "product_name").write_text(f"{name}\n")


def test_amds_are_read_from_the_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    assert amd(tmp_path) == ([], "no AMD GPU: /dev/kfd does not exist")
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/kfd").touch()
    write_amd(tmp_path, 0, gfx=0, total=0, used=0)
    write_amd(tmp_path, 1, gfx=100306, total=2**29, used=0)  # in a processor: no kernels for it
    assert amd(tmp_path) == ([], "no AMD GPU that vLLM has kernels for")
    write_amd(tmp_path, 2, gfx=90402, total=192 * 2**30, used=2**30, name="AMD Instinct MI300X")
    write_amd(tmp_path, 10, gfx=90010, total=64 * 2**30, used=0)
    mi300 = machine.Gpu(
        index=0, name="AMD Instinct MI300X", memory_bytes=192 * 2**30, free_bytes=191 * 2**30, driver="", vendor="amd"
    )
    found, why = amd(tmp_path)
    assert found == [
        mi300,
        machine.Gpu(
            index=1, name="AMD gfx90a", memory_bytes=64 * 2**30, free_bytes=64 * 2**30, driver="", vendor="amd"
        ),
    ]
    assert why == ""
    monkeypatch.setenv("HIP_VISIBLE_DEVICES", "0")
    assert amd(tmp_path) == ([mi300], "")
