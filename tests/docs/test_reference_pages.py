"""The reference shows what is public, under the names by which it is imported."""

import importlib
import inspect
import re

import pytest
from support import ROOT

import orkester
import orkester.testing

PAGES = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "reference").glob("*.md")}
ENTRIES = [name for text in PAGES.values() for name in re.findall(r"^::: (\S+)$", text, re.MULTILINE)]


def test_every_public_name_is_in_the_reference() -> None:
    assert {f"orkester.{name}" for name in orkester.__all__} <= set(ENTRIES)


def test_every_contract_is_in_the_reference() -> None:
    assert {f"orkester.testing.{name}" for name in orkester.testing.__all__} <= set(ENTRIES)


@pytest.mark.parametrize("name", ENTRIES)
def test_an_entry_is_a_public_name_with_documentation(name: str) -> None:
    home, _, attribute = name.rpartition(".")
    assert not any(part.startswith("_") for part in name.split("."))
    module = importlib.import_module(home)
    assert getattr(module, attribute).__doc__
    assert attribute in getattr(module, "__all__", vars(module))


@pytest.mark.parametrize("name", ENTRIES)
def test_every_argument_and_attribute_has_an_entry_of_its_own(name: str) -> None:
    """``low, high: …`` is shown as one name with a comma in it, without a type."""
    home, _, attribute = name.rpartition(".")
    entry = getattr(importlib.import_module(home), attribute)
    members = vars(entry).values() if inspect.isclass(entry) else ()
    texts = [text for each in (entry, *members) if isinstance(text := getattr(each, "__doc__", None), str)]
    assert [line for text in texts for line in re.findall(r"^ +\w+(?:, \w+)+: .*$", text, re.MULTILINE)] == []


def test_nothing_is_in_the_reference_twice() -> None:
    assert len(ENTRIES) == len(set(ENTRIES)) > 50


def test_every_page_of_a_kind_leads_to_how_to_add_one() -> None:
    for page in {*PAGES} - {"python"}:
        assert "(../how-to/" in PAGES[page], page
