"""The reference shows what is public."""

import importlib
import re

import pytest
from support import ROOT

import orkester
import orkester.testing

PYTHON = (ROOT / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
PLUGINS = (ROOT / "docs" / "reference" / "plug-ins.md").read_text(encoding="utf-8")
ENTRIES = re.findall(r"^::: (\S+)$", PYTHON + PLUGINS, re.MULTILINE)


@pytest.mark.parametrize("name", orkester.__all__)
def test_every_public_name_is_in_the_reference(name: str) -> None:
    assert re.search(rf"\b{name}\b", PYTHON)


def test_every_contract_is_in_the_reference() -> None:
    for name in orkester.testing.__all__:
        assert name in PLUGINS or name in {"Asked", "Scripted", "orchestra"}


@pytest.mark.parametrize("name", ENTRIES)
def test_what_the_reference_names_is_there(name: str) -> None:
    home, _, attribute = name.rpartition(".")
    assert getattr(importlib.import_module(home), attribute).__doc__


def test_nothing_is_in_the_reference_twice() -> None:
    assert len(ENTRIES) == len(set(ENTRIES)) > 50
