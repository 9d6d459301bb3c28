"""A check of the built site: it loads nothing from other hosts, so that it works without a network."""

import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import BuildError

_LOADED = re.compile(
    r'<(?:script|img|iframe|source)[^>]+src="((?:https?:)?//[^"]+)"|<link[^>]+href="((?:https?:)?//[^"]+)"'
)


def on_post_build(config: Any) -> None:
    """Refuse a site that loads something from another host.

    Raises:
        BuildError: A page does; the message names both.
    """
    for page in sorted(Path(config.site_dir).rglob("*.html")):
        for match in _LOADED.finditer(page.read_text(encoding="utf-8")):
            raise BuildError(f"{page}: loads {match[1] or match[2]}; the site must work without a network")
