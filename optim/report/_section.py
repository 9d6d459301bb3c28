"""A section of the report: a key, what makes its content, and a template."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ._material import Material


@dataclass(frozen=True, kw_only=True)
class Section:
    """One section. Its template is ``sections/KEY.html.j2``, an HTML ``<section>`` whose id is the key.

    The template sees the content as ``section``, and beside it what ``Material.page`` has.

    Attributes:
        key: its anchor, and the name of its template.
        label: in the navigation.
        content: makes plain values for the template; None where there is nothing to say, then the page is without the
            section. Charts under the key ``charts`` are drawn.
    """

    key: str
    label: str
    content: Callable[[Material], Mapping[str, Any] | None]

    @property
    def template(self) -> str:
        """Its file, relative to the report's folder."""
        return f"sections/{self.key}.html.j2"
