"""Draws what docs/architecture.md shows: the tree of packages, and the data flow.

``python docs/draw.py`` writes both into the page; a test fails when the page is not what this draws.
"""

from __future__ import annotations

import ast
import textwrap
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
#: Of a drawing, so that it fits into a page without scrolling.
WIDTH = 80
PAGE = ROOT / "docs" / "architecture.md"

#: From a study file to its report: what there is, and what makes the next thing of it. Both are in the code.
WAY: Sequence[tuple[str, str]] = (
    ("orkester.optim.study.study_file.StudyFile", "orkester.optim.session.study_loading.load_study"),
    ("orkester.optim.study.study.Study", "orkester.optim.session.session.Session"),
    ("orkester.optim.study.space.Space", "orkester.optim.search.search.Search"),
    ("orkester.graphs._team.Team", "orkester.optim.session.block_driver.BlockDriver"),
    ("orkester.serving.lease.Lease", "orkester.evals.running.runner.BlockRunner"),
    ("orkester.evals.records.block.Block", "orkester.evals.records.log.BlockLog"),
    ("orkester.evals.summaries.measurement.Measurement", "orkester.optim.run.results.Findings"),
    ("orkester.optim.run.results.Results", "orkester.optim.confirm.confirmation.Confirmation"),
    ("orkester.optim.session.open_run.Run", "orkester.optim.report.write_report"),
)


def tree() -> str:
    """The packages with the first sentence of their documentation, those that import others above those."""
    rooms = [ROOT / "src/orkester" / name for name in ("cli", "testing")]
    rooms += [ROOT / name if (ROOT / name).is_dir() else ROOT / f"src/orkester/{name}.py" for name in _layers()]
    return "\n".join(["orkester", *_branches(rooms, "", "orkester")])


def _branches(paths: Sequence[Path], before: str, parent: str) -> Iterator[str]:
    """The lines of some packages or modules and of all that they contain, in the order of their imports."""
    for path in paths:
        branch, below = ("└── ", "    ") if path == paths[-1] else ("├── ", "│   ")
        indent = before + below
        yield from _wrapped(f"{before}{branch}{path.name:<13}", f"{indent}{'':<13}", _first_sentence(path))
        name = f"{parent}.{path.name}"
        inner = {each.parent.name: each.parent for each in path.glob("*/__init__.py")}
        order = [each for each in _inner_layers(name) if each in inner]
        yield from _branches([inner[each] for each in (*order, *sorted({*inner} - {*order}))], indent, name)


def way() -> str:
    """The objects that a study passes through, and what makes the next of each."""
    lines: list[str] = []
    for thing, maker in WAY:
        lines += _wrapped(f"{thing.rpartition('.')[2]:<13}", "    │        ", _documentation(thing))
        lines += ["    │", f"    │        {maker.rpartition('.')[2]}  ({_file(maker)})"]
        lines += _wrapped("    │        ", "    │        ", _documentation(maker))
        lines.append("    ▼")
    return "\n".join([*lines, "report.html"])


def drawn(page: str) -> str:
    """The page with both drawings as they have to be."""
    for name, text in (("tree", tree()), ("way", way())):
        before, marker, rest = page.partition(f"<!-- drawn: {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        page = f"{before}{marker}```text\n{text}\n```\n{end}{after}"
    return page


def _wrapped(start: str, below: str, text: str) -> list[str]:
    """Lines of at most ``WIDTH`` characters."""
    return textwrap.wrap(text, WIDTH, initial_indent=start, subsequent_indent=below, drop_whitespace=True)


def _contracts() -> Sequence[Mapping[str, Any]]:
    """The import contracts of pyproject.toml; the first is that of the whole package."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts: Sequence[Mapping[str, Any]] = settings["tool"]["importlinter"]["contracts"]
    return contracts


def _layers() -> list[str]:
    """What lies below the command line and the contracts of plug-ins, from top to bottom."""
    return [name.rpartition(".")[2] for name in _contracts()[0]["layers"][1:]]


def _inner_layers(package: str) -> list[str]:
    """The order of what is in a package, from top to bottom; empty where no contract says it."""
    for contract in _contracts():
        if contract.get("containers") == [package]:
            return [name for layer in contract["layers"] for name in layer.strip("()").split(" | ")]
    return []


def _first_sentence(path: Path) -> str:
    file = path if path.suffix == ".py" else path / "__init__.py"
    return _sentence(ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "")


def _documentation(name: str) -> str:
    """The first sentence of a class's or function's documentation.

    Raises:
        LookupError: There is no such thing.
    """
    attribute = name.rpartition(".")[2]
    for node in ast.parse((ROOT / _file(name)).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == attribute:
            return _sentence(ast.get_docstring(node) or "")
    raise LookupError(f"{_file(name)} has no {attribute}")


def _file(name: str) -> str:
    folder = name.rpartition(".")[0].removeprefix("orkester.").replace(".", "/")
    return f"{folder}.py" if (ROOT / f"{folder}.py").is_file() else f"{folder}/__init__.py"


def _sentence(text: str) -> str:
    first = " ".join(text.partition("\n\n")[0].split()).replace("``", "")
    return first.partition(". ")[0].rstrip(".")


if __name__ == "__main__":
    PAGE.write_text(drawn(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
