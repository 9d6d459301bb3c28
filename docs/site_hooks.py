"""Hooks of MkDocs: pages from the repository's root, and links to files that are not part of the site.

The Markdown files are written for a code host, where a link may lead to any file of the repository. The site has the
files of ``docs/`` and three more from the root; a link to another file becomes the file's path.
"""

from __future__ import annotations

import os.path
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

#: Files of the root that are pages of the site, by the names of the pages.
ROOT_PAGES = {"overview.md": "README.md", "contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md"}

_LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)")
_CODE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages from the root."""
    root = Path(config.docs_dir).parent
    for page, source in ROOT_PAGES.items():
        files.append(File.generated(config, page, content=(root / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: MkDocsConfig, files: Files) -> str:
    """Point every link of a page to a page of the site, or show the path of the file where the site has none."""
    uri = page.file.src_uri
    in_repository = ROOT_PAGES.get(uri, posixpath.join("docs", uri))
    root = Path(config.docs_dir).parent

    def on_site(link: re.Match[str]) -> str:
        target, _, anchor = link["target"].partition("#")
        if not target or ":" in target:
            return link[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(in_repository), target))
        where = _page_of(path)
        if files.get_file_from_path(where):
            start = posixpath.dirname(uri) or "."
            return f"[{link['text']}]({posixpath.relpath(where, start)}{'#' + anchor if anchor else ''})"
        if not os.path.lexists(root / path):
            return link[0]  # MkDocs reports it
        return link["text"] if path in link["text"] else f"{link['text']} (`{path}`)"

    parts, end = [], 0
    for code in _CODE.finditer(markdown):
        parts += [_LINK.sub(on_site, markdown[end : code.start()]), code[0]]
        end = code.end()
    text = "".join([*parts, _LINK.sub(on_site, markdown[end:])])
    return text.replace("](docs/images/", "](images/") if uri in ROOT_PAGES else text


def _page_of(path: str) -> str:
    """The name on the site of a file of the repository."""
    by_source = {source: page for page, source in ROOT_PAGES.items()}
    return by_source.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else f"../{path}")
