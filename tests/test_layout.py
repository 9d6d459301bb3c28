"""The tree: six folders at the root that install as ``orkester.…`` and never as names of their own."""

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp  # what import-linter is built on
import pytest
from support import ROOT

#: The folders, in the order in which imports may point: each to those after it.
FOLDERS = ("bench", "optim", "evals", "graphs", "agents", "serving", "telemetry")

PRODUCT = sorted(
    path
    for folder in (*FOLDERS, "src/orkester")
    for path in (ROOT / folder).rglob("*.py")
    if "__pycache__" not in path.parts
)
OTHERS = sorted(path for folder in ("benchmarks", "examples") for path in (ROOT / folder).rglob("*.py"))


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_all_of_the_product_is_looked_at() -> None:
    seen = {path.relative_to(ROOT).parts[0] for path in PRODUCT}
    assert seen == {*FOLDERS, "src"}
    assert len(PRODUCT) > 60


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_is_linked_into_the_package(folder: str) -> None:
    link = ROOT / "src/orkester" / folder
    assert link.is_symlink()
    assert link.readlink() == Path("../..") / folder  # relative, so that a checkout may lie anywhere
    assert (ROOT / folder).is_dir()
    assert not (ROOT / folder).is_symlink()
    assert (ROOT / folder / "__init__.py").is_file()


def test_the_package_holds_nothing_but_the_face_and_the_links() -> None:
    found = {path.name for path in (ROOT / "src/orkester").iterdir() if path.name != "__pycache__"}
    assert found == {*FOLDERS, "cli", "__init__.py", "errors.py", "registry.py", "testing", "py.typed"}


def test_no_folder_is_imported_as_a_name_of_its_own() -> None:
    # ``agents`` is what openai-agents installs; ours is orkester.agents. Ruff's TID251 takes ``from .agents`` for it.
    found = [
        f"{name_of(path)}:{line}: import orkester.{module} instead"
        for path in (*PRODUCT, *OTHERS)
        for line, module in imported(path)
        if module.partition(".")[0] in FOLDERS
    ]
    assert not found


def test_relative_imports_stay_in_their_folder() -> None:
    found = []
    for path in PRODUCT:
        home = path.relative_to(ROOT).parts
        depth = len(home) - (1 if home[0] in FOLDERS else 2)  # src/orkester is the top itself
        found += [
            f"{name_of(path)}:{node.lineno}: this leaves the folder; write from orkester.…"
            for node in ast.walk(parsed(path))
            if isinstance(node, ast.ImportFrom) and node.level > depth
        ]
    assert not found


def test_imports_make_no_circle() -> None:
    """Late imports and those for type checkers count: a circle between two files is one file in two parts."""
    graph = grimp.build_graph("orkester")
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert len(imports) > 150
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Modules that a file imports absolutely, with the lines."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.lineno, node.module
        elif (
            isinstance(node, ast.Call)
            and ast.unparse(node.func).endswith("import_module")
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            yield node.lineno, str(node.args[0].value)
