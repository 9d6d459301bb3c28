"""The built site: nothing in it is loaded from another host, and the reference shows what docstrings say."""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from support import ROOT

import orkester

pytestmark = pytest.mark.site

SITE = ROOT / "site"
PYTHON_API = SITE / "reference" / "python.html"
#: Attributes by which a browser loads something without being asked; ``href`` of an ``a`` is not among them.
_LOADS = {
    "audio": "src",
    "embed": "src",
    "iframe": "src",
    "image": "href",
    "img": "src",
    "link": "href",
    "object": "data",
    "script": "src",
    "source": "src",
    "track": "src",
    "use": "href",
    "video": "src",
}
_CSS_LOADS = re.compile(r"(?:url\(|@import)\s*['\"]?([^'\")\s;]+)")


class Page(HTMLParser):
    """What a page loads and links to, and its anchors."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        self.loads += _CSS_LOADS.findall(values.get("style", ""))
        for name in ("srcset", "imagesrcset"):
            self.loads += [entry.split()[0] for entry in values.get(name, "").split(",") if entry.strip()]
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif _LOADS.get(tag) in values:
            self.loads.append(values[_LOADS[tag]])


def elsewhere(address: str) -> bool:
    return bool(urlsplit(address).netloc) or address.startswith(("http:", "https:"))


@pytest.fixture(scope="module")
def pages() -> dict[Path, Page]:
    found = {path: Page(path) for path in sorted(SITE.rglob("*.html"))}
    assert len(found) > 30, "make docs builds the site"
    return found


def test_no_page_loads_anything_from_another_host(pages: dict[Path, Page]) -> None:
    assert sum(len(page.loads) for page in pages.values()) > len(pages)
    found = {address for page in pages.values() for address in page.loads if elsewhere(address)}
    assert not found


def test_no_stylesheet_loads_anything_from_another_host() -> None:
    sheets = sorted(SITE.rglob("*.css"))
    assert sheets
    found = {address for sheet in sheets for address in _CSS_LOADS.findall(sheet.read_text(encoding="utf-8"))}
    assert not [address for address in found if elsewhere(address)]


def test_a_page_that_loads_from_another_host_would_be_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(
        '<a href="https://example.org/link"></a><script src="//example.org/a.js"></script>'
        '<link href="https://example.org/b.css"><p style="background: url(https://example.org/c.png)">'
        '<img src="local.png" srcset="https://example.org/d.png 2x">'
    )
    loads = Page(page).loads
    assert [address[-5:] for address in loads if elsewhere(address)] == ["/a.js", "b.css", "c.png", "d.png"]


def test_every_link_within_the_site_leads_to_a_page_and_an_anchor(pages: dict[Path, Page]) -> None:
    broken = []
    for path, page in pages.items():
        if path.name == "404.html":  # its links are from the root of a server
            continue
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            missing = target not in pages and not target.is_file()
            if missing or (parts.fragment and unquote(parts.fragment) not in pages[target].anchors):
                broken.append(f"{path.relative_to(SITE)}: {link}")
    assert not broken


@pytest.mark.parametrize("name", orkester.__all__)
def test_the_reference_has_every_public_name(name: str, pages: dict[Path, Page]) -> None:
    assert f"orkester.{name}" in pages[PYTHON_API].anchors


def test_arguments_results_and_errors_are_shown() -> None:
    text = re.sub(r"<[^>]+>", "", PYTHON_API.read_text(encoding="utf-8"))
    tune = text.partition("the run directory; runs/&lt;name of the study&gt; if None")
    assert tune[1], "an argument of tune is not shown"
    for heading in ("Parameters:", "Returns:", "Raises:"):
        assert heading in text
    assert "weights are absent; orkester models pull fetches them" in text


def test_a_file_that_is_no_page_is_named_with_its_path() -> None:
    text = (SITE / "search.html").read_text(encoding="utf-8")
    assert "<code>benchmarks/search/run.py</code>" in text
    assert "../benchmarks" not in text


def test_the_site_is_that_of_the_present_sources() -> None:
    """A site that was built before a page was added would let the other tests pass without meaning."""
    expected = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    expected = {path.with_name("index.html") if path.stem == "README" else path for path in expected}
    assert {path for path in expected if not (SITE / path).is_file()} == set()
