"""The drawings of docs/architecture.md are those of the code."""

import importlib.util
from types import ModuleType

import pytest
from support import ROOT


@pytest.fixture(scope="module")
def draw() -> ModuleType:
    spec = importlib.util.spec_from_file_location("draw_architecture", ROOT / "docs" / "draw.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_shows_the_code_as_it_is(draw: ModuleType) -> None:
    page = draw.PAGE.read_text(encoding="utf-8")
    assert page == draw.drawn(page), "the code has changed; run: python docs/draw.py"


def test_every_package_is_in_the_tree_with_a_sentence(draw: ModuleType) -> None:
    lines = draw.tree().splitlines()
    for folder in ("optim", "evals", "serving", "agents", "graphs", "telemetry", "bench", "src/orkester/cli"):
        for package in (ROOT / folder, *(path.parent for path in (ROOT / folder).glob("*/__init__.py"))):
            found = [line for line in lines if line.lstrip("│ ├└─").startswith(f"{package.name} ")]
            assert found, f"{package.name} is not in the drawing"
            assert all(len(line.split()) > 3 for line in found), f"{package.name} does not say what it is for"


def test_the_way_leads_from_the_study_file_to_the_report(draw: ModuleType) -> None:
    text = draw.way()
    assert text.startswith("StudyFile ")
    assert text.endswith("report.html")
    assert "See the module" not in text
    with pytest.raises(LookupError, match="has no Studies"):
        draw._documentation("orkester.optim.study.study.Studies")
