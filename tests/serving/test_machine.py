"""What is said of the machine."""

import getpass
import json
import os
import platform
from pathlib import Path

import pytest

from orkester.serving import machine


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


@pytest.mark.parametrize(
    ("script", "gpus", "reason"),
    [
        ("#!/bin/sh\necho 'NVIDIA H100, 81559 MiB, 575.1'\n", ["NVIDIA H100, 81559 MiB, 575.1"], ""),
        ("#!/bin/sh\necho 'NVIDIA-SMI has failed'\nexit 9\n", [], "nvidia-smi: NVIDIA-SMI has failed"),
        ("#!/bin/sh\nexit 0\n", [], "nvidia-smi: found none"),
        ("this is no program", [], "nvidia-smi cannot be run: Exec format error"),
        ("#!/bin/sh\nexec sleep 60\n", [], "nvidia-smi did not answer within 0.2 s"),
        (None, [], "nvidia-smi is not installed"),
    ],
)
def test_why_there_are_no_gpus(
    script: str | None, gpus: list[str], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if script is not None:
        (tmp_path / "nvidia-smi").write_text(script)
        (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin" if script else str(tmp_path))
    assert machine.gpus(timeout_s=0.2 if "0.2 s" in reason else 20) == (gpus, reason)


def test_why_there_is_no_rapl() -> None:
    zones, reason = machine.rapl()
    assert bool(zones) != bool(reason)
