"""Tests on a real vLLM: `make test-vllm` installs it, into the usual cache, and runs them.

A start takes half a minute on two cores, so tests share engines where they do each other no harm.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support import quick_folder
from vllms import the_vllm

from orkester.serving.environments import VllmEnvironment


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.vllm)
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def vllm() -> VllmEnvironment:
    """The vLLM to test."""
    found = the_vllm()
    if found is None:
        pytest.skip("vLLM is not installed: orkester engines install vllm")
    return found


@pytest.fixture(autouse=True)
def _own_cache() -> None:
    """Not here: the vLLM that is installed, and weights, are in the usual cache."""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Of a module's own, gone afterwards."""
    with quick_folder() as path:
        yield path
