"""Every page of the documentation can be reached from its first page."""

import re
from pathlib import Path

from support import ROOT

DOCS = ROOT / "docs"


def linked(page: Path) -> set[Path]:
    targets = re.findall(r"\]\((?!https?://|#)([^)#\s]+)", page.read_text(encoding="utf-8"))
    return {(page.parent / target).resolve() for target in targets}


def test_every_page_can_be_reached_from_the_first() -> None:
    reached: set[Path] = set()
    ahead = {DOCS / "README.md"}
    while ahead:
        page = ahead.pop()
        reached.add(page)
        ahead |= {path for path in linked(page) if path.suffix == ".md" and path.is_relative_to(DOCS)} - reached
    assert set(DOCS.rglob("*.md")) - reached == set()


def test_every_decision_is_listed() -> None:
    decisions = {path for path in (DOCS / "decisions").glob("*.md") if path.name != "README.md"}
    assert linked(DOCS / "decisions" / "README.md") == decisions
