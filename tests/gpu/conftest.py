"""Tests that need a GPU and a vLLM for it."""

from pathlib import Path

import pytest
from vllms import the_vllm

from orkester.serving.environments import VllmEnvironment
from orkester.serving.machine import gpus


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.gpu)
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def vllm() -> VllmEnvironment:
    """The vLLM to test, built for the GPU that is here."""
    if not gpus()[0]:
        pytest.skip(gpus()[1])
    found = the_vllm()
    if found is None or found.build == "cpu":
        pytest.skip("no vLLM for this GPU is installed: orkester engines install vllm")
    return found


@pytest.fixture(autouse=True)
def _own_cache() -> None:
    """Not here: the vLLM that is installed is in the usual cache."""
