"""The drawings of docs/architecture.md are those of the code."""

import ast
from pathlib import Path
from types import ModuleType

import pytest
from support import ROOT, module_at

#: The folders of the tree; tests/test_layout.py checks that there are no others.
FOLDERS = ("bench", "optim", "evals", "graphs", "agents", "serving", "telemetry")


@pytest.fixture(scope="module")
def draw() -> ModuleType:
    return module_at("docs/draw.py")


def test_the_page_shows_the_code_as_it_is(draw: ModuleType) -> None:
    page = draw.PAGE.read_text(encoding="utf-8")
    assert page == draw.drawn(page), "the code has changed; run: python docs/draw.py"


ROOMS = sorted(
    path.parent
    for folder in (*FOLDERS, "src/orkester/cli", "src/orkester/testing")
    for path in (ROOT / folder).rglob("__init__.py")
)


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: str(room.relative_to(ROOT)))
def test_every_package_is_in_the_tree_with_a_sentence(draw: ModuleType, room: Path) -> None:
    names = [line.lstrip("│ ├└─").partition(" ")[0] for line in draw.tree().splitlines()]
    assert room.name in names, "the package is not in the drawing"
    first = (ast.get_docstring(ast.parse((room / "__init__.py").read_text(encoding="utf-8"))) or "").partition("\n")[0]
    assert first.endswith("."), "the first line of a package's documentation is a sentence that says what it is for"
    assert len(first.split()) > 3


def test_what_imports_is_above_what_is_imported(draw: ModuleType) -> None:
    names = [line.lstrip("│ ├└─").partition(" ")[0] for line in draw.tree().splitlines()]
    for above, below in (("cli", "bench"), ("session", "goals"), ("samplers", "models"), ("telemetry", "errors.py")):
        assert names.index(above) < names.index(below)
    orders = (draw._inner_layers("orkester.optim"), draw._inner_layers("orkester.serving"))
    assert all(len(order) >= 6 for order in orders), "the contracts have moved; the drawing does not see them"


def test_the_way_leads_from_the_study_file_to_the_report(draw: ModuleType) -> None:
    text = draw.way()
    assert text.startswith("StudyFile ")
    assert text.endswith("report.html")
    assert "See the module" not in text
    with pytest.raises(LookupError, match="has no Studies"):
        draw._documentation("orkester.optim.study.study.Studies")
