"""Draws what docs/architecture.md shows: the tree of packages, and the way of the data.

``python docs/draw.py`` writes both into the page; a test fails when the page is not what this draws.
"""

from __future__ import annotations

import ast
import textwrap
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

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
    ("orkester.serving.lease.Lease", "orkester.evals.runner.BlockRunner"),
    ("orkester.evals.block.Block", "orkester.evals.records.BlockLog"),
    ("orkester.evals.measurement.Measurement", "orkester.optim.run.results.Findings"),
    ("orkester.optim.run.results.Results", "orkester.optim.confirm.confirmation.Confirmation"),
    ("orkester.optim.session.open_run.Run", "orkester.optim.report.write_report"),
)


def tree() -> str:
    """The packages with the first sentence of their documentation, those that import others above those."""
    rooms = [_room("src/orkester/cli"), _room("src/orkester/testing"), *(_room(name) for name in _layers())]
    lines = ["orkester"]
    for number, (path, text) in enumerate(rooms):
        last = number == len(rooms) - 1
        start, below = ("└── ", "    ") if last else ("├── ", "│   ")
        lines += _wrapped(f"{start}{path.name:<13}", f"{below}{'':<13}", text)
        inner = [(each, _first_sentence(each)) for each in _packages(path)]
        for inner_number, (each, inner_text) in enumerate(inner):
            inner_last = inner_number == len(inner) - 1
            branch, rest = ("└── ", "    ") if inner_last else ("├── ", "│   ")
            lines += _wrapped(f"{below}{branch}{each.name:<13}", f"{below}{rest}{'':<13}", inner_text)
    return "\n".join(lines)


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


def _layers() -> list[str]:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    names = [name.rpartition(".")[2] for name in contracts[0]["layers"]]
    return [name for name in names if (ROOT / name).is_dir()]


def _inner_layers(room: str) -> list[str]:
    """The order of the packages in a room, where a contract has one."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    for contract in contracts:
        if contract.get("containers") == [f"orkester.{room}"]:
            return [
                name for layer in contract["layers"] for name in layer.replace("(", "").replace(")", "").split(" | ")
            ]
    return []


def _room(path: str) -> tuple[Path, str]:
    return ROOT / path, _first_sentence(ROOT / path)


def _packages(room: Path) -> Iterator[Path]:
    inner = sorted(path.parent for path in room.glob("*/__init__.py"))
    order = _inner_layers(room.name)
    yield from sorted(inner, key=lambda path: order.index(path.name) if path.name in order else len(order))


def _first_sentence(package: Path) -> str:
    text = ast.get_docstring(ast.parse((package / "__init__.py").read_text(encoding="utf-8"))) or ""
    return _sentence(text)


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
